"""Load as charts: pure functions from the monitor's answer to figures. `uirevision` keeps the reader's zoom over refreshes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import pairwise
from statistics import median
from typing import Any

import plotly.graph_objects as go

from dashboard import phrases
from dashboard.palette import BAD, EXPECTED, SERIES, series_colours
from dashboard.tables.load import in_order
from monitor import wire

MARGIN = {"l": 8, "r": 8, "t": 8, "b": 8}
LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
FEW = 12
"""So many backends have a bar across the page each; more stand side by side, or the chart would be longer than the window."""
OWN_LINE = 8
"""So many backends have a line each; of more, those that stand out, over the band of all."""
STAND_OUT = 4


@dataclass(frozen=True)
class Measure:
    """What a bar says. `unit` stands behind each number."""

    title: str
    unit: str
    expected: str


MEASURES = {
    "share": Measure("share of client requests", "%", "expected"),
    "in_flight": Measure("requests in flight, on average", "", "by its weight"),
    "p95": Measure("95 of 100 requests are faster than", "ms", "median of the fleet"),
    "errors": Measure("requests answered with status 5xx", "%", "median of the fleet"),
}


def shares(loads: Mapping[str, wire.Load]) -> go.Figure:
    """Each backend's share as a bar, its expected share as a mark on it."""
    return bars(loads, "share")


