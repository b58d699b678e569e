"""The form, the cookie and the gate, before a small page of their own, over a real uvicorn."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from dashboard import sign_in
from dashboard.browsers import COOKIE as BROWSER
from dashboard.gate import Gate
from dashboard.roles import Role
from dashboard.sessions import COOKIE
from tests.dashboard.conftest import PASSWORD, Desktop

HTTPS = {"X-Forwarded-Proto": "https"}


async def page(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"page {request.url.path}")


async def stream(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("open")
    await websocket.close()


@pytest.fixture
def site(desktop: Desktop) -> Iterator[str]:
    desktop.users.add("ada", PASSWORD, [Role.operator])
    inner = [WebSocketRoute("/_stcore/stream", stream), Route("/{rest:path}", page, methods=["GET", "POST", "PUT"])]
    app = Starlette(routes=[*sign_in.routes(desktop.made), *inner], middleware=[Middleware(Gate, parts=desktop.made)])
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="websockets-sansio", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    listener.close()


@pytest.fixture
def browser(site: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site, follow_redirects=False, trust_env=False, headers={"Origin": site}) as client:
        yield client


def fill(browser: httpx.Client, password: str = PASSWORD, **more: str) -> tuple[int, str]:
    answer = browser.post("/sign-in", data={"name": "ada", "password": password, **more})
    return answer.status_code, answer.headers.get("location", answer.text)


def test_nothing_of_the_dashboard_is_served_to_anybody_who_is_not_signed_in(browser: httpx.Client, site: str) -> None:
    answer = browser.get("/subjects?subject=sub_1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/subjects%3Fsubject%3Dsub_1")
    for path in ("/media/x.jpg", "/_stcore/upload_file/a/b", "/_stcore/agent/openapi.json", "/component/x"):
        assert browser.get(path).status_code == 401
    assert browser.post("/anything").status_code == 401
    with pytest.raises(InvalidStatus, match="403"), connect(f"{site.replace('http', 'ws')}/_stcore/stream"):
        pass


def test_health_and_assets_are_open(browser: httpx.Client) -> None:
    assert browser.get("/_stcore/health").status_code == 200
    assert browser.get("/static/js/index.js").status_code == 200


def test_signing_in_leads_to_the_page_that_was_asked_for(browser: httpx.Client, site: str) -> None:
    assert fill(browser, next="/load") == (303, "/load")
    assert browser.get("/load").text == "page /load"
    cookie = {"Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
    with connect(f"{site.replace('http', 'ws')}/_stcore/stream", additional_headers=cookie) as opened:
        assert opened.recv() == "open"


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x", "/sign-out", "\n/x"]
)
def test_signing_in_never_leads_to_another_site(browser: httpx.Client, elsewhere: str) -> None:
    assert fill(browser, next=elsewhere) == (303, "/")


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(browser: httpx.Client) -> None:
    answer = browser.post("/sign-in", data={"name": "ada", "password": PASSWORD})
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith(f"{COOKIE}=")
    for part in ("httponly", "samesite=strict", "path=/"):
        assert part in cookie
    assert "secure" not in cookie


def test_over_https_the_cookie_is_secure(browser: httpx.Client) -> None:
    """Behind a proxy on this machine that speaks TLS."""
    answer = browser.post("/sign-in", data={"name": "ada", "password": PASSWORD}, headers=HTTPS)
    assert "secure" in answer.headers["set-cookie"].lower()
    cookie = {"Cookie": answer.headers["set-cookie"].split(";")[0]}
    assert "secure" in browser.get("/load", headers=HTTPS | cookie).headers["set-cookie"].lower()


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_a_form_from_another_site_signs_nobody_in_or_out(browser: httpx.Client, headers: dict[str, str]) -> None:
    ours = browser.headers.pop("origin")
    assert browser.post("/sign-in", data={"name": "ada", "password": PASSWORD}, headers=headers).status_code == 403
    assert browser.post("/sign-in", data={"name": "ada", "password": PASSWORD}, headers={"Origin": ours}).status_code == 303
    assert browser.post("/sign-out", headers=headers).status_code == 403
    assert browser.get("/load").status_code == 200


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(browser: httpx.Client) -> None:
    known = fill(browser, password="wrong wrong wrong")
    unknown = browser.post("/sign-in", data={"name": "eve", "password": PASSWORD})
    assert known[0] == unknown.status_code == 401
    assert "The name or the password is wrong." in known[1]
    assert known[1].replace('value="ada"', "") == unknown.text.replace('value="eve"', "")


def test_after_five_failures_even_the_right_password_has_to_wait(browser: httpx.Client) -> None:
    for _ in range(5):
        assert fill(browser, password="wrong wrong wrong")[0] == 401
    answer = browser.post("/sign-in", data={"name": "ada", "password": PASSWORD})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 300
    assert "Try again in 5 minutes." in answer.text


def test_a_stranger_who_fails_in_somebodys_name_keeps_nobody_out_who_was_here_before(browser: httpx.Client, site: str) -> None:
    assert fill(browser)[0] == 303
    remembered = {BROWSER: browser.cookies[BROWSER]}
    with httpx.Client(base_url=site, trust_env=False, headers={"Origin": site}) as stranger:
        assert [fill(stranger, password="wrong wrong wrong")[0] for _ in range(7)] == [401] * 5 + [429] * 2
        assert fill(stranger)[0] == 429
    with httpx.Client(base_url=site, trust_env=False, headers={"Origin": site}, cookies=remembered) as again:
        assert fill(again)[0] == 303
        assert [fill(again, password="wrong wrong wrong")[0] for _ in range(6)] == [401] * 5 + [429]


def test_attempts_at_once_are_bounded_like_those_one_after_the_other(browser: httpx.Client) -> None:
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: fill(browser, password="wrong wrong wrong")[0], range(24)))
    assert (answers.count(401), answers.count(429)) == (5, 19)


def test_a_browser_is_remembered_out_of_reach_of_scripts_and_other_pages(browser: httpx.Client) -> None:
    answer = browser.post("/sign-in", data={"name": "ada", "password": PASSWORD}, headers=HTTPS)
    (cookie,) = (one.lower() for one in answer.headers.get_list("set-cookie") if one.startswith(BROWSER))
    for part in ("httponly", "samesite=strict", "secure", "path=/sign-in", "max-age=15552000"):
        assert part in cookie


def test_signing_out_ends_the_session_also_for_a_copy_of_its_cookie(browser: httpx.Client) -> None:
    fill(browser)
    copy = browser.cookies[COOKIE]
    assert browser.post("/sign-out").headers["location"] == "/sign-in"
    assert COOKIE not in browser.cookies
    browser.cookies.set(COOKIE, copy)
    assert browser.get("/load").status_code == 303


def test_a_page_load_renews_the_cookie_and_forbids_frames_and_storing(browser: httpx.Client) -> None:
    fill(browser)
    answer = browser.get("/load")
    assert COOKIE in answer.headers["set-cookie"]
    assert answer.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


def test_the_form_escapes_what_it_repeats_and_allows_no_script(browser: httpx.Client) -> None:
    answer = browser.post("/sign-in", data={"name": '"><script>x</script>', "password": "wrong wrong wrong"})
    assert "<script>" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    asked = browser.get("/sign-in", params={"next": '/"><script>x</script>'})
    assert "<script>" not in asked.text


def test_an_endless_form_is_refused_before_it_is_read(browser: httpx.Client) -> None:
    answer = browser.post("/sign-in", data={"name": "ada", "password": "x" * 100_000})
    assert answer.status_code == 413
