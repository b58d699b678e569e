"""Settings: the fleet file as the monitor sees it, API keys, people, and what each role may do."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard import identity, parts
from dashboard.components import frame
from dashboard.components.markup import block, facts, table, text, verdict
from dashboard.fetch import alerts as fetch
from dashboard.roles import Right, Role, may
from dashboard.tables import settings as tables
from dashboard.views import keys, people

REFRESH_S = 5.0
NOBODY = ":material/notifications_off:"


def page() -> None:
    frame.heading(
        "Settings", "What the system was told, and who may do what. Files and commands change it, beside what stands here."
    )
    offered = {name: draw for name, (right, draw) in PARTS.items() if may(identity.person().roles, right)}
    part = st.segmented_control(
        "What to show", list(offered), default="Fleet file", required=True, key="settings-part", label_visibility="collapsed"
    )
    offered.get(part or "Fleet file", _fleet_file)()


def _fleet_file() -> None:
    st.fragment(_live_fleet_file, run_every=REFRESH_S)()


def _live_fleet_file() -> None:
    if not frame.still_signed_in():
        return
    seen = frame.shown(fetch.fleet_file(), "fleet file")
    if seen is None:
        return
    now = parts.current().now()
    tone, sentence = tables.fleet_state(seen, now)
    st.html(block(verdict(tone, sentence), f'<p class="soft">Read from <code>{text(seen.path)}</code></p>'))
    if seen.mistakes:
        st.subheader("Why it is refused", anchor=False)
        st.html(block(table(["Line", "Field", "Reason"], tables.mistakes(seen), numeric=["Line"])))
    st.html(block(facts(tables.facts(seen), wide=True)))
    st.subheader("Backends", anchor=False)
    st.html(block(table(tables.BACKENDS, tables.backends(seen), numeric=["Weight"])))
    st.subheader("Alert routes", anchor=False)
    if seen.alert_routes:
        rows = [[one.name, one.kind, f"{one.min_severity} and worse"] for one in seen.alert_routes]
        st.html(block(table(["Name", "Kind", "Takes"], rows)))
        st.caption("Addresses and keys are secrets: they stand in no answer of the monitor. Test a route on the page Alerts.")
    else:
        # not one of the empty lists that are as they should be
        st.warning("No alert route is described: nobody is told when something fires. Each would be here.", icon=NOBODY)


def _roles() -> None:
    st.caption("Both APIs check again with each call; docs/permissions.md has every call.")
    heads = ["What", *(role.value for role in Role)]
    st.html(block(table(heads, tables.rights())))
    st.html(block(*(f'<p><strong>{role.value}</strong> <span class="soft">{words}</span></p>' for role, words in _said())))


def _said() -> list[tuple[Role, str]]:
    return list(tables.ROLES.items())


PARTS: dict[str, tuple[Right, Callable[[], None]]] = {
    "Fleet file": (Right.see_fleet, _fleet_file),
    "API keys": (Right.manage, keys.draw),
    "People": (Right.see_fleet, people.draw),
    "Roles": (Right.see_fleet, _roles),
}