def bars(loads: Mapping[str, wire.Load], measure: str, *, flagged: Collection[str] = ()) -> go.Figure:
    """A bar per backend with its figure, and a mark where it is expected to be; `flagged` ones are hatched in another colour."""
    what = MEASURES[measure]
    figures = {name: value for name in in_order(loads) if (value := _figure(loads[name], measure)) is not None}
    marks = _expected(loads, figures, measure)
    upright = len(figures) > FEW
    names = list(figures) if upright else list(reversed(figures))
    colours = series_colours(list(loads)) if len(loads) <= len(SERIES) else dict.fromkeys(loads, SERIES[0])
    values = [figures[name] for name in names]
    label = [f"{value:.{1 if value < 1000 else 0}f} {what.unit}".strip() for value in values]
    drawn: dict[str, Any] = {
        "marker": {
            "color": [BAD if name in flagged else colours[name] for name in names],
            "pattern": {
                "shape": ["/" if name in flagged else "" for name in names],
                "fillmode": "overlay",
                "fgcolor": "rgba(255,255,255,.4)",
                "size": 10,
                "solidity": 0.15,
            },
        },
        "name": what.title,
        "customdata": label,
    }
    hover = "%{y}: %{customdata}<extra></extra>"
    if upright:
        bar = go.Bar(x=names, y=values, hovertemplate=hover.replace("%{y}", "%{x}"), **drawn)
        mark = {"symbol": "line-ew", "size": max(6, min(26, 700 // len(names)))}
    else:
        bar = go.Bar(x=values, y=names, orientation="h", text=label, textposition="inside", insidetextanchor="start",
                     hovertemplate=hover, **drawn)  # fmt: skip
        mark = {"symbol": "line-ns", "size": 26}
    figure = go.Figure(bar)
    expecting = [name for name in names if name in marks]
    at = [marks[name] for name in expecting]
    figure.add_scatter(
        x=expecting if upright else at,
        y=at if upright else expecting,
        mode="markers",
        name=what.expected,
        marker={**mark, "line": {"width": 3, "color": EXPECTED}},
        hovertemplate=("%{x}: %{y:.1f} " if upright else "%{y}: %{x:.1f} ") + f"{what.unit} {what.expected}<extra></extra>",
    )
    unit = f" ({what.unit})" if what.unit else ""
    along, across = {"title": f"{what.title}{unit}", "rangemode": "tozero"}, {"type": "category", "dtick": 1}
    figure.update_layout(
        height=330 if upright else 90 + 42 * max(1, len(names)),
        margin=MARGIN,
        uirevision="shares" if measure == "share" else f"bars-{measure}",
        xaxis=across | {"tickangle": -60, "tickfont": {"size": 11}} if upright else along,
        yaxis=along if upright else across,
        legend=LEGEND,
    )
    return figure


def _figure(load: wire.Load, measure: str) -> float | None:
    value = {"share": load.share, "in_flight": load.in_flight, "p95": load.p95_ms, "errors": load.error_ratio}[measure]
    return None if value is None else 100 * value if measure in ("share", "errors") else value


def _expected(loads: Mapping[str, wire.Load], figures: Mapping[str, float], measure: str) -> dict[str, float]:
    """Shares as the monitor expects them; in flight by the same shares; of the rest the median, where there is one."""
    if measure == "share":
        return {name: 100 * share for name in figures if (share := loads[name].expected_share) is not None}
    if measure == "in_flight":
        whole = sum(figures.values())
        return {name: whole * share for name in figures if (share := loads[name].expected_share) is not None}
    return dict.fromkeys(figures, median(figures.values())) if len(figures) > 1 else {}


def series(points: Sequence[wire.LoadPoint], zone: tzinfo, *, window_s: float, first: Sequence[str] = ()) -> go.Figure:
    """Requests per step and backend, with errors as crosses; times in the reader's zone.

    Of a large fleet the band of all backends with its median, and those that stand out: `first`, then the furthest from it.
    """
    by_name: dict[str, list[wire.LoadPoint]] = {}
    for point in sorted(points, key=lambda point: point.at):
        by_name.setdefault(point.backend, []).append(point)
    names, figure = in_order(by_name), go.Figure()
    if len(names) > OWN_LINE:
        _band(figure, by_name, zone)
        names = _standing_out(by_name, first)
    colours = series_colours(names)
    for name in names:
        _line(figure, name, by_name[name], zone, colours[name])
    failed = [point for point in points if point.errors]
    if failed:
        figure.add_scatter(
            x=[point.at.astimezone(zone) for point in failed],
            y=[point.errors for point in failed],
            mode="markers",
            name="errors",
            marker={"symbol": "x", "size": 9, "color": BAD},
            text=[point.backend for point in failed],
            hovertemplate="%{text}: %{y} errors<extra></extra>",
        )
    figure.update_layout(
        height=320,
        margin=MARGIN,
        uirevision=f"series-{window_s:g}",
        hovermode="x unified",
        xaxis={"title": None},
        yaxis={"title": per_step(by_name.values()), "rangemode": "tozero"},
        legend=LEGEND,
    )
    return figure


def per_step(lines: Iterable[Sequence[wire.LoadPoint]]) -> str:
    """The unit of a point: `requests per 10 s`, from how far points of one line are apart."""
    apart = [(after.at - one.at).total_seconds() for own in lines for one, after in pairwise(own)]
    steps = [seconds for seconds in apart if seconds > 0]
    return f"requests per {phrases.span(median(steps))}" if steps else "requests"


def _line(figure: go.Figure, name: str, own: Sequence[wire.LoadPoint], zone: tzinfo, colour: str) -> None:
    figure.add_scatter(
        x=[point.at.astimezone(zone) for point in own],
        y=[point.requests for point in own],
        mode="lines+markers",
        name=name,
        line={"color": colour, "width": 2},
        marker={"size": 4},
        customdata=[[point.p95_ms if point.p95_ms is not None else float("nan")] for point in own],
        hovertemplate=f"{name}: %{{y}} requests, p95 %{{customdata[0]:.0f}} ms<extra></extra>",
    )


def _band(figure: go.Figure, by_name: Mapping[str, Sequence[wire.LoadPoint]], zone: tzinfo) -> None:
    at: dict[datetime, list[int]] = {}
    for own in by_name.values():
        for point in own:
            at.setdefault(point.at, []).append(point.requests)
    times = sorted(at)
    x = [time.astimezone(zone) for time in times]
    line, dotted = {"color": EXPECTED, "width": 0}, {"color": EXPECTED, "width": 2, "dash": "dot"}

    def trace(what: Callable[[list[int]], float], name: str, **more: Any) -> None:
        y = [what(at[time]) for time in times]
        figure.add_scatter(
            x=x, y=y, mode="lines", **{"line": line, "name": name, "hovertemplate": f"{name}: %{{y:.0f}}<extra></extra>"} | more
        )

    trace(max, "most", showlegend=False)
    trace(
        min,
        f"all {len(by_name)} backends",
        fill="tonexty",
        fillcolor="rgba(136,148,168,.28)",
        hovertemplate="least: %{y}<extra></extra>",
    )
    trace(median, "median", line=dotted)


def _standing_out(by_name: Mapping[str, Sequence[wire.LoadPoint]], first: Sequence[str]) -> list[str]:
    totals = {name: sum(point.requests for point in own) for name, own in by_name.items()}
    middle = median(totals.values())
    named = [name for name in dict.fromkeys(first) if name in totals]
    others = sorted((name for name in totals if name not in named), key=lambda name: -abs(totals[name] - middle))
    return in_order((named + others)[: max(STAND_OUT, min(len(named), len(SERIES)))])
