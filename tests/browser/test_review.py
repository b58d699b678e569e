"""A review as people do it: by keys alone, twice and blind where the site asks for it, and over when the session is."""

from __future__ import annotations

import time

import httpx
from playwright.sync_api import expect

from backend import wire
from dashboard.roles import Role
from dashboard.sessions import COOKIE
from tests.browser import cases, people
from tests.browser.cases import decisions, on_the_desk, open_case, ready
from tests.browser.people import Windows
from tests.system.running_fleet import Fleet, eventually

SIGNED_OUT_WITHIN_S = 40
"""The longest pause between two things that an open case does by itself: its heartbeat."""


def test_a_reviewer_claims_decides_and_undoes_by_the_keys_on_the_screen(windows: Windows, fleet: Fleet) -> None:
    cases.planted(fleet, 3)
    page = windows.signed_in(people.account(fleet, "kim", Role.reviewer), "duplicates", "Duplicates").page
    expect(page.get_by_role("button", name="Claim next")).to_contain_text("N")
    page.keyboard.press("n")
    ready(page)
    first = on_the_desk(page)
    assert first
    for label, key in {"Same person": "S", "Different people": "D", "Undo": "U", "Claim next": "N"}.items():
        assert key in page.get_by_role("button", name=label).first.inner_text().split(), f"{label} does not show its key"
    page.locator(f".st-key-note-{first}").get_by_role("textbox").click()
    page.keyboard.type("sdn")
    assert on_the_desk(page) == first, "keys rest while one types"
    page.keyboard.press("Enter")
    page.get_by_role("heading", level=1).click()
    page.keyboard.press("d")
    second, _ = eventually(lambda: (now := on_the_desk(page)) != first and now, within_s=30)
    ready(page)
    page.keyboard.press("u")
    eventually(lambda: on_the_desk(page) == first, within_s=30)
    with fleet.backend() as api:
        # from the trail: of a case that is judged twice the first decision is nobody's to see
        done = [event for event in cases.trail(api, [first])[first] if event.actor == "usr_kim"]
        assert [event.action for event in done][:3] == ["case.claim", "case.decide", "case.undo"]
        assert api.case(first).state is not wire.CaseState.resolved
    assert second != first


def test_a_second_reviewer_is_blind_and_a_supervisor_settles_their_disagreement(windows: Windows, fleet: Fleet) -> None:
    (case,) = cases.planted(fleet, 1, certain=True)
    first = windows.signed_in(people.account(fleet, "lena", Role.reviewer))
    page = open_case(first, case.id)
    ready(page)
    page.locator(f".st-key-note-{case.id}").get_by_role("textbox").fill("the ears are the same")
    page.keyboard.press("Enter")
    page.get_by_role("heading", level=1).click()
    page.keyboard.press("s")
    expect(page.get_by_text("A second reviewer decides too").first).to_be_visible()

    second = windows.signed_in(people.account(fleet, "mara", Role.reviewer))
    page = open_case(second, case.id)
    ready(page)
    text = page.get_by_test_id("stMain").inner_text()
    for told in ("lena", "Same person by", "the ears are the same"):
        assert told not in text, "the first decision is hidden until the second is in"
    page.keyboard.press("d")
    expect(page.get_by_text("A supervisor settles").first).to_be_visible()
    with fleet.backend() as api:
        assert api.case(case.id).state is wire.CaseState.arbitration
        assert not [one for one in api.case(case.id).subjects if one.merged_into], "nothing is applied before the last word"

    page = open_case(windows.signed_in(people.account(fleet, "nora", Role.supervisor)), case.id)
    ready(page)
    for told in ("lena", "mara", "the ears are the same"):
        expect(page.get_by_test_id("stMain")).to_contain_text(told)
    page.keyboard.press("s")
    with fleet.backend() as api:
        eventually(lambda: api.case(case.id).state is wire.CaseState.resolved, within_s=30)
        assert decisions(cases.trail(api, [case.id])[case.id]) == ["usr_lena", "usr_mara", "usr_nora"]
        assert [one.merged_into for one in api.case(case.id).subjects if one.merged_into], "the arbiter's word is applied"


def test_signing_out_ends_the_power_of_every_tab_and_of_a_copied_cookie(windows: Windows, fleet: Fleet) -> None:
    """docs/permissions.md states the bound: the dashboard signs nothing more for the session from that moment on."""
    (case,) = cases.planted(fleet, 1)
    window = windows.signed_in(people.account(fleet, "olga", Role.reviewer))
    working = open_case(window, case.id)
    ready(working)
    idle = window.another_tab(f"duplicates?case={case.id}", "Duplicates")
    expect(idle.locator("img[src^='data:image']").first).to_be_visible()
    copied = next(cookie["value"] for cookie in window.context.cookies() if cookie["name"] == COOKIE)
    other = window.another_tab("subjects", "Subjects")
    other.get_by_role("button", name="Sign out").click()
    other.wait_for_url("**/sign-in")
    working.keyboard.press("d")  # the tab that knows nothing of it yet
    expect(working.get_by_text("Your session has ended").first).to_be_visible()
    expect(working.locator("img[src^='data:image']")).to_have_count(0)
    with fleet.backend() as api:
        assert decisions(cases.trail(api, [case.id]).get(case.id, [])) == []
    answer = httpx.get(f"{window.dashboard}/duplicates", cookies={COOKIE: copied})
    assert (answer.status_code, "/sign-in" in answer.headers["location"]) == (303, True)
    start = time.monotonic()
    expect(idle.get_by_text("Your session has ended").first).to_be_visible(timeout=SIGNED_OUT_WITHIN_S * 1000)
    print(f"a tab that nobody touches says so after {time.monotonic() - start:.1f} s")
