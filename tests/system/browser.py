"""A real headless Chromium (Debian's), driven by Playwright, and what a person does in the dashboard."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

PATIENCE_MS = 30_000
"""For what must come, however busy the machine; what must come in time has its own bound."""


def chromium() -> str | None:
    return shutil.which("chromium")


@contextmanager
def page(*, width: int = 1400, height: int = 1000) -> Iterator[Page]:
    """A fresh browser with an empty profile and one page."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        try:
            context = browser.new_context(viewport={"width": width, "height": height}, ignore_https_errors=False)
            context.set_default_timeout(PATIENCE_MS)
            yield context.new_page()
        finally:
            browser.close()


def sign_in(page: Page, dashboard: str, account: dict[str, str]) -> None:
    page.goto(f"{dashboard}/sign-in")
    page.get_by_label("Name").fill(account["name"])
    page.get_by_label("Password").fill(account["password"])
    page.get_by_role("button", name="Sign in").click()


def picture(page: Page, folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png", full_page=True)
