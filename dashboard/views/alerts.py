"""Alerts: what fires, what is held back, what was, what was told of it; and whether the error budget lasts."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard import parts, phrases
from dashboard.components import frame, outcome
from dashboard.components.markup import badge, block, text, verdict
from dashboard.fetch import alerts as fetch
from dashboard.palette import ALERTS, SEVERITIES
from dashboard.tables import alerts as tables
from dashboard.views import alert, burn, notifications, quiet
from monitor import wire

ALERT = "alert"
PLACE = "alerts"
REFRESH_S = 3.0
CURSOR = "alerts-cursor"


def page() -> None:
    frame.heading("Alerts", "What is wrong, what is held back, and who was told.")
    if alert_id := st.query_params.get(ALERT):
        st.button("Back to the list", shortcut="B", icon=":material/arrow_back:", on_click=_close)
        alert.draw(alert_id)
        return
    part = st.segmented_control(
        "What to show",
        list(PARTS),
        default="Firing",
        required=True,
        key="alerts-part",
        label_visibility="collapsed",
        persist_state="page",
    )
    outcome.draw(PLACE)
    PARTS[part or "Firing"]()


def _firing() -> None:
    st.fragment(_live_firing, run_every=REFRESH_S)()


def _live_firing() -> None:
    if not frame.still_signed_in():
        return
    fires, waits = fetch.live()
    firing = frame.shown(fires, "list of alerts")
    if firing is None:
        return
    waiting = list(waits.value.items) if waits.value else []
    tone, sentence = tables.sentence(firing.items, len(waiting))
    st.html(block(verdict(tone, sentence)))
    _list(tables.by_urgency(tables.loud(firing.items)), "No alert fires that is told to anybody. Each one would be here.")
    if held := tables.quiet(firing.items):
        st.subheader(f"Held back ({len(held)})", anchor=False)
        st.caption("They fire, and nobody is told: a silence, a maintenance window, or flapping holds them back.")
        _list(tables.by_urgency(held), "")
    if waiting:
        st.subheader(f"Noticed ({len(waiting)})", anchor=False)
        st.caption("Not yet so for as long as their rules ask. They fire, or go away without a trace.")
        _list(tables.by_urgency(waiting), "")


def _history() -> None:
    cursor = st.session_state.get(CURSOR)
    found = frame.shown(fetch.alerts(wire.AlertState.resolved, cursor), "history")
    if found is None:
        return
    if found.items:
        st.caption(
            f"{'at least ' if found.total_is == 'at_least' else ''}{phrases.counted(found.total, 'alert')}, the newest first"
        )
    _list(found.items, "No alert has ended yet. Each one that fired would be here when it is over.")
    with st.container(horizontal=True):
        if cursor:
            st.button("First page", on_click=_go, args=(None,))
        if found.next:
            st.button("Next page", on_click=_go, args=(found.next,))


def _list(alerts: list[wire.Alert], nothing: str) -> None:
    if not alerts and nothing:
        frame.empty(nothing)
    now = parts.current().now()
    with st.container(gap="xsmall"):
        for one in alerts:
            with st.container(horizontal=True, vertical_alignment="center", border=True, gap="small", key=f"row-{one.id}"):
                st.html(block(_row(one, now)), width="stretch")
                st.button("Open", key=f"open-{one.id}", on_click=_open, args=(one.id,), width=90)


def _row(one: wire.Alert, now: float) -> str:
    over = one.state is wire.AlertState.resolved
    look = ALERTS["resolved"] if over else SEVERITIES[one.severity]
    return (
        f'<div class="alert">{badge(look)}<div><strong>{text(one.rule)}</strong> '
        f'<span class="soft">{text(tables.subject(one))}</span>'
        f"<p>{text(one.sentence)}</p>"
        f'<span class="soft">{text(tables.state(one, now))} · <code>{text(one.reason)}</code></span></div></div>'
    )


def _open(alert_id: str) -> None:
    outcome.forget(PLACE)
    st.query_params[ALERT] = alert_id


def _close() -> None:
    outcome.forget(alert.PLACE)
    st.query_params.pop(ALERT, None)


def _go(cursor: str | None) -> None:
    st.session_state[CURSOR] = cursor


PARTS: dict[str, Callable[[], None]] = {
    "Firing": _firing,
    "History": _history,
    "Silences": quiet.silences,
    "Maintenance": quiet.maintenance,
    "Deliveries": notifications.deliveries,
    "Routes": notifications.routes,
    "Error budget": burn.draw,
}
