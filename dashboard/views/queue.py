"""The review queue: how much waits, its filters, and one row per case."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from backend import wire
from dashboard import identity, parts, phrases
from dashboard.components import frame
from dashboard.components.markup import badge, block, line, text
from dashboard.desk import Desk
from dashboard.fetch import people, queue
from dashboard.fetch.abreast import abreast
from dashboard.fetch.seen import Seen
from dashboard.palette import CASES
from dashboard.queue_filters import AGES, ANY, BANDS, DUES, NAMES, SOURCES, QueueFilters

CURSOR, ASKED = "queue-cursor", "queue-asked"
WORDS = {
    "hour": "last hour",
    "day": "last day",
    "over_day": "older than a day",
    "over_week": "older than a week",
    "in_time": "in time",
    "priority": "most pressing first",
    "due": "due first",
}


def draw(desk: Desk) -> None:
    filters = _filters()
    cursor = st.session_state.get(CURSOR)
    found: dict[str, Seen[wire.Page[wire.CaseSummary]]] = {}
    counts: dict[str, Seen[wire.Stats]] = {}
    abreast([lambda: found.update(page=queue.cases(filters, cursor)), lambda: counts.update(now=people.stats())])
    _counts(counts["now"])
    page = frame.shown(found["page"], "queue")
    if page is None:
        return
    if not page.items:
        frame.empty(_nothing(filters))
        return
    at_least = "at least " if page.total_is == "at_least" else ""
    order = "the most pressing first" if filters.order == "priority" else "what is due first"
    st.caption(f"{at_least}{phrases.counted(page.total, 'case')}, {order}")
    with st.container(gap="xsmall"):
        for summary in page.items:
            _row(desk, summary)
    with st.container(horizontal=True):
        if cursor:
            st.button("First page", on_click=_first_page)
        if page.next:
            st.button("Next page", on_click=_go, args=(page.next,))


def _nothing(filters: QueueFilters) -> str:
    what = f"No case is {CASES[filters.state].word.lower()}" if filters.state != ANY else "There is no case"
    narrowed = {name for name in filters.as_address() if name not in ("state", "order")}
    score = f" with a score of {filters.least:.2f} or more" if narrowed == {"from"} and filters.least else ""
    fits = " that fits these filters" if narrowed and not score else ""
    return f"{what}{score}{fits}. Pairs of alike subjects wait here when an enrolment or a scan finds them."


def _counts(seen: Seen[wire.Stats]) -> None:
    stats = seen.value
    if stats is None or seen.failure is not None:
        return
    now = parts.current().now()
    counts = [f"{badge(CASES[state])} <b>{count:,}</b>" for state in wire.CaseState if (count := stats.cases.get(state, 0))]
    oldest = f"oldest waits {phrases.span(now - stats.oldest_open_case_at.timestamp())}" if stats.oldest_open_case_at else ""
    overdue = phrases.counted(stats.overdue, "is overdue", "are overdue") if stats.overdue else ""
    said = " · ".join(part for part in (oldest, overdue) if part)
    st.html(
        block(f'<div class="row">{" ".join(counts)} <span class="soft">{text(said)}</span></div>')
        if counts or said
        else "<span></span>"
    )


# --- filters ----------------------------------------------------------------------------------------------------------


def _filters() -> QueueFilters:
    """What the address asks for, and the fields to ask for something else."""
    asked = {name: value for name in NAMES if (value := st.query_params.get(name)) is not None}
    filters = QueueFilters.from_address(asked)
    if asked != st.session_state.get(ASKED):  # a link was followed: its page is the first
        _first_page()
    fresh = asked != st.session_state.get(ASKED) or _key("state") not in st.session_state
    st.session_state[ASKED] = asked
    if fresh:
        _fill(filters)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        states = [ANY, *(state.value for state in wire.CaseState)]
        st.segmented_control(
            "State",
            states,
            required=True,
            format_func=lambda state: "All" if state == ANY else CASES[state].word,
            key=_key("state"),
            on_change=_ask,
        )
        st.selectbox("Holder", ["", "me", "nobody"], key=_key("holder"), width=150, format_func=_holder, on_change=_ask,
                     accept_new_options=True, help="Who holds the case now; write a name for a colleague's.")  # fmt: skip
        _choice("Source", "source", SOURCES)
        _choice("Band", "band", BANDS)
        st.number_input("Score from", step=0.05, format="%.2f", placeholder="any", key=_key("from"), width=100, on_change=_ask)
        st.number_input("to", step=0.05, format="%.2f", placeholder="any", key=_key("to"), width=100, on_change=_ask)
        _choice("Found", "age", tuple(AGES), width=160)
        _choice("Due", "due", DUES)
        st.selectbox("Order", ["priority", "due"], key=_key("order"), width=180, format_func=_word, on_change=_ask)
    return filters


def _choice(label: str, name: str, words: tuple[str, ...], *, width: int = 125) -> None:
    st.selectbox(label, [ANY, *words], key=_key(name), width=width, format_func=_word, on_change=_ask)


def _fill(filters: QueueFilters) -> None:
    values = {"state": filters.state, "source": filters.source, "band": filters.band, "from": filters.least, "to": filters.most}
    values |= {"age": filters.age, "holder": filters.holder, "due": filters.due, "order": filters.order}
    for name, value in values.items():
        st.session_state[_key(name)] = value


def _ask() -> None:
    """What was chosen goes into the address, which is what the page reads."""
    chosen: Mapping[str, object] = {name: st.session_state.get(_key(name)) for name in NAMES}
    filters = QueueFilters.from_address({name: str(value) for name, value in chosen.items() if value is not None})
    address = filters.as_address()
    for name in NAMES:
        if name in address:
            st.query_params[name] = address[name]
        elif name in st.query_params:
            del st.query_params[name]
    st.session_state[ASKED] = address
    _first_page()


def _key(name: str) -> str:
    return "queue-score" if name == "from" else f"queue-{name}"


def _word(word: str) -> str:
    return WORDS.get(word, word)


def _holder(word: str) -> str:
    return {"": "anybody", "me": "me", "nobody": "nobody"}.get(word, word)


# --- rows -------------------------------------------------------------------------------------------------------------


def _row(desk: Desk, summary: wire.CaseSummary) -> None:
    now = parts.current().now()
    with st.container(horizontal=True, vertical_alignment="center", border=True, gap="small", key=f"row-{summary.id}"):
        about = " · ".join(
            part
            for part in (
                phrases.counted(len(summary.subject_ids), "subject"),
                f"from {summary.source}",
                phrases.since(summary.created_at, now),
                _due(summary, now),
                phrases.short_id(summary.id),
                _held(summary),
            )
            if part
        )
        st.html(block(line(CASES[summary.state], f"score {summary.score:.3f}", about)), width="stretch")
        st.button("Open", key=f"open-{summary.id}", on_click=frame.acting(_open), args=(desk, summary.id), width=90)


def _due(summary: wire.CaseSummary, now: float) -> str:
    if summary.due_at is None:
        return ""
    left = summary.due_at.timestamp() - now
    return f"overdue for {phrases.span(-left)}" if left <= 0 else f"due in {phrases.span(left)}"


def _held(summary: wire.CaseSummary) -> str:
    if summary.lease is None:
        return ""
    mine = summary.lease.holder == identity.person().id
    until = summary.lease.until.astimezone(frame.zone())
    return f"held by {'you' if mine else summary.lease.holder_name} until {until:%H:%M}"


def _first_page() -> None:
    st.session_state.pop(CURSOR, None)


def _go(cursor: str) -> None:
    st.session_state[CURSOR] = cursor


def _open(desk: Desk, case_id: str) -> None:
    desk.open(parts.current().backend, case_id)
