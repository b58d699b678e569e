"""What an operator does to one backend: drain, maintenance, return. Each is confirmed by its name and judged by the server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import streamlit as st

from dashboard import failures, parts, phrases
from dashboard.components import frame
from dashboard.components.markup import block, said
from dashboard.fetch import fleet
from dashboard.fetch import one_backend as fetch
from dashboard.tables import backend as tables
from dashboard.tables import fleet as of_fleet
from monitor import wire

ACTIONS = ("Drain", "Return", "Maintenance")
LENGTHS_MIN = {15: "15 min", 30: "30 min", 60: "1 h", 120: "2 h", 240: "4 h", 480: "8 h", 1440: "24 h"}
Act = Callable[[str], tuple[str, str]]
"""does it to a backend; gives tone and sentence"""


def draw(name: str) -> None:
    """The choice of an action, its form, and what came of the last one."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Take out of service, put back**", width="content")
        chosen = st.segmented_control("Operate", ACTIONS, key=f"operate-{name}", label_visibility="collapsed", width="content")
    told = st.session_state.get(f"operated-{name}")
    if told is not None:
        st.html(block(said(*told)))
    if chosen == "Drain":
        _drain(name)
    elif chosen == "Return":
        _return(name)
    elif chosen == "Maintenance":
        _maintenance(name)


def _drain(name: str) -> None:
    figures = frame.shown(fetch.figures(name), "count of who would be left")
    left = figures.without_it if figures else None
    with st.form(f"drain-{name}"):
        st.markdown(f"**Drain {phrases.plain(name)}**: it says that it is not ready and goes on serving, until it is returned.")
        if figures is not None and figures.drain_since is not None:
            st.caption(f"It drains already, since {phrases.when(figures.drain_since, parts.current().now(), frame.zone())}.")
        if left is not None and left.refused:
            few = "That is fewer than half of the fleet: the monitor refuses it unless you accept it here."
            st.warning(f"{phrases.plain(left.sentence)} {few}", icon=":material/groups:")
        elif left is not None:
            st.info(phrases.plain(left.sentence), icon=":material/groups:")
        if left is None or left.refused:
            st.checkbox(
                f"I accept that only {len(left.names)} of {left.total} are left" if left else "I accept that none may be left",
                key=f"drain-accept-{name}",
            )
        _confirmed(name, "drain", f"Drain {name}", lambda one: _drained(one, len(left.names) if left else 0))


def _return(name: str) -> None:
    with st.form(f"return-{name}"):
        st.markdown(f"**Return {phrases.plain(name)}**: it is told to serve again. Maintenance windows stay as they are.")
        _confirmed(name, "return", f"Return {name}", _returned)


def _maintenance(name: str) -> None:
    now = parts.current().now()
    windows = frame.shown(fleet.maintenance(), "list of maintenance windows")
    holding = tables.active(windows or [], name, now)
    for window in holding:
        with st.form(f"end-{name}-{window.id}"):
            st.markdown(phrases.plain(of_fleet.maintained(window, now, frame.zone())))
            if not window.backends:
                st.warning("This window holds for the whole fleet: it ends for everybody.", icon=":material/groups:")
            _confirmed(name, f"end-{window.id}", "End this maintenance", lambda one, window=window: _ended(one, window.id))  # type: ignore[misc]
    if windows is not None and not holding:
        st.caption("No maintenance holds for it now.")
    with st.form(f"maintain-{name}"):
        st.markdown(
            f"**Begin maintenance of {phrases.plain(name)}**: its alerts are not told and it counts in no share."
            " It still gets requests: drain it too where it must not."
        )
        st.text_input("Reason", key=f"maintain-reason-{name}", max_chars=500)
        st.selectbox("Ends in", list(LENGTHS_MIN), index=2, format_func=LENGTHS_MIN.__getitem__, key=f"maintain-length-{name}")
        _confirmed(name, "maintain", "Begin maintenance", _maintained)


def _confirmed(name: str, what: str, label: str, act: Act) -> None:
    """The name, typed, and the button. What was typed stays where the action is refused."""
    key = f"confirm-{what}-{name}"
    st.text_input(f"Type {name} to confirm", key=key, max_chars=80, autocomplete="off")
    st.form_submit_button(label, type="primary", on_click=frame.acting(_do), args=(name, key, act))


def _do(name: str, key: str, act: Act) -> None:
    if str(st.session_state.get(key) or "").strip() != name:
        st.session_state[f"operated-{name}"] = ("bad", f"Nothing was done: type {name} to confirm.")
        return
    try:
        st.session_state[f"operated-{name}"] = act(name)
    except failures.FAILURES as error:
        st.session_state[f"operated-{name}"] = ("bad", failures.sentence(error))
        return
    st.session_state[key] = ""


def _drained(name: str, left: int) -> tuple[str, str]:
    accept = left if st.session_state.get(f"drain-accept-{name}") else None
    done = parts.current().operator.drain(name, accept_left=accept)
    heard = "It was told" if done.told else "It does not answer, and is told as soon as it does"
    return "good" if done.told else "warn", f"{name} drains. {heard}. {done.sentence} {done.next}"


def _returned(name: str) -> tuple[str, str]:
    done = parts.current().operator.put_back(name)
    return "good" if done.told else "warn", f"{name} is no longer drained by an operator. {done.next}"


def _maintained(name: str) -> tuple[str, str]:
    reason = str(st.session_state.get(f"maintain-reason-{name}") or "").strip()
    if not reason:
        return "bad", "Nothing was done: give a reason, for those who see it later."
    minutes = st.session_state.get(f"maintain-length-{name}") or 60
    ends_at = datetime.fromtimestamp(parts.current().now(), UTC) + timedelta(minutes=minutes)
    made = parts.current().operator.maintain(wire.NewMaintenance(backends=[name], ends_at=ends_at, comment=reason))
    return "good", f"Maintenance of {name} holds until {phrases.when(made.ends_at, parts.current().now(), frame.zone())}."


def _ended(name: str, window_id: str) -> tuple[str, str]:
    parts.current().operator.end_maintenance(window_id)
    return "good", "The maintenance is over. What is still wrong is told again."
