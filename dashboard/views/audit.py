"""Audit: who did what, at the backends and at the monitor; whether the chain holds; the trails as files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from urllib.parse import urlencode

import streamlit as st

from backend import wire
from dashboard import failures, parts, phrases, trail_export
from dashboard.components import frame, outcome
from dashboard.components.markup import block, text, verdict
from dashboard.components.trail import trail
from dashboard.fetch import trail as fetch
from dashboard.tables import trail as tables

CURSOR = "audit-cursor"
VERIFIED = "audit-verified"
BACKENDS, OPERATORS = "Backends", "Monitor"
PLACE = "audit"
ENOUGH_S = 60.0
"""one press follows the chain for so long at most; the next one goes on"""


@dataclass(frozen=True)
class Followed:
    """All stretches so far together; `at` in seconds since the epoch."""

    last: wire.AuditVerification
    checked: int
    restores: int
    at: float


def page() -> None:
    frame.heading("Audit", "Who did what to which object. Opaque ids and codes: no name of a subject, no image, no note.")
    part = st.segmented_control(
        "Which trail", [BACKENDS, OPERATORS], default=BACKENDS, required=True, key="audit-part", label_visibility="collapsed",
        on_change=_first_page,
    )  # fmt: skip
    if part == OPERATORS:
        _operators()
    else:
        _backends()


def _backends() -> None:
    _verification()
    wanted = _filters()
    if wanted is None:
        return
    cursor = st.session_state.get(CURSOR)
    found = frame.shown(fetch.events(wanted, cursor), "page of the trail")
    if found is None:
        return
    if not found.items:
        asked = (
            "No event fits these conditions." if wanted != fetch.Filter() else "Nothing was done yet: each event would be here."
        )
        frame.empty(asked)
        return
    _count(found.total, found.total_is == "at_least", "event")
    rows = tables.events(found.items, fetch.key_names(), frame.zone(), parts.current().now())
    st.html(block(trail(rows)))
    _pages(cursor, found.next)
    _exports("audit", wanted)


def _operators() -> None:
    st.caption("What operators did at the monitor: drains, silences, maintenance, diagnoses, tests of routes.")
    cursor = st.session_state.get(CURSOR)
    found = frame.shown(fetch.operators(cursor), "page of the trail")
    if found is None:
        return
    if not found.items:
        frame.empty("No operator has done anything at this monitor yet: each act would be here.")
        return
    _count(found.total, found.total_is == "at_least", "act")
    rows = tables.actions(found.items, fetch.key_names(), frame.zone(), parts.current().now())
    st.html(block(trail(rows)))
    _pages(cursor, found.next)
    _exports("operators", fetch.Filter())


# --- filters and pages ------------------------------------------------------------------------------------------------


def _filters() -> fetch.Filter | None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        actor = st.text_input("Who", key="audit-actor", placeholder="name, or key id", on_change=_first_page)
        action = st.text_input("What", key="audit-action", placeholder="e.g. case.decide", on_change=_first_page)
        on = st.text_input("On", key="audit-object", placeholder="subject or case id", on_change=_first_page)
        days = st.date_input(
            "Days (your zone)", [], key="audit-days", format="YYYY-MM-DD", on_change=_first_page, max_value=date(2999, 12, 31)
        )
    after, before = _span(days)
    return fetch.Filter(_actor(actor.strip()), action.strip() or None, on.strip() or None, after, before)


def _actor(given: str) -> str | None:
    """A person's name is enough: ids of people are `usr_` and it. A key goes by its name too, where the reader may know it."""
    if not given:
        return None
    named = {name: key for key, name in fetch.key_names().items()}
    if given in named:
        return named[given]
    return given if given.startswith(("usr_", "key_")) or given == "system" else f"usr_{given}"


def _span(days: object) -> tuple[datetime | None, datetime | None]:
    """Of one or two days in the reader's zone: from the beginning of the first to the end of the last."""
    given = [day for day in days if isinstance(day, date)] if isinstance(days, tuple) else []
    if not given:
        return None, None
    zone = frame.zone()
    return (
        datetime.combine(given[0], time(), zone),
        datetime.combine(given[-1] + timedelta(days=1), time(), zone),
    )


def _count(total: int, at_least: bool, what: str) -> None:
    st.caption(f"{'at least ' if at_least else ''}{phrases.counted(total, what)}, the newest first")


def _pages(cursor: str | None, following: str | None) -> None:
    with st.container(horizontal=True):
        if cursor:
            st.button("First page", on_click=_first_page)
        if following:
            st.button("Next page", on_click=_go, args=(following,))


def _first_page() -> None:
    st.session_state.pop(CURSOR, None)


def _go(cursor: str) -> None:
    st.session_state[CURSOR] = cursor


def _exports(name: str, wanted: fetch.Filter) -> None:
    """Plain links to routes of ours: see `dashboard.trail_export` for why no download button."""
    query = urlencode(wanted.query())
    links = "".join(
        f'<a class="button" href="{text(f"{trail_export.PATH}/{name}.{kind}" + (f"?{query}" if query else ""))}" target="_blank"'
        f' rel="noopener">{label}</a>'
        for kind, label in (("csv", "Download CSV"), ("jsonl", "Download JSON Lines"))
    )
    about = f"What is filtered, the newest {trail_export.MOST_ROWS:,} rows at most. Whole ids stand in the files."
    st.html(block(f'<div class="exports">{links}<span class="soft">{text(about)}</span></div>'))


# --- the chain --------------------------------------------------------------------------------------------------------


def _verification() -> None:
    """Followed while the person waits, in stretches of a second or two, with how far it is."""
    held: Followed | None = st.session_state.get(VERIFIED)
    on = held is not None and held.last.next is not None
    if held is not None:
        tone, sentence = tables.verdict(held.last, held.checked, held.restores)
        at = phrases.ago(parts.current().now() - held.at)
        st.html(block(verdict(tone, sentence, f"verified {at}")))
    outcome.draw(PLACE)
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button("Go on" if on else "Verify the chain", key="audit-verify", icon=":material/verified:")
        st.caption("Each event's hash covers the one before it: whatever was changed, taken out or put in later is found.")
    if pressed:
        _follow(held if on else None)
        st.rerun()


def _follow(held: Followed | None) -> None:
    made, until = parts.current(), parts.current().now() + ENOUGH_S
    outcome.forget(PLACE)
    st.session_state[VERIFIED] = held
    bar = st.progress(0.0, "Following the chain …")
    try:
        while held is None or (held.last.next is not None and made.now() < until):
            found = made.backend.verify_audit(cursor=held.last.next if held else None)
            held = Followed(
                found,
                checked=found.checked + (held.checked if held else 0),
                restores=len(found.restores) + (held.restores if held else 0),
                at=made.now(),
            )
            st.session_state[VERIFIED] = held
            share = min(1.0, found.position / found.head.position) if found.head.position else 1.0
            bar.progress(share, f"{found.position:,} of {phrases.counted(found.head.position, 'event')} followed")
    except failures.FAILURES as error:
        outcome.say(PLACE, "bad", f"The chain could not be followed to its end. {failures.sentence(error)}")
