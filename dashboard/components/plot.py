"""A chart that keeps the reader's zoom while its data change.

`st.plotly_chart` of Streamlit 1.67 computes an element's identity from its data, so that every refresh draws a new element
and `uirevision` has nothing to hold on to (streamlit/streamlit#8782, pull request #16052). Here the element stays and the
same Plotly, served by this site, is told the new figure.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import plotly.graph_objects as go
import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

from dashboard.assets import plotly_url


@dataclass(frozen=True)
class Drawing:
    """A figure as the browser is told it; `height` in pixels."""

    figure: str
    height: int


_kept: dict[str, tuple[Hashable, Drawing]] = {}


def draw(figure: go.Figure, *, key: str, alt: str) -> None:
    """`key` is the chart's identity: it must not change with the data. `alt` says in words what is drawn."""
    _show(_drawing(figure), key, alt)


def draw_once(build: Callable[[], go.Figure], of: Hashable, *, key: str, alt: str) -> None:
    """Like `draw`, for data that seldom change: `build` is called where `of`, all that the figure shows, is not the last one."""
    known = _kept.get(key)
    if known is None or known[0] != of:
        known = of, _drawing(build())
        _kept[key] = known
    _show(known[1], key, alt)


def _drawing(figure: go.Figure) -> Drawing:
    return Drawing(figure.to_json(), int(figure.layout.height or 320))


def _show(drawing: Drawing, key: str, alt: str) -> None:
    data = {"figure": drawing.figure, "alt": alt, "height": drawing.height, "library": plotly_url()}
    _component()(key=key, data=data, height=drawing.height)


@cache
def _component() -> ComponentRenderer:
    script = Path(__file__).with_name("plot.js").read_text("utf-8")
    renderer: ComponentRenderer = st.components.v2.component(
        "face_auth_plot", html='<div class="plot"></div>', js=script, isolate_styles=False
    )
    return renderer
