"""A chart that keeps the reader's zoom while its data change.

`st.plotly_chart` of Streamlit 1.67 computes an element's identity from its data, so that every refresh draws a new element
and `uirevision` has nothing to hold on to (streamlit/streamlit#8782, pull request #16052). Here the element stays and the
same Plotly, served by this site, is told the new figure.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import plotly.graph_objects as go
import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

from dashboard.assets import plotly_url


def draw(figure: go.Figure, *, key: str, alt: str) -> None:
    """`key` is the chart's identity: it must not change with the data. `alt` says in words what is drawn."""
    height = figure.layout.height or 320
    _component()(
        key=key, data={"figure": figure.to_json(), "alt": alt, "height": height, "library": plotly_url()}, height=int(height)
    )


@cache
def _component() -> ComponentRenderer:
    script = Path(__file__).with_name("plot.js").read_text("utf-8")
    renderer: ComponentRenderer = st.components.v2.component(
        "face_auth_plot", html='<div class="plot" role="img"></div>', js=script, isolate_styles=False
    )
    return renderer
