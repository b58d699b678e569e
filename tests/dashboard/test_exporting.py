"""The export of a person leaves through a door that asks who is there: over a real uvicorn."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import httpx
import jwt
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware

from dashboard import exporting
from dashboard.gate import Gate
from dashboard.sessions import COOKIE
from tests.dashboard.conftest import Desktop
from tests.dashboard.stand_in import Reply, problem

EXPORT = ("GET", "/v1/subjects/{}/export")
PATH = exporting.path("sub_00000001")
DOCUMENT = b'{"subject_id":"sub_00000001"}'


@pytest.fixture
def site(desktop: Desktop) -> Iterator[httpx.Client]:
    desktop.backend.routes = {EXPORT: lambda _: Reply(200, DOCUMENT)}
    app = Starlette(routes=exporting.routes(desktop.made), middleware=[Middleware(Gate, parts=desktop.made)])
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with httpx.Client(base_url=url, follow_redirects=False, trust_env=False, headers={"Origin": url}) as client:
        yield client
    server.should_exit = True
    thread.join(10)
    listener.close()


def cookie(desktop: Desktop, role: str) -> dict[str, str]:
    desktop.sign_in(role)
    return {"Cookie": f"{COOKIE}={desktop.cookies[0]}"}


def test_a_supervisor_downloads_it_as_a_file_that_no_cache_keeps(desktop: Desktop, site: httpx.Client) -> None:
    answer = site.post(PATH, headers=cookie(desktop, "supervisor"))
    assert (answer.status_code, answer.content) == (200, DOCUMENT)
    assert answer.headers["content-disposition"] == 'attachment; filename="export.json"'
    assert answer.headers["cache-control"] == "no-store"
    (asked,) = desktop.backend.asked
    token = asked.headers["authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (asked.path, claims["sub"], claims["roles"]) == (
        "/v1/subjects/sub_00000001/export",
        "usr_a-supervisor",
        ["supervisor"],
    ), "the person is the actor of the audit trail"


def test_nobody_gets_it_without_a_session_and_nothing_stays_at_the_address(desktop: Desktop, site: httpx.Client) -> None:
    held = cookie(desktop, "supervisor")
    site.post(PATH, headers=held)
    site.cookies.clear()  # each answer renews the session
    assert site.post(PATH).status_code == 401
    assert site.get(PATH).status_code == 303, "to the sign-in"
    assert site.get(PATH, headers=held).status_code == 405
    assert len(desktop.backend.asked) == 1


@pytest.mark.parametrize("role", ["operator", "reviewer"])
def test_other_roles_are_refused_before_the_backend_is_asked(desktop: Desktop, site: httpx.Client, role: str) -> None:
    assert site.post(PATH, headers=cookie(desktop, role)).status_code == 403
    assert not desktop.backend.asked


def test_a_form_of_another_site_is_refused(desktop: Desktop, site: httpx.Client) -> None:
    answer = site.post(PATH, headers=cookie(desktop, "admin") | {"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert not desktop.backend.asked


@pytest.mark.parametrize("name", ["..%2Fkeys", "sub_1%3Fx=1", "a b"])
def test_what_is_no_id_is_asked_of_nobody(desktop: Desktop, site: httpx.Client, name: str) -> None:
    assert site.post(f"/export/{name}", headers=cookie(desktop, "admin")).status_code == 404
    assert not desktop.backend.asked


def test_a_refusal_and_a_dead_backend_are_sentences(desktop: Desktop, site: httpx.Client) -> None:
    held = cookie(desktop, "admin")
    desktop.backend.routes[EXPORT] = lambda _: problem(404, "subject_not_found", "No such <subject>")
    refused = site.post(PATH, headers=held)
    assert refused.status_code == 404
    assert "No such &lt;subject&gt;." in refused.text
    desktop.backend.stop()
    away = site.post(PATH, headers=held)
    assert away.status_code == 502
    assert "No backend can be reached" in away.text
