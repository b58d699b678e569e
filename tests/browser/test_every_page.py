"""What holds for every page: its things have names, Tab reaches them, it keeps to its window, its console and its own host."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser import people
from tests.browser.pages import SITE, SitePage, query
from tests.browser.people import Windows
from tests.system.running_fleet import Fleet, eventually

DRAWN = "e.checkVisibility({visibilityProperty: true, opacityProperty: true, contentVisibilityAuto: true})"
UNNAMED = f"""() => {{
  const name = e => (e.getAttribute('alt') ?? e.getAttribute('aria-label') ?? e.getAttribute('title') ?? '').trim()
    || e.getAttribute('aria-labelledby')
  const hidden = e => !{DRAWN} || e.closest('[aria-hidden=true], [role=presentation]')
  const main = what => [...document.querySelectorAll(`[data-testid=stMain] :is(${{what}})`)].filter(e => !hidden(e) && !name(e))
  const images = main('img:not([alt=""]), [role=img], svg[role=img]')
  const fields = main('input, textarea, select').filter(e => !e.labels?.length)
  const buttons = main('button, a').filter(e => !e.innerText.trim() && e.tabIndex >= 0)
  return [...images, ...fields, ...buttons].map(e => e.outerHTML.slice(0, 300))
}}"""

ACTIONS = f"""() => {{
  // in a group of choices Tab reaches one and the arrows the others; a field's own small buttons repeat what its keys do
  const grouped = '[role=radiogroup], [role=tablist], [role=grid], .modebar'
  const small = '[data-testid^=stNumberInputStep], [data-testid=stCodeCopyButton], [data-testid=stSelectbox] button'
  const actions = [...document.querySelectorAll('[data-testid=stMain] :is(button, a[href], input, textarea, select, summary)')]
    .filter(e => {DRAWN} && !e.disabled && e.type !== 'hidden' && !e.closest('[inert], [aria-hidden=true]'))
    .filter(e => !e.closest(grouped) && !e.closest(small))
  actions.forEach((e, place) => {{ e.dataset.place = place }})
  return actions.map(e => (e.innerText || e.getAttribute('aria-label') || e.outerHTML).slice(0, 80))
}}"""
OF_A_CHART = "() => [...document.querySelectorAll('.plot .modebar-btn')].map(e => e.getAttribute('aria-label'))"
CHART_ACTIONS = frozenset({"Download plot as a PNG", "Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes"})
"""none of them sends what is drawn to anybody"""
MOST_STOPS = 400
"""of the Tab key; the page with most charts has a sixth of it"""
ONLY_TOLD = frozenset({"settings"})
"""pages that may have nothing to do on them"""
STOP = """() => {
  const here = document.activeElement
  const again = here === window.firstStop
  window.firstStop ??= here
  return {again, place: here.dataset.place}
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_named_within_its_window_and_keeps_to_itself(windows: Windows, fleet: Fleet, scheme: str) -> None:
    window = windows.signed_in("admin", scheme=scheme)
    wrong: list[str] = []
    offered: set[str] = set()
    for one in SITE:
        page = window.visit(one.path + query(one, fleet), one.title)
        people.whole(page)
        offered |= set(page.evaluate(OF_A_CHART))
        wrong += [f"{one.path}: {complaint}" for complaint in complaints(page, scheme)]
    foreign = {url for url in window.seen.requests if not url.startswith((window.dashboard, "data:", "blob:"))}
    assert foreign == set(), "another host is asked"
    assert window.seen.errors == []
    assert wrong == [], "\n".join(wrong)
    assert offered == CHART_ACTIONS


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
    people.whole(page)
    if one.path not in ONLY_TOLD:
        eventually(lambda: page.evaluate(ACTIONS), within_s=20)
    actions: list[str] = page.evaluate(ACTIONS)
    reached = once_around(page)
    assert [name for place, name in enumerate(actions) if str(place) not in reached] == []


def once_around(page: Page) -> set[str]:
    """The marked actions on which Tab stops until it is back where it began."""
    reached: set[str] = set()
    page.evaluate("document.activeElement?.blur()")
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        stop: dict[str, Any] = page.evaluate(STOP)
        reached |= {stop["place"]} if "place" in stop else set()
        if stop["again"]:
            break
    return reached
