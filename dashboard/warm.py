"""What the first page would otherwise wait for, done before anybody is let in.

Streamlit collects garbage after each run of a page or fragment, in every open browser, and each time looks at all that was
ever imported: 70 ms in which no other page runs. What is there at the start stays until the end, so it is put aside once; what
pages leave behind is collected as Python does by itself.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

import plotly.graph_objects as go
from streamlit.starlette import App

SWITCH_S = 0.0005
"""How long a thread may keep the interpreter from others: with Python's 5 ms a page waits so long for each answer of an API while
another page is drawn."""


@asynccontextmanager
async def warmed(_app: App) -> AsyncIterator[None]:
    """For the lifespan of the application: Streamlit's runtime, which caches of pages need, is there already."""
    warm()
    yield


def warm() -> None:
    """Import the pages, let Plotly learn its own schema, and keep the garbage collector from looking at it all again."""
    import_module("dashboard.sitemap")
    go.Figure(go.Scatter(x=[0], y=[0]), layout={"xaxis": {"title": "x"}}).to_json()
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_S)
