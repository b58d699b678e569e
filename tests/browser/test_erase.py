"""Somebody is erased by a supervisor who types who it is, and is then nowhere on the pages."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, expect

from backend.client import ProblemError
from deploy.demo import pictures
from deploy.demo.pictures import Portrait
from tests.browser.people import Window, Windows, drawn
from tests.system.running_fleet import Fleet


def enrolled(fleet: Fleet, external_id: str) -> tuple[str, str]:
    """One more copy of a demo face under a name of its own: the subject and the case that it made."""
    portrait = (fleet.run_dir / "data" / "demo" / "group-6.jpg").read_bytes()
    copy = pictures.altered(Portrait("group-6", portrait), "recompressed")
    with fleet.backend(key="client") as api:
        made = api.enrol([copy.jpeg], external_id=external_id, metadata={"name": "Rosa Weg"}, face="largest")
    assert made.case_id is not None
    return made.subject_id, made.case_id


def test_a_person_is_erased_by_typing_and_is_gone_from_every_page(windows: Windows, fleet: Fleet) -> None:
    name = f"EMP-{time.time_ns()}"
    subject_id, case_id = enrolled(fleet, name)
    window = windows.signed_in("supervisor", f"subjects?id={subject_id}")
    page = window.page
    expect(page.get_by_test_id("stMain")).to_contain_text("Rosa Weg")
    page.get_by_role("radio", name="Erase", exact=True).or_(page.get_by_role("button", name="Erase", exact=True)).click()
    confirm(page, subject_id, "somebody else")
    expect(page.get_by_text(f"type {name} to confirm").first).to_be_visible()
    with fleet.backend() as api:
        assert api.subject(subject_id).external_id == name, "a wrong name erases nobody"
    confirm(page, subject_id, name)
    expect(page.get_by_text("is gone").first).to_be_visible()
    with fleet.backend() as api, pytest.raises(ProblemError) as missing:
        api.subject(subject_id)
    assert missing.value.status in (404, 410)

    assert_nothing_of(window, name, f"subjects?id={subject_id}")
    assert_nothing_of(window, name, f"duplicates?case={case_id}", faces=0)
    assert_nothing_of(window, name, "audit")
    listed = window.visit("subjects", "Subjects")
    search = listed.get_by_role("textbox", name="Search")
    search.fill(name)
    search.press("Enter")
    expect(listed.get_by_text("No subject fits this search").first).to_be_visible()


def confirm(page: Page, subject_id: str, typed: str) -> None:
    form = page.locator(f".st-key-erase-{subject_id}-typed")
    form.get_by_role("textbox").fill(typed)
    page.get_by_role("button", name="Erase for good").click()


def assert_nothing_of(window: Window, name: str, path: str, faces: int | None = None) -> None:
    """In another tab, which has nothing left over from before."""
    page = window.another_tab(path)
    drawn(page)
    text = page.get_by_test_id("stMain").inner_text()
    assert name not in text, path
    assert "Rosa Weg" not in text, path
    assert page.get_by_test_id("stException").count() == 0, path
    if faces is not None:
        shown = page.locator("img[alt*='Rosa Weg'], img[alt*='EMP-']")
        assert shown.count() == faces, path
    page.close()
