"""What was told to whom as it was sent, and the routes on which it goes."""

from __future__ import annotations

import streamlit as st

from dashboard import identity, parts, phrases
from dashboard.components import frame, outcome
from dashboard.components.markup import badge, block, line, text
from dashboard.fetch import alerts as fetch
from dashboard.palette import DELIVERIES, SEVERITIES
from dashboard.roles import Right, may
from monitor import wire

PLACE = "alerts"
CURSOR = "deliveries-cursor"
EVERY = "Every route"


def deliveries() -> None:
    seen = fetch.fleet_file().value
    names = [EVERY, *(one.name for one in seen.alert_routes)] if seen else [EVERY]
    chosen = st.selectbox("Route", names, key="deliveries-route", on_change=_go, args=(None,))
    cursor = st.session_state.get(CURSOR)
    found = frame.shown(fetch.deliveries(None if chosen == EVERY else chosen, cursor), "list of deliveries")
    if found is None:
        return
    if not found.items:
        frame.empty("Nothing was told yet. Each notification would be here, with its text and what came of it.")
        return
    for one in found.items:
        _delivery(one)
    with st.container(horizontal=True):
        if cursor:
            st.button("First page", on_click=_go, args=(None,))
        if found.next:
            st.button("Next page", on_click=_go, args=(found.next,))


def _delivery(one: wire.Delivery) -> None:
    now, zone = parts.current().now(), frame.zone()
    look = DELIVERIES[one.state]
    title = one.title or f"{one.kind} {one.severity}"
    tries = phrases.counted(one.attempts, "attempt")
    about = f"to {one.route} · {phrases.when(one.sent_at or one.created_at, now, zone)} · {tries}"
    came = f'<p class="soft">{text(one.answer)}</p>' if one.answer and one.state != "sent" else ""
    with st.container(border=True, gap="xsmall"):
        body = f'<div><strong>{text(title)}</strong> <span class="soft">{text(about)}</span>{came}</div>'
        st.html(block(f'<div class="alert">{badge(look)}{body}</div>'))
        with st.expander("As it is sent"):
            st.code(one.text or "This monitor does not show its text: it is of an older release.", language=None, wrap_lines=True)
            asked = f"Idempotency-Key {one.idempotency_key}"
            due = f" · the next attempt {phrases.when(one.due_at, now, zone)}" if one.state == "waiting" else ""
            st.caption(phrases.plain(f"{asked}{due}"))


def routes() -> None:
    st.caption("Where notifications go, as fleet.yaml says. Their addresses are secrets and are shown nowhere.")
    found = frame.shown(fetch.fleet_file(), "list of routes")
    if found is None:
        return
    if not found.alert_routes:
        frame.empty("No route is described: nobody is told of anything. Add `alerts: routes:` to fleet.yaml; each would be here.")
        return
    operates = may(identity.person().roles, Right.operate)
    with st.container(gap="xsmall"):
        for one in found.alert_routes:
            with st.container(horizontal=True, vertical_alignment="center", border=True, gap="small", key=f"row-{one.name}"):
                kind = "Alertmanager" if one.kind == "alertmanager" else "through Apprise"
                st.html(block(line(SEVERITIES[one.min_severity], one.name, f"{kind}, from this severity on")), width="stretch")
                if operates:
                    st.button(
                        "Send a test", key=f"test-{one.name}", on_click=frame.acting(_test), args=(one.name,), width=130,
                        help="A notification that says it is a test, now.",
                    )  # fmt: skip


def _test(name: str) -> None:
    came: list[wire.RouteTest] = []
    if outcome.attempt(PLACE, lambda: came.append(parts.current().operator.test_route(name)), ""):
        one = came[0]
        took = phrases.milliseconds(one.took_ms)
        if one.delivered:
            outcome.say(PLACE, "good", f"The test arrived at {one.route} after {took}: {one.answer}.")
        else:
            outcome.say(PLACE, "bad", f"The test did not arrive at {one.route} (after {took}): {one.answer}.")


def _go(cursor: str | None) -> None:
    st.session_state[CURSOR] = cursor
