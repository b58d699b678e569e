"""One alert: what it means, its history, who was told; acknowledge it, or silence it with an end."""

from __future__ import annotations

import streamlit as st

from dashboard import identity, ids, parts, phrases, runbook
from dashboard.components import frame, outcome
from dashboard.components.markup import badge, block, facts, table, text
from dashboard.fetch import alerts as fetch
from dashboard.palette import ALERTS, QUIET, SEVERITIES
from dashboard.roles import Right, may
from dashboard.tables import alerts as tables
from dashboard.views import quiet
from monitor import wire

PLACE = "alert"
REFRESH_S = 3.0


def draw(alert_id: str) -> None:
    outcome.draw(PLACE)
    if not ids.may_be_ours(alert_id):
        st.error("This address names no alert: an id of ours begins with alr_.")
        return
    seen = fetch.alert(alert_id)
    st.fragment(_live_head, run_every=REFRESH_S)(alert_id)
    found = seen.value
    if found is None:
        return
    if may(identity.person().roles, Right.operate):
        _act(found)
    _meaning(found)
    st.fragment(_live_history, run_every=REFRESH_S)(alert_id)


def _live_head(alert_id: str) -> None:
    if not frame.still_signed_in():
        return
    found = frame.shown(fetch.alert(alert_id), "alert")
    if found is not None:
        st.html(block(_head(found), _facts(found)))


def _live_history(alert_id: str) -> None:
    if not frame.still_signed_in():
        return
    found = fetch.alert(alert_id).value  # what is wrong with the monitor stands at the head
    if found is None:
        return
    zone, now = frame.zone(), parts.current().now()
    st.subheader("History", anchor=False)
    st.html(block(table(tables.STEPS, tables.steps(found, zone, now))))
    st.subheader("Who was told", anchor=False)
    if found.deliveries:
        st.html(block(table(tables.TOLD, tables.told(found.deliveries, zone, now), numeric=["Attempts"])))
    else:
        frame.empty(_nobody(found))


def _head(found: wire.AlertDetail) -> str:
    over = found.state is not wire.AlertState.firing
    state = badge(ALERTS[found.state]) if over else ""
    return (
        f'<div class="head">{badge(SEVERITIES[found.severity])}{state}'
        f'<h3>{text(found.rule)} <span class="soft">{text(tables.subject(found))}</span></h3></div>'
        f'<p class="why {SEVERITIES[found.severity].tone}"><code>{text(found.reason)}</code> {text(found.sentence)}</p>'
    )


def _facts(found: wire.AlertDetail) -> str:
    zone, now = frame.zone(), parts.current().now()
    acknowledged = "by nobody yet"
    if found.acknowledged_by:
        acknowledged = f"by {phrases.actor(found.acknowledged_by)}, {phrases.since(found.acknowledged_at, now)}"
    return facts(
        [
            ("Fires since", phrases.when(found.starts_at, now, zone)),
            *([("Over since", phrases.when(found.ends_at, now, zone))] if found.ends_at else []),
            ("Whose fault", phrases.owner(found.owner)),
            ("Acknowledged", acknowledged),
            ("Held back", QUIET[found.quiet] if found.quiet else "no"),
            ("Evidence", "none at the moment: the last state stands" if found.stale else "fresh"),
            ("Alert id", found.id),
        ],
        wide=True,
    )


def _nobody(found: wire.AlertDetail) -> str:
    if found.quiet:
        return f"Nobody was told: {QUIET[found.quiet]}. What is told would be here, with what came of it."
    if not any(step.what.startswith("told ") for step in found.history):
        return "Nobody was told of it yet. What is told would be here."
    return "Nobody was told of it: no alert route takes this severity. What is told would be here."


def _act(found: wire.AlertDetail) -> None:
    if found.state is not wire.AlertState.firing and found.quiet is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if found.state is wire.AlertState.firing and found.acknowledged_by is None:
            st.button(
                "Acknowledge",
                type="primary",
                key="alert-acknowledge",
                shortcut="A",
                help="I look after it. No more reminders until it is over.",
                on_click=frame.acting(_acknowledge),
                args=(found.id,),
            )
    with st.expander("Silence it", icon=":material/notifications_paused:"):
        quiet.new_silence(f"alert-{found.id}", tables.matchers_of(found), place=PLACE)


def _acknowledge(alert_id: str) -> None:
    outcome.attempt(
        PLACE, lambda: parts.current().operator.acknowledge(alert_id), "Acknowledged: no more reminders until it is over."
    )


def _meaning(found: wire.AlertDetail) -> None:
    st.subheader("What it means, and what to look at", anchor=False)
    entry = runbook.entry(found.rule)
    if entry:
        meaning, look = entry
        st.html(block(f"<p>{text(meaning)}</p>", f'<p class="look"><strong>Look at:</strong> {text(look)}</p>'))
    served = fetch.fleet_file().value
    if served and served.runbook_url:
        st.link_button("Runbook", f"{served.runbook_url}#{found.rule.lower()}", icon=":material/menu_book:")
    else:
        st.caption(f"Its entry: {phrases.plain(found.runbook)}")
