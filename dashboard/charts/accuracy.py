"""Scores as charts: pure functions from counts to figures. Words stand at the lines, patterns beside the colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from backend import wire
from dashboard.palette import EXPECTED, SERIES

SAME, DIFFERENT = SERIES[0], SERIES[1]
LOWEST_RATE = 1e-6
"""of the logarithmic axis"""
MARGIN = {"l": 8, "r": 8, "t": 56, "b": 8}


def distributions(bins: Sequence[wire.ScoreBin], thresholds: Mapping[str, float]) -> go.Figure:
    """Decided pairs by score: one person and different people beside each other, with the thresholds in force."""
    middles = [(one.score_from + one.score_to) / 2 for one in bins]
    width = (bins[0].score_to - bins[0].score_from) if bins else 0.05
    kinds = (
        ("same person", [one.same.count for one in bins], SAME, "", -width / 4),
        ("different people", [one.same.of - one.same.count for one in bins], DIFFERENT, "/", width / 4),
    )
    figure = go.Figure()
    for name, counts, colour, pattern, shift in kinds:
        figure.add_bar(
            x=[middle + shift for middle in middles],
            y=counts,
            width=width / 2.2,
            name=name,
            marker={"color": colour, "pattern": {"shape": pattern}},
            customdata=[f"{one.score_from:.2f} to {one.score_to:.2f}" for one in bins],
            hovertemplate=f"%{{customdata}}: %{{y}} {name}<extra></extra>",
        )
    figure.update_layout(
        **_marks(thresholds),
        height=330,
        margin=MARGIN,
        barmode="overlay",
        uirevision="distributions",
        xaxis={"title": "score of the pair, as it was found"},
        yaxis={"title": "decided pairs", "rangemode": "tozero", "tickformat": ",d"},
        legend={"orientation": "h", "y": -0.28, "yanchor": "top", "x": 0},
    )
    return figure


def curves(calibration: wire.Calibration, thresholds: Mapping[str, float]) -> go.Figure:
    """Both error rates over the threshold, as the calibration counted them; the rate is logarithmic."""
    figure = go.Figure()
    figure.add_scatter(
        x=[point.score for point in calibration.points],
        y=[max(point.fmr, LOWEST_RATE) for point in calibration.points],
        mode="lines+markers",
        name="false matches (FMR)",
        line={"color": DIFFERENT, "width": 2, "dash": "dash"},
        marker={"symbol": "square", "size": 6},
        hovertemplate="from %{x:.2f}: FMR %{y:.3%}<extra></extra>",
    )
    genuine = calibration.genuine
    seen = [one for one in genuine.below if one.count] if genuine is not None else []
    if genuine is not None and seen:
        figure.add_scatter(
            x=[one.score for one in seen],
            y=[one.count / genuine.trials for one in seen],
            mode="lines+markers",
            name="false non-matches (FNMR)",
            line={"color": SAME, "width": 2},
            marker={"symbol": "circle", "size": 6},
            hovertemplate="from %{x:.2f}: FNMR %{y:.1%}<extra></extra>",
        )
    figure.update_layout(
        **_marks(thresholds),
        height=330,
        margin=MARGIN,
        uirevision="curves",
        xaxis={"title": "threshold"},
        yaxis={"title": "rate of errors", "type": "log", "tickformat": "~%"},
        legend={"orientation": "h", "y": -0.28, "yanchor": "top", "x": 0},
    )
    return figure


def _marks(thresholds: Mapping[str, float]) -> dict[str, Any]:
    """A dotted line for each threshold, its name above the plot; each name on a height of its own, as lines may be near.

    As a part of the layout: Plotly goes through its whole schema for each line that is added to a figure.
    """
    ranked = sorted(thresholds.items(), key=lambda item: item[1])
    line = {"type": "line", "yref": "y domain", "y0": 0, "y1": 1, "line": {"color": EXPECTED, "dash": "dot", "width": 2}}
    named = {"y": 1.0, "yref": "paper", "showarrow": False, "xanchor": "left", "yanchor": "bottom"}
    return {
        "shapes": [{**line, "x0": score, "x1": score} for _, score in ranked],
        "annotations": [
            {**named, "x": score, "text": f"{name} {score:.3f}", "yshift": 15 * (len(ranked) - 1 - place)}
            for place, (name, score) in enumerate(ranked)
        ],
    }
