"""The whole system in a real browser, behind nginx, HAProxy and neither: faults seen in time, a duplicate resolved."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from backend.client import BackendClient, ProblemError
from backend.wire import CaseState, Scope, Verdict
from monitor.wire import State
from tests.system import browser, faults
from tests.system.running_fleet import Fleet, eventually, running_fleet

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

RECOVERY_S = 60
PAGE_MARGIN_S = 2
"""What the issue allows beyond fall × interval, for the page to show it."""


@pytest.fixture(scope="module", params=["nginx", "haproxy", "none"])
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    if request.param != "none" and not _installed(request.param):
        pytest.skip(f"{request.param} is not installed: `make system`")
    if not browser.chromium():
        pytest.skip("chromium is not installed: `make system`")
    with running_fleet(tmp_path_factory.mktemp(request.param), "--balancer", request.param, "--no-traffic") as fleet:
        yield fleet


def _installed(program: str) -> bool:
    return shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin") is not None


def card(page: Page, backend: str) -> Locator:
    return page.locator(f".st-key-backend-{backend}")


def open_as(page: Page, fleet: Fleet, role: str) -> None:
    browser.sign_in(page, fleet.access["dashboard"], fleet.access["sign_ins"][role])


def test_an_operator_sees_three_healthy_backends_without_traffic(fleet: Fleet) -> None:
    with browser.page() as page:
        open_as(page, fleet, "operator")
        expect(page.get_by_role("heading", name="Fleet")).to_be_visible()
        for name in ("b1", "b2", "b3"):
            expect(card(page, name)).to_contain_text("UP", timeout=30_000)
        # the demo's own enrolments were marked, so once the window has passed nobody has served a client
        for name in ("b1", "b2", "b3"):
            expect(card(page, name)).to_contain_text("no traffic", timeout=90_000)


FAULTS: list[tuple[str, str, Callable[[Fleet], AbstractContextManager[None]], str]] = [
    ("kill -9", "b1", lambda fleet: faults.killed(fleet, "b1"), r"NET\.REFUSED"),
    ("SIGSTOP", "b2", lambda fleet: faults.frozen(fleet, "b2"), r"NET\.TIMEOUT\.\w+"),
    ("wrong certificate", "b3", lambda fleet: faults.wrong_certificate(fleet, "b3"), r"TLS\.\w+"),
    ("database moved away", "b1", faults.database_moved_away, r"DEP\.DATABASE"),
]


def test_each_fault_is_on_the_page_in_time_with_its_reason_and_recovers_by_itself(fleet: Fleet) -> None:
    with browser.page() as page, fleet.monitor() as monitor:
        open_as(page, fleet, "operator")
        rows = [_play(page, fleet, *fault) for fault in FAULTS]
        view = monitor.fleet()
        bound = view.fall * view.interval_s + PAGE_MARGIN_S
    print()
    for kind, reason, seconds, recovered in rows:
        print(f"{kind:20} {reason:20} seen after {seconds:5.1f} s  bound {bound:4.1f} s  recovered after {recovered:5.1f} s")
    late = [row for row in rows if row[2] > bound]
    assert not late, f"seen too late: {late}"


def _play(
    page: Page, fleet: Fleet, kind: str, backend: str, fault: Callable[[Fleet], AbstractContextManager[None]], code: str
) -> tuple[str, str, float, float]:
    target = card(page, backend)
    expect(target).to_contain_text("UP", timeout=RECOVERY_S * 1000)
    expect(target).not_to_contain_text("DOWN")
    with fault(fleet):
        start = time.monotonic()
        expect(target).to_contain_text("DOWN", timeout=30_000)
        expect(target).to_contain_text(re.compile(code), timeout=2_000)
        seconds = time.monotonic() - start
        reason = re.search(code, target.inner_text())
        assert reason
    healed = time.monotonic()
    expect(target).to_contain_text("UP", timeout=RECOVERY_S * 1000)
    return kind, reason.group(), seconds, time.monotonic() - healed


def test_a_reviewer_resolves_a_duplicate_by_keyboard_and_undoes_it(fleet: Fleet, tmp_path: Path) -> None:
    with fleet.backend(key="admin") as api:
        before = _unresolved(api)
    with browser.page() as page, fleet.backend(key="admin") as api:
        open_as(page, fleet, "reviewer")
        page.get_by_role("link", name="Duplicates").click()
        expect(page.get_by_role("button", name="Claim next")).to_be_visible()  # the key is the button's: it works from then on
        page.keyboard.press("n")
        expect(page.locator("img[src^='data:image/jpeg']").first).to_be_visible()
        expect(page.get_by_role("button", name="Same person")).to_be_enabled()  # drawn after the faces, and the key is its own
        (claimed,) = api.cases(state=CaseState.claimed).items
        page.keyboard.press("s")  # the same person
        resolved, _ = eventually(lambda: api.case(claimed.id).state is CaseState.resolved, within_s=20)
        assert resolved
        case = api.case(claimed.id)
        losers = [subject for subject in case.subjects if subject.merged_into]
        assert losers
        survivor = api.subject(losers[0].merged_into or "")
        assert losers[0].id in survivor.merged
        assert case.decisions[-1].actor.startswith("usr_")
        assert _unresolved(api) == before - 1

        expect(page.get_by_text("Decided: ")).to_be_visible()  # the next case is on the screen
        page.keyboard.press("u")  # undo
        eventually(lambda: api.subject(losers[0].id).merged_into is None, within_s=20)
        assert api.case(claimed.id).state in (CaseState.open, CaseState.claimed)


def _unresolved(api: BackendClient) -> int:
    """Open ones, and the next one, which the page has claimed already."""
    return api.cases(state=CaseState.open).total + api.cases(state=CaseState.claimed).total


def test_with_one_backend_gone_the_api_still_answers_through_the_front(fleet: Fleet) -> None:
    with faults.killed(fleet, "b3"), fleet.backend(key="admin") as api:
        for _ in range(6):
            assert api.stats().subjects > 0
    with fleet.monitor() as monitor:
        eventually(lambda: all(b.state is State.up for b in monitor.fleet().items), within_s=RECOVERY_S)


def test_no_api_key_may_decide(fleet: Fleet) -> None:
    with fleet.backend(key=Scope.admin.value) as api:
        case = api.cases(state=CaseState.open).items[0]
        with pytest.raises(ProblemError) as refused:
            api.decide(case.id, Verdict.different, version=case.version)
    assert refused.value.code == "person_needed"
