"""Fleet: is everything well, and if not, what is wrong."""

from __future__ import annotations

import streamlit as st

from dashboard import parts
from dashboard.components import backend_card, frame
from dashboard.components.markup import block
from dashboard.fetch import fleet


def page() -> None:
    frame.heading("Fleet", "Every backend as the monitor sees it. Disagreement comes first, then what is worst.")
    st.fragment(_live, run_every=parts.current().settings.refresh_s)()


def _live() -> None:
    if not frame.still_signed_in():
        return
    view = frame.shown(fleet.fleet(), "state of the fleet")
    if view is None:
        return
    if not view.items:
        frame.empty("No backend is watched: fleet.yaml names none yet. Each one would have its card here.")
        return
    now = parts.current().now()
    st.html(
        block(
            backend_card.headline(view, now), backend_card.notes(view), backend_card.balancer(view), backend_card.cards(view, now)
        )
    )
    late = f", {view.lateness_ms:.0f} ms late" if view.lateness_ms and view.lateness_ms > 250 else ""
    st.caption(
        f"Probed every {view.interval_s:g} s{late}; DOWN after {view.fall} failures, up again after {view.rise} passes. "
        "Grey means no fresh sample: the state before it is shown, not trusted."
    )
