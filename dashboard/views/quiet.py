"""Silences and maintenance windows: those that there are, and making one. Each has an author, a reason and an end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import streamlit as st

from dashboard import identity, parts, phrases
from dashboard.components import frame, outcome
from dashboard.components.markup import badge, block, text
from dashboard.fetch import alerts as fetch
from dashboard.palette import SPANS
from dashboard.roles import Right, may
from dashboard.tables import alerts as tables
from monitor import wire

PLACE = "alerts"
OTHER = "Other"
EVERY = "The whole fleet"


def silences() -> None:
    st.caption("A silence holds back what is told of alerts that fit. It hides nothing: they still fire, and stand on this page.")
    if _may():
        with st.expander("New silence", icon=":material/add:"):
            new_silence("silence", {}, place=PLACE)
    found = frame.shown(fetch.silences(), "list of silences")
    if found is None:
        return
    _spans(found.items, "Nothing is silenced, and nothing was. Each silence would be here, with its author and its end.")


def maintenance() -> None:
    st.caption("While a backend is in maintenance, nothing is told of it. What is still wrong when the window ends is told then.")
    if _may():
        with st.expander("New maintenance window", icon=":material/add:"):
            _new_maintenance()
    found = frame.shown(fetch.maintenance(), "list of maintenance windows")
    if found is None:
        return
    _spans(found.items, "There is no maintenance window, and there was none. Each would be here, with its author and its end.")


def new_silence(key: str, matchers: Mapping[str, str], *, place: str) -> None:
    """`matchers` are what the form begins with; `key` is the form's own."""
    st.text_area(
        "Which alerts",
        tables.matchers_text(matchers),
        key=f"{key}-matchers",
        placeholder="rule=BackendDown\nbackend=b1",
        help="One label=pattern a line; all must fit. * and ? stand for anything and for one character. "
        "Labels: rule, severity, owner, and the alert's own (backend, certificate …).",
        height=100,
    )
    _reason_and_end(key)
    st.button("Silence", type="primary", key=f"{key}-do", on_click=frame.acting(_silence), args=(key, place))


def _new_maintenance() -> None:
    seen = fetch.fleet_file().value
    names = [one.name for one in seen.backends] if seen else []
    st.multiselect("Backends", names, key="maintenance-backends", placeholder=EVERY, help="With none named: the whole fleet.")
    begin = st.segmented_control("Begins", ["Now", "Later"], default="Now", required=True, key="maintenance-begin")
    if begin == "Later":
        _moment("Begins at", "maintenance-starts", timedelta(hours=1))
    _reason_and_end("maintenance")
    st.button("Begin maintenance", type="primary", key="maintenance-do", on_click=frame.acting(_maintain))


def _reason_and_end(key: str) -> None:
    st.text_input("Reason", key=f"{key}-reason", max_chars=500, help="For your colleagues. It does not stand in the audit trail.")
    end = st.segmented_control("Ends after", [*tables.ENDS, OTHER], key=f"{key}-end")
    if end == OTHER:
        _moment("Ends at", f"{key}-ends", timedelta(hours=2))


def _moment(label: str, key: str, ahead: timedelta) -> None:
    now = fetch.now().astimezone(frame.zone()).replace(tzinfo=None, second=0, microsecond=0)
    st.datetime_input(
        f"{label} (your time)",
        now + ahead,
        min_value=now,
        max_value=now + 2 * tables.LONGEST,
        key=key,
        format="YYYY-MM-DD",
    )


def _silence(key: str, place: str) -> None:
    state = st.session_state
    try:
        matchers = tables.read_matchers(str(state.get(f"{key}-matchers", "")))
        asked = wire.NewSilence(matchers=matchers, ends_at=_end(key, fetch.now()), comment=_reason(key))
    except ValueError as error:
        outcome.say(place, "warn", _sentence(error))
        return
    if outcome.attempt(place, lambda: parts.current().operator.silence(asked), "Silenced. It ends by itself."):
        state[f"{key}-reason"], state[f"{key}-end"] = "", None


def _maintain() -> None:
    state = st.session_state
    try:
        later = state.get("maintenance-begin") == "Later"
        starts_at = _chosen("maintenance-starts") if later else None
        asked = wire.NewMaintenance(
            backends=list(state.get("maintenance-backends") or []),
            starts_at=starts_at,
            ends_at=_end("maintenance", starts_at or fetch.now()),
            comment=_reason("maintenance"),
        )
    except ValueError as error:
        outcome.say(PLACE, "warn", _sentence(error))
        return
    who = ", ".join(asked.backends) or EVERY.lower()
    if outcome.attempt(
        PLACE, lambda: parts.current().operator.maintain(asked), f"Maintenance of {who} is noted. It ends by itself."
    ):
        state["maintenance-reason"], state["maintenance-end"] = "", None


def _end(key: str, begin: datetime) -> datetime:
    chosen = st.session_state.get(f"{key}-end")
    if chosen is None:
        raise ValueError("Choose when it ends: nothing is quiet without an end.")
    return _chosen(f"{key}-ends") if chosen == OTHER else begin + tables.ENDS[str(chosen)]


def _chosen(key: str) -> datetime:
    at = st.session_state.get(key)
    if not isinstance(at, datetime):
        raise ValueError("Choose a day and a time.")
    return at.replace(tzinfo=frame.zone())


def _reason(key: str) -> str:
    reason = str(st.session_state.get(f"{key}-reason") or "").strip()
    if not reason:
        raise ValueError("Give a reason: whoever looks next wants to know why it is quiet.")
    return reason


def _sentence(error: ValueError) -> str:
    """Ours as it is; of the schema's the first complaint."""
    complaints = getattr(error, "errors", None)
    return str(complaints()[0]["msg"]) if callable(complaints) else str(error)


def _spans(items: list[wire.Silence] | list[wire.Maintenance], nothing: str) -> None:
    if not items:
        frame.empty(nothing)
    now, zone = parts.current().now(), frame.zone()
    with st.container(gap="xsmall"):
        for one in items:
            state = tables.span_state(one.starts_at, one.ends_at, fetch.now())
            of = tables.fits(one.matchers) if isinstance(one, wire.Silence) else ", ".join(one.backends) or EVERY
            lifted = f" · ended early by {phrases.actor(one.lifted_by)}" if one.lifted_by else ""
            by = f"{phrases.actor(one.author)}, {tables.span_text(one.starts_at, one.ends_at, now, zone)}{lifted}"
            with st.container(horizontal=True, vertical_alignment="center", border=True, gap="small", key=f"row-{one.id}"):
                body = f'<div><strong>{text(of)}</strong><p>{text(one.comment)}</p><span class="soft">{text(by)}</span></div>'
                st.html(block(f'<div class="alert">{badge(SPANS[state])}{body}</div>'), width="stretch")
                if state != "over" and _may():
                    lift = _lift if isinstance(one, wire.Silence) else _end_maintenance
                    st.button("End now", key=f"end-{one.id}", on_click=frame.acting(lift), args=(one.id,), width=110)


def _lift(silence_id: str) -> None:
    def lift() -> None:
        parts.current().operator.lift_silence(silence_id)

    outcome.attempt(PLACE, lift, "The silence is over: what it held back is told now.")


def _end_maintenance(maintenance_id: str) -> None:
    def end() -> None:
        parts.current().operator.end_maintenance(maintenance_id)

    outcome.attempt(PLACE, end, "The window is over: what is still wrong is told now.")


def _may() -> bool:
    return may(identity.person().roles, Right.operate)
