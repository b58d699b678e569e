"""From the fleet to one backend and its drain, in a real Chromium before a stand-in of the monitor."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import count

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from monitor import wire
from tests.dashboard import samples
from tests.dashboard import samples_backend as of_one
from tests.dashboard.legible import broken_words
from tests.dashboard.stand_in import Asked
from tests.dashboard.test_browser import Running, _axis, chromium, context, heading, running, sign_in
from tests.system.running_fleet import eventually

__all__ = ["chromium", "context", "running"]

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def answers(running: Running) -> None:
    """A history that moves on with each answer, and a fleet in which a drain shows."""
    moved = count(1)
    drained: list[bool] = []

    def history(_: Asked) -> wire.HistoryView:
        view, shift = of_one.busy_history(), timedelta(seconds=next(moved))
        return view.model_copy(update={"items": [one.model_copy(update={"at": one.at + shift}) for one in view.items]})

    def drain(one: Asked) -> wire.Drained:
        drained.append(True)
        return of_one.drained()

    def fleet(_: Asked) -> wire.FleetView:
        changes = {"admin_state": "DRAINING", "drain_since": samples.now()} if drained else {}
        return samples.fleet(samples.backend("b1", **changes), samples.down("b2"), samples.backend("b3"))

    running.monitor.routes |= {
        ("GET", "/v1/fleet"): fleet,
        ("GET", "/v1/maintenance"): lambda _: of_one.windows(),
        ("GET", "/v1/events"): lambda _: of_one.events(of_one.event(1, "UP", "DOWN", minutes_ago=5)),
        ("GET", "/v1/backends/{}/history"): history,
        ("GET", "/v1/backends/{}/figures"): lambda _: of_one.figures(),
        ("POST", "/v1/backends/{}/drain"): drain,
        ("POST", "/v1/diagnoses"): lambda _: of_one.diagnosis(),
    }


def test_an_operator_goes_from_a_card_to_its_page_diagnoses_and_drains(context: BrowserContext, running: Running) -> None:
    page = sign_in(context, running, "operator", "/fleet")
    heading(page, "Fleet")
    page.get_by_role("link", name="b1", exact=True).click(timeout=60_000)
    heading(page, "Backend b1")
    assert page.url.endswith("/backend?name=b1")
    expect(page.locator(".js-plotly-plot")).to_have_count(5)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "no horizontal scrolling"
    assert broken_words(page) == []
    page.get_by_role("button", name="Diagnose b1").click()
    expect(page.get_by_text("Its certificate expired.")).to_be_visible()
    expect(page.get_by_text("What to do:")).to_be_visible()
    page.get_by_text("Drain", exact=True).click()
    expect(page.get_by_text("2 of 3 would be left: b2, b3.")).to_be_visible()
    page.get_by_label("Type b1 to confirm").fill("b1")
    page.get_by_role("button", name="Drain b1").click()
    expect(page.get_by_text("b1 drains. It was told.")).to_be_visible()
    expect(page.locator(".badge", has_text="DRAINING")).to_be_visible()
    expect(page.get_by_text("requests should fall to none")).to_be_visible()
    (call,) = [one for one in running.monitor.asked if one.path == "/v1/backends/b1/drain"]
    assert json.loads(call.body) == {}
    expect(page.locator('[data-testid="stException"]')).to_have_count(0)


def test_the_window_and_the_zoom_survive_refreshes(context: BrowserContext, running: Running) -> None:
    page = sign_in(context, running, "operator", "/backend?name=b3")
    heading(page, "Backend b3")
    page.get_by_text("24 h", exact=True).click()
    page.wait_for_url("**window=24h")
    plot = page.locator(".js-plotly-plot").nth(1)
    expect(plot).to_be_visible()
    eventually(lambda: _drag(page, plot) and _axis(plot)["autorange"] is False, within_s=30, every_s=0.5)
    zoomed = _axis(plot)
    eventually(lambda: _axis(plot)["first"] != zoomed["first"], within_s=60)
    assert _axis(plot)["range"] == zoomed["range"]
    page.reload()
    heading(page, "Backend b3")
    expect(page.get_by_role("radio", name="24 h")).to_be_checked()


def _drag(page: Page, plot: Locator) -> bool:
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 150, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 260, middle, steps=6)
    page.mouse.up()
    return True
