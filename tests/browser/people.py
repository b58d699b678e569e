"""People at the dashboard of a running fleet, each in a browser window of their own, and what their browser saw."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, WebSocket, expect, sync_playwright

from dashboard.roles import Role
from dashboard.users import Users
from tests.system import browser
from tests.system.running_fleet import Fleet, eventually

PASSWORD = "correct horse battery"
WINDOW = {"width": 1280, "height": 720}

BELOW_A_PAGE = re.compile(r"/[a-z]+/_stcore/(health|host-config)$")
"""On a page with a path Streamlit asks there first, whether that is where it lives, and Chromium logs the 404 that says no."""

STILL_LOADING = "stSkeleton"
"""Stands where a widget will be, until the browser has its code."""


@dataclass
class Seen:
    """What one window asked for and complained about, in the order in which it happened."""

    requests: list[str] = field(default_factory=list)
    sockets: list[WebSocket] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda socket: self.sockets.append(socket))
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _console(self, message: ConsoleMessage) -> None:
        address = message.location.get("url", "")
        if message.type == "error" and not BELOW_A_PAGE.search(address):
            self.errors.append(f"{message.text} ({address})")


@dataclass
class Window:
    """One person's browser window."""

    page: Page
    seen: Seen
    dashboard: str

    @property
    def context(self) -> BrowserContext:
        return self.page.context

    def visit(self, path: str, heading: str | None = None) -> Page:
        """A page by its URL, as a bookmark opens it; drawn when this returns."""
        self.page.goto(f"{self.dashboard}/{path}")
        drawn(self.page, heading)
        return self.page

    def another_tab(self, path: str, heading: str | None = None) -> Page:
        tab = self.context.new_page()
        self.seen.watch(tab)
        tab.goto(f"{self.dashboard}/{path}")
        drawn(tab, heading)
        return tab


def drawn(page: Page, heading: str | None = None) -> None:
    """The page's heading stands, and nothing runs any more."""
    title = page.get_by_test_id("stMain").get_by_role("heading", level=1)
    expect(title.filter(has_text=heading) if heading else title.first).to_be_visible()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def whole(page: Page) -> None:
    """Fonts are there, nothing turns, every part that loads by itself is there, every chart is drawn."""
    page.evaluate("document.fonts.ready")
    expect(page.get_by_test_id("stSpinner")).to_have_count(0)
    expect(page.get_by_test_id(STILL_LOADING)).to_have_count(0)
    charts = "[...document.querySelectorAll('.plot')].every(e => e.querySelector('.main-svg'))"
    eventually(lambda: page.evaluate(charts), within_s=20)


def sign_in(window: Window, person: dict[str, str], path: str = "", heading: str | None = None) -> None:
    """Through the form, as it leads on to a page."""
    window.page.goto(f"{window.dashboard}/sign-in?{urlencode({'next': f'/{path}'})}")
    window.page.get_by_label("Name").fill(person["name"])
    window.page.get_by_label("Password").fill(person["password"])
    window.page.get_by_role("button", name="Sign in").click()
    drawn(window.page, heading)


def account(fleet: Fleet, name: str, *roles: Role) -> dict[str, str]:
    """Somebody who may sign in, as `python -m dashboard users add` makes them; the dashboard reads its file again."""
    users = Users(fleet.run_dir / "secrets" / "users.json")
    if users.get(name) is None:
        users.add(name, PASSWORD, roles)
    return {"name": name, "password": PASSWORD}


@dataclass
class Windows:
    """Opens a window per call in one browser, and closes them all."""

    chromium: Browser
    fleet: Fleet
    contexts: list[BrowserContext] = field(default_factory=list)

    def signed_in(
        self, who: str | dict[str, str], path: str = "", heading: str | None = None, *, scheme: str = "light"
    ) -> Window:
        """`who`: one of the four roles, or an account."""
        access = self.fleet.access
        person = access["sign_ins"][who] if isinstance(who, str) else who
        window = self.blank(scheme=scheme)
        sign_in(window, person, path, heading)
        return window

    def blank(self, *, scheme: str = "light") -> Window:
        context = self.chromium.new_context(
            viewport=WINDOW, color_scheme="dark" if scheme == "dark" else "light", timezone_id="Europe/Zurich", locale="en-GB"
        )
        context.set_default_timeout(browser.PATIENCE_MS)
        self.contexts.append(context)
        page, seen = context.new_page(), Seen()
        seen.watch(page)
        return Window(page, seen, self.fleet.access["dashboard"])

    def close(self) -> None:
        for context in self.contexts:
            context.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """One browser; to be used by the thread that opened it alone."""
    expect.set_options(timeout=browser.PATIENCE_MS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser.chromium(), args=browser.ARGUMENTS)
        try:
            yield started
        finally:
            started.close()


@contextmanager
def windows(browser_: Browser, fleet: Fleet) -> Iterator[Windows]:
    opened = Windows(browser_, fleet)
    try:
        yield opened
    finally:
        opened.close()
