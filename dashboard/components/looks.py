"""Looking closer at two faces without asking the server: zoom, blink, the list of keys, the way into the note.

A script in the page listens to its keys and sets marks on the document that `style.css` reads, so a look costs no round
trip and works while a decision is on its way. Keys rest while somebody types in a field.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

from dashboard.components.markup import text

KEYS = (
    ("Z", "zoom: ×2, ×4, back; the pointer or the arrow keys choose the place, in both faces alike"),
    ("X", "blink: both faces by turns in one place; once more for side by side"),
    ("E", "write a note; Escape leaves it"),
    ("?", "show or hide this list"),
)


def listen(case_id: str, pair: int) -> None:
    """Once per page run; another case or pair starts without zoom and blink."""
    _component()(key="looks", data={"shown": f"{case_id}/{pair}"}, height=1)


def legend(buttons: tuple[tuple[str, str], ...]) -> str:
    """All keys of the page; hidden until `?` is pressed."""
    rows = "".join(f"<div><kbd>{text(key)}</kbd><span>{text(what)}</span></div>" for key, what in (*buttons, *KEYS))
    return f'<div class="keys" role="note" aria-label="Keys">{rows}</div>'


@cache
def _component() -> ComponentRenderer:
    script = Path(__file__).with_name("looks.js").read_text("utf-8")
    renderer: ComponentRenderer = st.components.v2.component(
        "face_auth_looks", html='<span class="looks"></span>', js=script, isolate_styles=False
    )
    return renderer
