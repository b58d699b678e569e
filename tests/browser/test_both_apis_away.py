"""Backends and monitor die while pages are open: each page says so with the age of what it shows, and recovers by itself."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import psutil
import pytest
from playwright.sync_api import expect

from backend import wire
from backend.client import BackendClient, ClientError
from dashboard.roles import Role
from monitor.client import MonitorClient
from monitor.client import ProblemError as MonitorProblem
from monitor.client import Unreachable as MonitorAway
from monitor.wire import State
from tests.browser import cases, people
from tests.browser.cases import open_case, ready
from tests.browser.people import Windows
from tests.system.running_fleet import Fleet, eventually

RESTARTED_WITHIN_S = 90
"""The supervisor's pause, the start of three backends with their models, and the monitor's two passes."""
NOTE = "the scar is on the same side"
AGE = re.compile(r"Unreachable\..*(just now|\d+ (s|min) ago)", re.DOTALL)


@pytest.fixture
def both(fleet: Fleet) -> Iterator[Fleet]:
    yield fleet
    with fleet.monitor() as monitor:
        eventually(lambda: _all_up(monitor), within_s=RESTARTED_WITHIN_S, every_s=0.5)


def _all_up(monitor: MonitorClient) -> bool:
    try:
        return all(one.state is State.up for one in monitor.fleet().items)
    except (MonitorAway, MonitorProblem):
        return False


def kill_all(fleet: Fleet) -> None:
    port = int(fleet.access["monitor"].rsplit(":", 1)[1])
    (monitor,) = {
        one.pid
        for one in psutil.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr.port == port and one.pid
    }
    for pid in [fleet.pid_of(name) for name in fleet.access["backends"]] + [monitor]:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.timeout(300)
def test_pages_say_that_both_are_away_and_recover_without_a_reload_or_a_loss(windows: Windows, both: Fleet) -> None:
    (case,) = cases.planted(both, 1)
    watching = windows.signed_in("operator", "fleet", "Fleet").page
    expect(watching.locator(".st-key-backend-b1, [aria-label='Backend b1']").first).to_be_visible()
    deciding = open_case(windows.signed_in(people.account(both, "quinn", Role.reviewer)), case.id)
    ready(deciding)
    deciding.locator(f".st-key-note-{case.id}").get_by_role("textbox").fill(NOTE)
    deciding.keyboard.press("Enter")
    deciding.get_by_role("heading", level=1).click()
    marked = [page.evaluate("window.neverReloaded = true") for page in (watching, deciding)]
    assert marked == [True, True]

    kill_all(both)
    expect(watching.get_by_text(AGE).first).to_be_visible()
    assert watching.get_by_text("Backend b1").count() or watching.locator("[aria-label='Backend b1']").count(), (
        "the last data stay"
    )
    deciding.keyboard.press("d")
    expect(deciding.get_by_role("alert").first).to_contain_text(re.compile("backend", re.IGNORECASE))
    note = deciding.locator(f".st-key-note-{case.id}").get_by_role("textbox")
    expect(note).to_have_value(NOTE)

    expect(watching.get_by_text("Unreachable.")).to_have_count(0, timeout=RESTARTED_WITHIN_S * 1000)
    with both.backend() as api:
        eventually(lambda: _answers(api), within_s=RESTARTED_WITHIN_S, every_s=0.5)
        assert api.case(case.id).decisions == [], "what was refused was not done"
        ready(deciding)
        deciding.keyboard.press("d")
        eventually(lambda: api.case(case.id).state is wire.CaseState.resolved, within_s=30)
        assert [one.note for one in api.case(case.id).decisions] == [NOTE]
    assert all(page.evaluate("window.neverReloaded") for page in (watching, deciding))


def _answers(api: BackendClient) -> bool:
    try:
        return bool(api.stats())
    except ClientError:
        return False
