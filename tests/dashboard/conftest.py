"""A dashboard in this process, whose backend and monitor are real small servers."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import argon2
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import identity, parts, signing
from dashboard.roles import Role
from dashboard.sessions import Sessions
from dashboard.settings import Settings
from dashboard.users import Users
from tests.dashboard.stand_in import Route, StandIn

PASSWORD = "correct horse battery"
SECRET = "a secret for tests only"
CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
SITEMAP = Path(parts.__file__).with_name("sitemap.py")


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """Streamlit's AppTest leaves the page as `__main__`: a process that another test spawns would run that page first."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@dataclass
class Desktop:
    """What a test holds: the two stand-ins, the settings, and a way to open a page as somebody."""

    settings: Settings
    backend: StandIn
    monitor: StandIn
    users: Users
    made: parts.Parts
    cookies: list[str | None] = field(default_factory=lambda: [None])

    def sign_in(self, role: str) -> str:
        """A session for a person of that role, as its cookie."""
        name = f"a-{role}"
        user = self.users.get(name) or self.users.add(name, PASSWORD, [Role(role)])
        self.cookies[0] = self.made.sessions.cookie(self.made.sessions.begin(user, self.made.now()))
        return name

    def open(self, role: str, page: str, **query: str) -> AppTest:
        """The page as this role sees it, run once."""
        self.sign_in(role)
        app = AppTest.from_file(str(SITEMAP), default_timeout=30)
        app.run()
        switch(app, page)
        for name, value in query.items():
            app.query_params[name] = value
        return app.run() if query else app


def switch(app: AppTest, page: str) -> AppTest:
    from streamlit.util import calc_hash

    app._page_hash = calc_hash(page)
    return app.run()


def html(app: AppTest) -> str:
    """Everything that the page draws as HTML, less its style sheet."""
    return "\n".join(body for element in app.html if not (body := element.body).startswith("<style>"))


def said(app: AppTest) -> str:
    """Every sentence of the page as a reader sees it, whatever draws it."""
    kinds = (app.error, app.warning, app.info, app.success, app.caption, app.markdown, app.title, app.subheader)
    sentences = [read(str(element.value)) for elements in kinds for element in elements]
    return "\n".join(sentences) + "\n" + html(app)


def read(markdown: str) -> str:
    """Escaped Markdown as it is shown."""
    return re.sub(r"\\([^a-zA-Z0-9\s])", r"\1", markdown)


@pytest.fixture
def users_file(tmp_path: Path) -> Path:
    return tmp_path / "users.json"


@pytest.fixture
def serve() -> Iterator[Callable[[dict[tuple[str, str], Route]], StandIn]]:
    started: list[StandIn] = []

    def start(routes: dict[tuple[str, str], Route]) -> StandIn:
        server = StandIn(routes)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def desktop(
    tmp_path: Path, users_file: Path, serve: Callable[[dict[tuple[str, str], Route]], StandIn], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desktop]:
    backend, monitor = serve({}), serve({})
    key_file = tmp_path / "signing.pem"
    signing.create(key_file)
    settings = Settings(
        backend_urls=(backend.url,), monitor_url=monitor.url, users_file=users_file, signing_key_file=key_file,
        cookie_secret=SECRET, key="fa_viewer_key", _env_file=None,
    )  # fmt: skip
    users = Users(users_file, CHEAP)
    made = parts.build(settings, identity.token)
    made = parts.Parts(
        settings=settings, users=users, sessions=Sessions(users, SECRET, idle_s=1800, max_s=43_200), attempts=made.attempts,
        browsers=made.browsers, signer=made.signer, backend=made.backend, monitor=made.monitor,
        operator=made.operator,
    )  # fmt: skip
    parts.install(made)
    desk = Desktop(settings, backend, monitor, users, made)
    monkeypatch.setattr(identity, "cookie", lambda: desk.cookies[0])
    st.cache_data.clear()
    st.cache_resource.clear()
    yield desk
    made.close()
