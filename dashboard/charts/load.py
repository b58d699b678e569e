"""Load as charts: pure functions from the monitor's answer to figures. `uirevision` keeps the reader's zoom over refreshes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo

import plotly.graph_objects as go

from dashboard.palette import BAD, EXPECTED, series_colours
from monitor import wire

MARGIN = {"l": 8, "r": 8, "t": 8, "b": 8}


def shares(loads: Mapping[str, wire.Load]) -> go.Figure:
    """Each backend's share as a bar, its expected share as a mark on it."""
    names = sorted((name for name, load in loads.items() if load.share is not None), reverse=True)
    colours = series_colours(list(loads))
    actual = [100 * (loads[name].share or 0.0) for name in names]
    figure = go.Figure(
        go.Bar(
            x=actual,
            y=names,
            orientation="h",
            name="share",
            marker={"color": [colours[name] for name in names]},
            text=[f"{value:.1f} %" for value in actual],
            textposition="inside",
            insidetextanchor="start",
            hovertemplate="%{y}: %{x:.1f} % of requests<extra></extra>",
        )
    )
    expecting = [name for name in names if loads[name].expected_share is not None]
    figure.add_scatter(
        x=[100 * (loads[name].expected_share or 0.0) for name in expecting],
        y=expecting,
        mode="markers",
        name="expected",
        marker={"symbol": "line-ns", "size": 26, "line": {"width": 3, "color": EXPECTED}},
        hovertemplate="%{y}: %{x:.1f} % expected<extra></extra>",
    )
    figure.update_layout(
        height=90 + 42 * max(1, len(names)),
        margin=MARGIN,
        uirevision="shares",
        xaxis={"title": "share of client requests (%)", "rangemode": "tozero"},
        yaxis={"type": "category"},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    return figure


def series(points: Sequence[wire.LoadPoint], zone: tzinfo, *, window_s: float) -> go.Figure:
    """Requests per step and backend, with errors as crosses; times in the reader's zone."""
    names = sorted({point.backend for point in points})
    colours = series_colours(names)
    figure = go.Figure()
    for name in names:
        own = sorted((point for point in points if point.backend == name), key=lambda point: point.at)
        figure.add_scatter(
            x=[point.at.astimezone(zone) for point in own],
            y=[point.requests for point in own],
            mode="lines+markers",
            name=name,
            line={"color": colours[name], "width": 2},
            marker={"size": 4},
            customdata=[[point.p95_ms if point.p95_ms is not None else float("nan")] for point in own],
            hovertemplate=f"{name}: %{{y}} requests, p95 %{{customdata[0]:.0f}} ms<extra></extra>",
        )
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
        yaxis={"title": "requests per step", "rangemode": "tozero"},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    return figure
