"""One real fleet and one real Chromium for the whole folder: real backends behind a balancer, real monitor, offline engine.

Tests here share them, so each makes what it needs (people, cases, records) and puts back what it broke.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser import people, renewal
from tests.browser.people import Windows
from tests.system.running_fleet import Fleet, running_fleet

BALANCER = "haproxy"
"""It asks `/ready`, so traffic leaves a backend that drains without a word to the balancer."""
PATHS = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
ABOUT_TO_END = "b3"
SETTINGS = {"BACKEND_SECOND_REVIEW": "certain"}
"""Cases in the certain band are judged twice, those in the review band once: both kinds can be planted."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith("tests/browser/"):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """`b3` serves a certificate that ends within days."""
    for program in ("chromium", "haproxy"):
        if not shutil.which(program, path=PATHS):
            pytest.skip(f"{program} is not installed: `make system`")
    folder = tmp_path_factory.mktemp("browser") / "run"
    with running_fleet(folder, "--no-traffic", "--balancer", BALANCER, settings=SETTINGS) as started:
        renewal.let_end_soon(started, ABOUT_TO_END)
        yield started


@pytest.fixture(scope="session")
def chromium(fleet: Fleet) -> Iterator[Browser]:
    with people.chromium() as started:
        yield started


@pytest.fixture
def windows(chromium: Browser, fleet: Fleet) -> Iterator[Windows]:
    with people.windows(chromium, fleet) as opened:
        yield opened
