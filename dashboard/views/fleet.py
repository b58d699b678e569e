"""Fleet: is everything well, and if not, what is wrong."""

from __future__ import annotations

from typing import TypeVar

import streamlit as st

from dashboard import parts
from dashboard.components import frame, whole_fleet
from dashboard.components.markup import block
from dashboard.fetch import fleet
from dashboard.fetch.seen import Seen
from dashboard.tables import fleet as tables

Value = TypeVar("Value")


def page() -> None:
    frame.heading("Fleet", "Every backend as the monitor sees it. Disagreement comes first, then what is worst.")
    st.fragment(frame.live(_live), run_every=parts.current().settings.refresh_s)()


def _live() -> None:
    view = frame.shown(fleet.fleet(), "state of the fleet")
    if view is None:
        return
    if not view.items:
        frame.empty("No backend is watched: fleet.yaml names none yet. Each one would have its card here.")
        return
    now, zone = parts.current().now(), frame.zone()
    found, windows = _beside(fleet.load(60.0)), _beside(fleet.maintenance())
    firing = _beside(fleet.firing())
    findings = tables.findings(found.findings if found else [])
    st.html(
        block(
            whole_fleet.headline(view, now),
            whole_fleet.fail_open(view),
            whole_fleet.firing(firing or []),
            whole_fleet.notes(view, now, findings.get(None, ())),
            whole_fleet.balancer(view),
            whole_fleet.groups(
                view,
                now,
                {name: said for name, said in findings.items() if name is not None},
                tables.out_of_service(view.items, windows or [], now, zone),
            ),
        )
    )
    late = f", {view.lateness_ms:.0f} ms late" if view.lateness_ms and view.lateness_ms > 250 else ""
    st.caption(
        f"Probed every {view.interval_s:g} s{late}; DOWN after {view.fall} failures, up again after {view.rise} passes. "
        "Grey means no fresh sample: the state before it is shown, not trusted."
    )
    if found is None or windows is None or firing is None:
        st.caption("Alerts, findings of the load or maintenance windows could not be read just now: they may be missing above.")


def _beside(seen: Seen[Value]) -> Value | None:
    """What the cards can do without: a failure is said once, below."""
    return seen.value if seen.failure is None else None
