"""Two people at one queue, each in a browser of their own, until nothing is left: no case is both people's at once."""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Page, expect

from backend import wire
from dashboard.roles import Role
from tests.browser import cases, people
from tests.browser.cases import claimed_over_somebody, decisions
from tests.system.running_fleet import Fleet

CASES = 50
LIMIT_S = 240


@pytest.mark.timeout(LIMIT_S + 60)
def test_two_reviewers_empty_a_queue_of_fifty_by_keyboard(fleet: Fleet) -> None:
    planted = [case.id for case in cases.planted(fleet, CASES)]
    reviewers = [people.account(fleet, name, Role.reviewer) for name in ("ines", "jana")]
    until = time.monotonic() + LIMIT_S
    with ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(lambda one: _clear(fleet, one, until), reviewers))
    with fleet.backend() as api:
        events = cases.trail(api, planted)
        states = Counter(api.case(case_id).state for case_id in planted)
    print(f"decided by each: {counts}; events of the planted cases: {sum(map(len, events.values()))}")
    assert states == {wire.CaseState.resolved: CASES}
    assert [wrong for one in events.values() for wrong in claimed_over_somebody(one)] == []
    by = [decisions(events[case_id]) for case_id in planted]
    assert [len(one) for one in by] == [1] * CASES, "fifty cases, fifty decisions"
    share = Counter(actor for one in by for actor in one)
    assert share.keys() == {"usr_ines", "usr_jana"}
    assert min(share.values()) >= 5, "both worked all the while"


def _clear(fleet: Fleet, account: dict[str, str], until: float) -> int:
    """Claim and decide by keys until nothing waits; the number of decisions. A browser belongs to its thread."""
    with people.chromium() as chromium, people.windows(chromium, fleet) as windows:
        page = windows.signed_in(account, "duplicates", "Duplicates").page
        expect(page.get_by_role("button", name="Claim next")).to_be_visible()
        page.keyboard.press("n")
        count, before = 0, None
        while (case_id := _next(page, before, until)) is not None:
            cases.ready(page)
            page.keyboard.press("sd"[count % 2])
            count, before = count + 1, case_id
        return count


def _next(page: Page, before: str | None, until: float) -> str | None:
    """The case that came onto the desk after `before`; None: nothing waits."""
    while time.monotonic() < until:
        case_id = cases.on_the_desk(page)
        if case_id is not None and case_id != before:
            return case_id
        if page.get_by_text("No case is waiting for you").count():
            return None
        page.wait_for_timeout(20)  # lets the page's events in: a condition with a deadline, read at a pace
    raise AssertionError(f"still at {before} after {LIMIT_S} s: {page.get_by_test_id('stMain').inner_text()[:600]}")


# --- what the check itself notices --------------------------------------------------------------------------------

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def event(after_s: float, actor: str, action: str) -> wire.AuditEvent:
    return wire.AuditEvent(
        seq=int(after_s), position=None, at=START + dt.timedelta(seconds=after_s), actor=actor, action=f"case.{action}",
        object_id="case_1", detail={}, hash=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("events", "wrong"),
    [
        ([event(0, "a", "claim"), event(1, "a", "decide"), event(2, "b", "claim"), event(3, "b", "decide")], False),
        ([event(0, "a", "claim"), event(1, "a", "release"), event(2, "b", "claim")], False),
        ([event(0, "a", "claim"), event(181, "b", "claim")], False),
        ([event(0, "a", "claim"), event(1, "b", "claim")], True),
        ([event(0, "a", "claim"), event(1, "b", "release"), event(2, "b", "claim")], True),
        ([event(0, "a", "claim"), event(1, "b", "decide")], True),
    ],
)
def test_a_case_of_two_people_at_once_is_noticed(events: list[wire.AuditEvent], wrong: bool) -> None:
    assert bool(claimed_over_somebody(events)) is wrong
