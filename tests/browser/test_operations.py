"""An operator's day: a backend dies, another one is taken out of service and put back, a certificate is about to end."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Locator, Page, expect

from backend.client import ClientError
from monitor.client import MonitorClient
from monitor.wire import AdminState, State
from tests.browser.conftest import ABOUT_TO_END
from tests.browser.people import Windows
from tests.browser.renewal import DAYS_LEFT
from tests.system.running_fleet import Fleet, eventually

SEEN_WITHIN_S = 8
"""fall × interval, and what the issue allows beyond it for the page"""
BACK_WITHIN_S = 90


def card(page: Page, backend: str) -> Locator:
    return page.get_by_role("article", name=f"Backend {backend}")


@contextmanager
def kept_down(fleet: Fleet, backend: str) -> Iterator[None]:
    """`kill -9`, and once more whenever the supervisor has brought it back."""
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.3):
            try:
                os.kill(fleet.pid_of(backend), signal.SIGKILL)
            except (ValueError, ProcessLookupError):
                continue  # it does not listen now

    os.kill(fleet.pid_of(backend), signal.SIGKILL)
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield
    finally:
        over.set()
        killer.join()


@contextmanager
def client_traffic(fleet: Fleet) -> Iterator[None]:
    """What a client asks through the balancer, about ten times a second, until it is over."""
    over = threading.Event()

    def ask() -> None:
        with fleet.backend(key="client") as api:
            while not over.wait(0.1):
                try:
                    api.subjects(limit=1)
                except ClientError:
                    continue

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join()


@pytest.mark.timeout(240)
def test_a_killed_backend_is_seen_diagnosed_and_back(windows: Windows, fleet: Fleet) -> None:
    page = windows.signed_in("operator", "fleet", "Fleet").page
    expect(card(page, "b1")).to_contain_text("UP")
    with kept_down(fleet, "b1"):
        start = time.monotonic()
        expect(card(page, "b1")).to_contain_text("DOWN")
        seen_s = time.monotonic() - start
        expect(page.get_by_role("article").first).to_have_attribute("aria-label", "Backend b1")  # what is worst comes first
        card(page, "b1").get_by_role("link", name="b1").click()
        expect(page.get_by_role("heading", name="Backend b1")).to_be_visible()
        expect(page.get_by_test_id("stMain")).to_contain_text("NET.REFUSED")
        page.get_by_role("button", name="Diagnose b1").click()
        steps = page.locator("ol.steps")
        expect(steps).to_contain_text("NET.REFUSED")
        expect(steps).to_contain_text("What to do:")
    page.get_by_role("link", name="Fleet", exact=True).first.click()
    expect(page.get_by_role("heading", name="Fleet", exact=True)).to_be_visible()
    expect(card(page, "b1")).to_contain_text("UP", timeout=BACK_WITHIN_S * 1000)
    expect(card(page, "b1")).not_to_contain_text("DOWN")
    print(f"a killed backend is on the page after {seen_s:.1f} s, bound {SEEN_WITHIN_S} s")
    assert seen_s <= SEEN_WITHIN_S


@pytest.mark.timeout(300)
def test_a_drain_is_confirmed_by_name_guarded_and_its_traffic_falls(windows: Windows, fleet: Fleet) -> None:
    window = windows.signed_in("operator", "backend?name=b2", "Backend b2")
    page = window.page
    with fleet.monitor() as monitor, client_traffic(fleet), returned(fleet, "b1", "b2"):
        eventually(lambda: _served(monitor, "b2") > 0, within_s=60, every_s=0.5)
        choose(page, "Drain")
        confirm(page, "drain", "b2", typed="b1", button="Drain b2")
        expect(page.get_by_text("Nothing was done: type b2 to confirm.")).to_be_visible()
        assert monitor.backend("b2").admin_state is AdminState.active
        confirm(page, "drain", "b2", typed="b2", button="Drain b2")
        expect(page.get_by_text("b2 drains.")).to_be_visible()
        expect(page.get_by_text("It drains: requests should fall to none.")).to_be_visible()
        plot = page.locator("[class*='st-key-falling-b2'] .js-plotly-plot")
        eventually(lambda: _falls_to_none(plot), within_s=60, every_s=0.5)

        window.visit("backend?name=b1", "Backend b1")
        choose(page, "Drain")
        expect(page.get_by_text("1 of 3 would be left: b3.").first).to_be_visible()
        confirm(page, "drain", "b1", typed="b1", button="Drain b1")
        expect(page.get_by_text(re.compile("would be left.*|too few", re.IGNORECASE)).first).to_be_visible()
        eventually(lambda: page.locator("[class*='st-key-drain']").count() > 0, within_s=10)
        assert monitor.backend("b1").admin_state is AdminState.active, "the server refuses what was not accepted"

        window.visit("backend?name=b2", "Backend b2")
        choose(page, "Return")
        confirm(page, "return", "b2", typed="b2", button="Return b2")
        expect(page.get_by_text("b2 is no longer drained by an operator.")).to_be_visible()
        eventually(lambda: monitor.backend("b2").state is State.up, within_s=BACK_WITHIN_S, every_s=0.5)
        eventually(lambda: _served(monitor, "b2") > 0, within_s=60, every_s=0.5)


@contextmanager
def returned(fleet: Fleet, *backends: str) -> Iterator[None]:
    """Whatever happens, nobody is left drained for the tests after this one."""
    try:
        yield
    finally:
        with fleet.monitor() as monitor:
            for name in backends:
                if monitor.backend(name).admin_state is not AdminState.active:
                    monitor.put_back(name)


def choose(page: Page, action: str) -> None:
    page.get_by_role("radio", name=action).or_(page.get_by_role("button", name=action, exact=True)).first.click()


def confirm(page: Page, what: str, backend: str, *, typed: str, button: str) -> None:
    field = page.locator(f".st-key-confirm-{what}-{backend}").get_by_role("textbox")
    field.fill(typed)
    page.get_by_role("button", name=button, exact=True).click()


def _served(monitor: MonitorClient, backend: str) -> float:
    """Requests that the monitor counted at it in the last half minute."""
    view = monitor.load(window_s=30)
    return view.shares[backend].requests if backend in view.shares else 0


def _falls_to_none(plot: Locator) -> bool:
    """What is drawn had requests, and the last point has none."""
    drawn = plot.evaluate("e => e.data.map(trace => Array.from(trace.y ?? [])).flat().filter(y => y !== null)")
    return bool(drawn) and max(drawn) > 0 and drawn[-1] == 0


def test_a_certificate_that_ends_soon_comes_first_with_what_to_run(windows: Windows, fleet: Fleet) -> None:
    with fleet.monitor() as monitor:
        eventually(lambda: any((one.days_left or 99) < DAYS_LEFT + 1 for one in monitor.certificates().items), within_s=90)
    page = windows.signed_in("operator", "certificates", "Certificates").page
    main = page.get_by_test_id("stMain")
    expect(main).to_contain_text(f"Chain of {ABOUT_TO_END}")
    text = main.inner_text()
    assert min(("b1", "b2", "b3", "balancer"), key=lambda name: text.index(f"Chain of {name}")) == ABOUT_TO_END
    expect(main).to_contain_text("ends soon")
    expect(main.locator("code", has_text="make run").first).to_be_visible()
    fleet_page = page
    page.get_by_role("link", name="Fleet", exact=True).first.click()
    expect(card(fleet_page, ABOUT_TO_END)).to_contain_text(re.compile(rf"{DAYS_LEFT} d"))
