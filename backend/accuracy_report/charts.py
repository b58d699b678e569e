"""The plots of the page. Nothing that a caller named is in them: plotly reads labels as markup.

A rate of zero has no place on a logarithmic axis and no right to one: measured lines end there, and the dashed lines of
upper 95 % limits go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go
import plotly.io

from backend.accuracy_report.document import Document

BLUE, ORANGE, GREEN, GREY = "#1f5fa8", "#c8560b", "#2e7d4f", "#6b7280"
_HEIGHT_PX = 380
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def histogram(document: Document) -> Any | None:
    """Genuine and impostor scores, each as shares of its own kind."""
    found = document["histogram"]
    if not found:
        return None
    edges = found["edges"]
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    widths = [high - low for low, high in pairwise(edges)]
    figure = _figure("score", "share of pairs, %")
    for kind, colour in (("impostor", ORANGE), ("genuine", BLUE)):
        total = max(1, sum(found[kind]))
        shares = [100 * count / total for count in found[kind]]
        hover = "%{customdata:,} pairs at %{x:.3f}"
        name = f"{kind} ({sum(found[kind]):,} pairs)"
        figure.add_bar(
            x=middles,
            y=shares,
            width=widths,
            customdata=found[kind],
            hovertemplate=hover,
            name=name,
            marker_color=colour,
            opacity=0.65,
        )
    figure.update_layout(barmode="overlay", bargap=0)
    _mark_thresholds(figure, document["thresholds"])
    return figure


def det(document: Document) -> Any | None:
    """FMR against FNMR, both axes logarithmic."""
    points = document["det"]
    if not points:
        return None
    figure = _figure("FMR, %", "FNMR, %")
    figure.update_xaxes(type="log", dtick=1)
    figure.update_yaxes(type="log", dtick=1)
    seen = [point for point in points if point["fmr"] and point["fnmr"]]
    _line(figure, seen, "fmr", "fnmr", "measured", BLUE)
    _line(figure, points, "fmr_high", "fnmr_high", "upper 95 % limits of both", BLUE, dashed=True)
    for at, colour in zip(document["thresholds"], (GREEN, GREY, ORANGE, BLUE), strict=False):
        if at["fmr"]["trials"] and at["fnmr"]["trials"]:
            figure.add_scatter(
                x=[100 * at["fmr"]["high"]],
                y=[100 * at["fnmr"]["high"]],
                mode="markers",
                marker={"size": 11, "color": colour, "symbol": "diamond"},
                name=f"{at['name']} {at['threshold']:g}: its limits",
            )
    return figure


def identification(document: Document) -> Any | None:
    """FPIR and FNIR by threshold, the rates on a logarithmic axis."""
    found = document["identification"]
    if not found:
        return None
    figure = _figure("threshold", "rate, %")
    figure.update_yaxes(type="log", dtick=1)
    for kind, colour in (("fpir", ORANGE), ("fnir", BLUE)):
        seen = [point for point in found["curve"] if point[kind]]
        limited = [point for point in found["curve"] if point[f"{kind}_high"] is not None]
        _line(figure, seen, "threshold", kind, f"{kind.upper()}, measured", colour)
        _line(figure, limited, "threshold", f"{kind}_high", f"{kind.upper()}, upper 95 % limit", colour, dashed=True)
    _mark_thresholds(figure, found["thresholds"])
    return figure


def alterations(document: Document) -> Any | None:
    """Recall of each alteration, with its limits."""
    rows = document["alterations"][::-1]  # plotly draws from the bottom up
    rows = [row for row in rows if row["copies"]]
    if not rows:
        return None
    figure = _figure("share of copies, %", None)
    names = [row["name"] for row in rows]
    figure.add_bar(**_bars(names, [row["original_first"] for row in rows]), name="original ranked first", marker_color=GREEN)
    for threshold, colour in (("review", GREY), ("verification", BLUE)):
        recalls = [next(at for at in row["recall"] if at["name"] == threshold) for row in rows]
        figure.add_bar(**_bars(names, recalls), name=f"recall, {threshold} threshold", marker_color=colour)
    figure.update_layout(barmode="group", bargap=0.25, height=110 + 62 * len(rows), legend_traceorder="reversed")
    figure.update_xaxes(range=[0, 100.5])
    return figure


def fragments(figures: Sequence[Any]) -> list[str]:
    """HTML of each; the first carries the library itself."""
    return [
        plotly.io.to_html(
            figure,
            include_plotlyjs=place == 0,
            full_html=False,
            config={
                "displaylogo": False,
                "responsive": True,
                "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
                "showSendToCloud": False,  # by itself plotly offers to upload each plot ("Share chart...")
            },
        )
        for place, figure in enumerate(figures)
    ]


def _figure(across: str, up: str | None) -> Any:
    figure = go.Figure()
    figure.update_layout(
        template="plotly_white",
        height=_HEIGHT_PX,
        margin={"l": 60, "r": 20, "t": 40, "b": 50},
        font={"family": _FONT, "size": 13},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    figure.update_xaxes(title=across, ticks="outside")
    figure.update_yaxes(title=up, ticks="outside")
    return figure


def _line(figure: Any, points: Sequence[Document], x: str, y: str, name: str, colour: str, *, dashed: bool = False) -> None:
    if not points:
        return
    across = [point[x] if x == "threshold" else 100 * point[x] for point in points]
    at = [point["threshold"] for point in points]
    figure.add_scatter(
        x=across,
        y=[100 * point[y] for point in points],
        customdata=at,
        hovertemplate="%{y:.3g} % at the score %{customdata:.4f}",
        mode="lines+markers" if len(points) < 4 else "lines",
        line={
            "color": colour,
            "width": 1.5 if dashed else 2.5,
            "dash": "dash" if dashed else "solid",
            "shape": "vh" if x == "threshold" else "linear",  # a rate holds from below up to its threshold
        },
        name=name,
    )


def _mark_thresholds(figure: Any, thresholds: Sequence[Document]) -> None:
    """A line at each, its name written along it: neighbours would cover each other's."""
    for at in thresholds:
        figure.add_vline(x=at["threshold"], line={"color": GREY, "dash": "dot", "width": 1.5})
        figure.add_annotation(
            x=at["threshold"], y=1, yref="paper", text=f"{at['name']} {at['threshold']:g}", textangle=-90, showarrow=False,
            xanchor="right", yanchor="top", font={"size": 11, "color": GREY},
        )  # fmt: skip


def _bars(names: list[str], rates: Sequence[Document]) -> dict[str, Any]:
    shares = [100 * found["rate"] for found in rates]
    return {
        "y": names,
        "x": shares,
        "orientation": "h",
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [100 * found["high"] - share for found, share in zip(rates, shares, strict=True)],
            "arrayminus": [share - 100 * found["low"] for found, share in zip(rates, shares, strict=True)],
            "thickness": 1.2,
            "width": 3,
            "color": "#111827",
        },
        "customdata": [f"{found['seen']} of {found['trials']}" for found in rates],
        "hovertemplate": "%{customdata}",
    }
