from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.api.service import Service
from tests.system import browser


def test_the_page_asks_only_this_server_for_its_files(service: Service) -> None:
    page = httpx.get(f"{service.url}/docs")
    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(files) == 3
    for file in files:
        assert file.startswith("/docs/assets/")
        assert httpx.get(f"{service.url}{file}").status_code == 200


@pytest.mark.browser
def test_a_browser_shows_the_operations(service: Service, tmp_path: Path) -> None:
    if not browser.chromium():
        pytest.skip("chromium is not installed: `make system`")
    with browser.page() as page:
        page.goto(f"{service.url}/docs")
        expect(page.get_by_text("/v1/verify", exact=True)).to_be_visible()
        browser.picture(page, tmp_path, "docs")
