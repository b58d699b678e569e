"""Each role sees its own pages and no others, whatever address is typed."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from dashboard.roles import Role
from tests.browser.pages import SITE
from tests.browser.people import Windows


@pytest.mark.parametrize("role", list(Role))
def test_a_role_is_led_to_its_pages_alone(windows: Windows, role: Role) -> None:
    page = windows.signed_in(role.value).page
    links = page.get_by_test_id("stSidebarNavLink")
    mine = [one for one in SITE if one.is_for(role)]
    expect(links).to_have_count(len(mine))
    assert [links.nth(place).get_attribute("href") for place in range(len(mine))] == [
        f"{page.url.rsplit('/', 1)[0]}/{one.path}" for one in mine
    ]


@pytest.mark.parametrize("role", [role for role in Role if not all(page.is_for(role) for page in SITE)])
def test_the_address_of_another_roles_page_does_not_show_it(windows: Windows, role: Role) -> None:
    window = windows.signed_in(role.value)
    own = next(page for page in SITE if page.is_for(role))
    for forbidden in (page for page in SITE if not page.is_for(role)):
        window.page.goto(f"{window.dashboard}/{forbidden.path}")
        # Streamlit's "Page not found" is gone once the start page has led on: where one lands is what stays
        headings = window.page.get_by_test_id("stMain").get_by_role("heading", level=1)
        expect(headings).to_have_text(own.title)
        assert forbidden.title not in headings.all_inner_texts(), forbidden.path
