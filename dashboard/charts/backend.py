"""One backend as charts: pure functions from the monitor's answers to figures. `uirevision` keeps the reader's zoom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

import plotly.graph_objects as go

from dashboard.charts.load import per_step
from dashboard.palette import BAD, EXPECTED, SERIES, STATE_COLOURS
from monitor import wire

MARGIN = {"l": 8, "r": 8, "t": 8, "b": 8}
LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
ROWS = ("UNKNOWN", "STARTING", "DOWN", "DEGRADED", "UP")
"""Each state has its own row: it is told without its colour too."""


@dataclass(frozen=True)
class Stretch:
    """A time in which one state was the worst."""

    state: wire.State
    since: datetime
    until: datetime


def stretches(view: wire.HistoryView) -> list[Stretch]:
    """Neighbouring points of one state as one; a time that nobody watched belongs to none."""
    step = timedelta(seconds=view.step_s or 0)
    found: list[Stretch] = []
    for point in view.items:
        end = min(point.at + step, view.until) if view.until else point.at + step
        if found and found[-1].state is point.state and found[-1].until >= point.at:
            found[-1] = Stretch(point.state, found[-1].since, end)
        else:
            found.append(Stretch(point.state, point.at, end))
    return found


def states(view: wire.HistoryView, zone: tzinfo, *, key: str) -> go.Figure:
    """A bar for each stretch, on the row of its state; an empty column was not watched."""
    figure = go.Figure()
    found = stretches(view)
    shown = [row for row in ROWS if row == "UP" or any(one.state == row for one in found)]
    for row in shown:
        own = [one for one in found if one.state == row]
        figure.add_bar(
            base=[one.since.astimezone(zone) for one in own],
            x=[(one.until - one.since).total_seconds() * 1000 for one in own],
            y=[row] * len(own),
            orientation="h",
            name=row,
            marker={"color": STATE_COLOURS[row], "line": {"width": 0}},
            customdata=[[one.until.astimezone(zone).strftime("%d %b, %H:%M:%S")] for one in own],
            hovertemplate=f"{row} from %{{base|%d %b, %H:%M:%S}} to %{{customdata[0]}}<extra></extra>",
        )
    _stretched(figure, view, zone, y="UP")
    figure.update_layout(
        height=88 + 26 * len(shown),
        margin=MARGIN,
        barmode="overlay",
        bargap=0.15,
        showlegend=False,
        uirevision=f"states-{key}",
        xaxis={"type": "date"},
        yaxis={"type": "category", "categoryorder": "array", "categoryarray": shown},
    )
    return figure


def latencies(view: wire.HistoryView, zone: tzinfo, *, key: str) -> go.Figure:
    """Of client requests, and of /live as it was probed; nothing is drawn across a gap."""
    figure = go.Figure()
    lines: tuple[tuple[str, Callable[[wire.HistoryPoint], float | None], str, str], ...] = (
        ("requests p50", lambda point: point.request_p50_ms, SERIES[5], "solid"),
        ("requests p95", lambda point: point.request_p95_ms, SERIES[0], "solid"),
        ("requests p99", lambda point: point.request_p99_ms, SERIES[3], "dot"),
        ("/live p95", lambda point: point.latency_p95_ms, EXPECTED, "dash"),
    )
    for name, value, colour, dash in lines:
        x, y = _with_gaps(view, zone, value)
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines+markers",
            name=name,
            line={"color": colour, "width": 2, "dash": dash},
            marker={"size": 4},
            hovertemplate=f"{name}: %{{y:.0f}} ms<extra></extra>",
        )
    return _over_time(figure, view, zone, unit="ms", uirevision=f"latencies-{key}")


def requests(view: wire.HistoryView, zone: tzinfo, *, key: str) -> go.Figure:
    """Per second, so that steps of any length compare; errors as crosses."""
    step = view.step_s or 60
    figure = go.Figure()
    x, y = _with_gaps(view, zone, lambda point: None if point.requests is None else point.requests / step)
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        name="requests per second",
        line={"color": SERIES[0], "width": 2, "shape": "hv"},
        fill="tozeroy",
        hovertemplate="%{y:.2f} requests/s<extra></extra>",
    )
    failed = [point for point in view.items if point.errors]
    if failed:
        figure.add_scatter(
            x=[point.at.astimezone(zone) for point in failed],
            y=[(point.errors or 0) / step for point in failed],
            mode="markers",
            name="errors per second",
            marker={"symbol": "x", "size": 9, "color": BAD},
            text=[f"{point.errors:,}" for point in failed],
            hovertemplate="%{text} errors<extra></extra>",
        )
    return _over_time(figure, view, zone, unit="per second", uirevision=f"requests-{key}")


def stages(figures: Sequence[wire.StageFigure]) -> go.Figure:
    """The mean of each stage as a bar, its p95 as a mark, in the order in which a request passes them."""
    ran = [one for one in figures if one.mean_ms is not None]
    names = [one.stage for one in ran][::-1]
    figure = go.Figure(
        go.Bar(
            x=[one.mean_ms for one in ran][::-1],
            y=names,
            orientation="h",
            name="mean",
            marker={"color": SERIES[0]},
            hovertemplate="%{y}: mean %{x:.1f} ms<extra></extra>",
        )
    )
    figure.add_scatter(
        x=[one.p95_ms for one in ran][::-1],
        y=names,
        mode="markers",
        name="p95",
        marker={"symbol": "line-ns", "size": 22, "line": {"width": 3, "color": SERIES[1]}},
        hovertemplate="%{y}: p95 %{x:.1f} ms<extra></extra>",
    )
    figure.update_layout(
        height=80 + 34 * max(1, len(names)),
        margin=MARGIN,
        uirevision="stages",
        xaxis={"title": "ms", "rangemode": "tozero"},
        yaxis={"type": "category"},
        legend=LEGEND,
    )
    return figure


def resources(points: Sequence[wire.Resources], zone: tzinfo) -> go.Figure:
    """Memory and processor of the last hour: two axes, two dashes."""
    at = [point.at.astimezone(zone) for point in points]
    figure = go.Figure()
    figure.add_scatter(
        x=at,
        y=[None if point.memory_bytes is None else point.memory_bytes / 2**20 for point in points],
        mode="lines+markers",
        name="memory (MiB, left)",
        line={"color": SERIES[0], "width": 2},
        marker={"size": 4},
        hovertemplate="%{y:,.0f} MiB<extra></extra>",
    )
    figure.add_scatter(
        x=at,
        y=[point.cpu_percent for point in points],
        yaxis="y2",
        mode="lines+markers",
        name="processor (% of one core, right)",
        line={"color": SERIES[1], "width": 2, "dash": "dot"},
        marker={"size": 4, "symbol": "square"},
        hovertemplate="%{y:.0f} %<extra></extra>",
    )
    figure.update_layout(
        height=240,
        margin=MARGIN,
        uirevision="resources",
        hovermode="x unified",
        yaxis={"rangemode": "tozero", "title": "MiB"},
        yaxis2={
            "overlaying": "y",
            "side": "right",
            "rangemode": "tozero",
            "title": "%",
            "showgrid": False,
            "automargin": True,
            "tickformat": ".0f",
        },
        legend=LEGEND,
    )
    return figure


def falling(points: Sequence[wire.LoadPoint], zone: tzinfo, *, since: datetime | None) -> go.Figure:
    """Requests per step while it drains; the line marks the moment from which it should fall."""
    figure = go.Figure(
        go.Bar(
            x=[point.at.astimezone(zone) for point in points],
            y=[point.requests for point in points],
            name="requests",
            marker={"color": SERIES[0]},
            hovertemplate="%{y} requests<extra></extra>",
        )
    )
    if since is not None:
        figure.add_vline(x=since.astimezone(zone), line={"color": BAD, "width": 2, "dash": "dash"})
    figure.update_layout(
        height=170,
        margin=MARGIN,
        uirevision="falling",
        showlegend=False,
        yaxis={"title": per_step([sorted(points, key=lambda point: point.at)]), "rangemode": "tozero"},
        xaxis={"type": "date"},
    )
    return figure


def _with_gaps(
    view: wire.HistoryView, zone: tzinfo, value: Callable[[wire.HistoryPoint], float | None]
) -> tuple[list[datetime], list[float | None]]:
    """Where a step is missing, nothing stands: Plotly then draws no line across it."""
    step = timedelta(seconds=view.step_s or 0)
    x: list[datetime] = []
    y: list[float | None] = []
    for before, point in zip([None, *view.items], view.items, strict=False):
        if before is not None and point.at - before.at > 1.5 * step:
            x.append((before.at + step).astimezone(zone))
            y.append(None)
        x.append(point.at.astimezone(zone))
        y.append(value(point))
    return x, y


def _stretched(figure: go.Figure, view: wire.HistoryView, zone: tzinfo, *, y: object) -> None:
    """Shows the whole window. A range of the axis would do too, but one that moves with each refresh undoes the reader's zoom."""
    if view.since is not None and view.until is not None:
        figure.add_scatter(
            x=[view.since.astimezone(zone), view.until.astimezone(zone)],
            y=[y, y],
            mode="markers",
            marker={"opacity": 0},
            hoverinfo="skip",
            showlegend=False,
        )


def _over_time(figure: go.Figure, view: wire.HistoryView, zone: tzinfo, *, unit: str, uirevision: str) -> go.Figure:
    _stretched(figure, view, zone, y=0)
    figure.update_layout(
        height=260,
        margin=MARGIN,
        uirevision=uirevision,
        hovermode="x unified",
        xaxis={"type": "date"},
        yaxis={"title": unit, "rangemode": "tozero"},
        legend=LEGEND,
    )
    return figure
