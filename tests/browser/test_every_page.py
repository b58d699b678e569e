"""What holds for every page of the sitemap: readable, reachable by Tab, in its window, quiet in the console, asking nobody else."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.pages import SITE, SitePage, query
from tests.browser.people import Windows
from tests.system.running_fleet import Fleet, eventually

UNNAMED = """() => {
  const told = e => (e.getAttribute('alt') ?? e.getAttribute('aria-label') ?? e.getAttribute('aria-labelledby') ?? '').trim()
  const hidden = e => e.closest('[aria-hidden=true], [role=presentation]')
  const drawn = e => e.getClientRects().length > 0
  const images = [...document.querySelectorAll('img, [role=img]')].filter(e => drawn(e) && !hidden(e) && !told(e) && e.getAttribute('alt') !== '')
  const fields = [...document.querySelectorAll('[data-testid=stMain] input, [data-testid=stMain] textarea, [data-testid=stMain] select')]
    .filter(e => drawn(e) && !told(e) && !e.labels?.length && !e.getAttribute('title') && !e.placeholder)
  const buttons = [...document.querySelectorAll('[data-testid=stMain] button, [data-testid=stMain] a')]
    .filter(e => drawn(e) && !hidden(e) && !told(e) && !e.innerText.trim() && !e.getAttribute('title') && e.tabIndex >= 0)
  return [...images, ...fields, ...buttons].map(e => e.outerHTML.slice(0, 200))
}"""

ACTIONS = """() => {
  // in a group of choices Tab reaches one and the arrows the others
  const grouped = e => e.closest('[role=radiogroup], [role=tablist], [role=grid], [role=spinbutton], [data-baseweb=select]')
  const drawn = e => e.getClientRects().length && !e.closest('[inert], .modebar, [aria-hidden=true]')
  const actions = [...document.querySelectorAll('[data-testid=stMain] :is(button, a[href], input, textarea, select, summary)')]
    .filter(e => drawn(e) && !e.disabled && e.type !== 'hidden' && !grouped(e))
  actions.forEach((e, place) => { e.dataset.place = place })
  return actions.map(e => (e.innerText || e.getAttribute('aria-label') || e.outerHTML).slice(0, 80))
}"""
FOCUSED = "() => document.activeElement?.dataset?.place ?? null"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_named_within_its_window_and_keeps_to_itself(windows: Windows, fleet: Fleet, scheme: str) -> None:
    window = windows.signed_in("admin", scheme=scheme)
    wrong: list[str] = []
    for one in SITE:
        page = window.visit(one.path + query(one, fleet), one.title)
        wrong += [f"{one.path}: {complaint}" for complaint in complaints(page, scheme)]
    foreign = {url for url in window.seen.requests if not url.startswith((window.dashboard, "data:", "blob:"))}
    assert foreign == set(), "another host is asked"
    assert window.seen.errors == []
    assert wrong == []


def complaints(page: Page, scheme: str) -> list[str]:
    found = [f"without a name: {element}" for element in page.evaluate(UNNAMED)]
    try:
        eventually(lambda: page.evaluate("document.documentElement.scrollWidth <= innerWidth"), within_s=5)
        eventually(lambda: page.get_by_test_id("stMain").evaluate("e => e.scrollWidth <= e.clientWidth"), within_s=5)
    except AssertionError:
        found.append("wider than its window of 1280")
    if page.get_by_test_id("stException").count():
        found.append("shows an exception")
    dark = page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
    if (sum(map(int, dark[4:-1].split(",")[:3])) < 300) != (scheme == "dark"):
        found.append(f"is {dark} where the reader asked for {scheme}")
    return found


@pytest.mark.parametrize("one", SITE, ids=lambda one: one.path)
def test_tab_alone_reaches_every_action_of_a_page(windows: Windows, fleet: Fleet, one: SitePage) -> None:
    page = windows.signed_in("admin", one.path + query(one, fleet), one.title).page
    actions: list[str] = page.evaluate(ACTIONS)
    reached: set[int] = set()
    page.evaluate("document.activeElement?.blur()")
    for _ in range(3 * len(actions) + 60):
        page.keyboard.press("Tab")
        if (place := page.evaluate(FOCUSED)) is not None:
            reached.add(int(place))
        if len(reached) == len(actions):
            break
    assert [name for place, name in enumerate(actions) if place not in reached] == []
