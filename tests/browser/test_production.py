"""What protects the dashboard once it is reachable: names, origins, forms from elsewhere, headers, and no traceback ever."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from dashboard.gate import HEADERS
from dashboard.sessions import COOKIE
from tests.browser.people import Window, Windows
from tests.system.running_fleet import Fleet, eventually

FOREIGN = "dashboard.evil.example"


def cookies(window: Window) -> dict[str, str]:
    return {cookie["name"]: cookie["value"] for cookie in window.context.cookies()}


def stream(window: Window, *, host: str | None = None, origin: str | None = None, signed_in: bool = True) -> ClientConnection:
    """A websocket to the pages' stream, under a name and from an origin of one's choice."""
    address = window.dashboard.removeprefix("http://")
    headers = {"Cookie": f"{COOKIE}={cookies(window)[COOKIE]}"} if signed_in else {}
    name, port = address.split(":")
    return connect(
        f"ws://{host or address}/_stcore/stream", sock=socket.create_connection((name, int(port)), timeout=10),
        origin=Origin(origin or window.dashboard), subprotocols=[Subprotocol("streamlit")], additional_headers=headers,
        open_timeout=10, max_size=None,
    )  # fmt: skip


def test_a_foreign_host_name_is_refused_everywhere_but_for_the_health(windows: Windows) -> None:
    window = windows.signed_in("operator")
    for path in ("/", "/fleet", "/sign-in", "/_stcore/host-config", "/static/none.js"):
        answer = httpx.get(window.dashboard + path, headers={"Host": FOREIGN}, cookies=cookies(window))
        assert (answer.status_code, "Face Auth" in answer.text) == (400, False), path
    assert httpx.get(f"{window.dashboard}/_stcore/health", headers={"Host": FOREIGN}).text == "ok", "a probe knows no name"


def test_a_foreign_host_or_origin_opens_no_websocket_and_ours_does(windows: Windows) -> None:
    window = windows.signed_in("operator")
    with stream(window) as ours:
        assert ours.response is not None
        assert ours.response.status_code == 101
    for refused in ({"host": FOREIGN}, {"origin": f"http://{FOREIGN}"}, {"signed_in": False}):
        with pytest.raises(InvalidStatus) as answer, stream(window, **refused):  # type: ignore[arg-type]
            pass
        assert answer.value.response.status_code in (400, 403), refused


def test_another_site_can_neither_read_an_answer_nor_send_a_form(windows: Windows) -> None:
    window = windows.signed_in("operator")
    evil = {"Origin": f"http://{FOREIGN}"}
    for path in ("/_stcore/host-config", "/_stcore/health", "/fleet"):
        allowed = httpx.get(window.dashboard + path, headers=evil, cookies=cookies(window)).headers
        assert allowed.get("access-control-allow-origin") not in ("*", evil["Origin"]), path
    for form in ("/sign-in", "/sign-out"):
        sent = httpx.post(window.dashboard + form, headers=evil, cookies=cookies(window), data={"name": "x", "password": "y"})
        assert sent.status_code == 403, form
    upload = f"{window.dashboard}/_stcore/upload_file/session/file"
    refused = httpx.put(upload, cookies=cookies(window), files={"file": b"x"})
    assert refused.status_code in (400, 403), "an upload without the page's own token"
    window.visit("fleet", "Fleet")


def test_every_kind_of_answer_carries_the_headers_that_protect_it(windows: Windows) -> None:
    window = windows.signed_in("operator", "fleet", "Fleet")
    asked = {url for url in window.seen.requests if url.startswith(window.dashboard)}
    assert len(asked) > 5
    answers = [httpx.get(url, cookies=cookies(window)) for url in sorted(asked)]
    answers += [
        httpx.get(window.dashboard + "/fleet"),
        httpx.get(window.dashboard + "/_stcore/host-config"),
        httpx.get(window.dashboard + "/media/none"),
        httpx.get(window.dashboard + "/no-such-page", cookies=cookies(window)),
        httpx.get(window.dashboard + "/sign-in", headers={"Host": FOREIGN}),
        httpx.post(window.dashboard + "/sign-in", data={"name": "x", "password": "y"}),
    ]
    for answer in answers:
        missing = [name for name, value in HEADERS.items() if answer.headers.get(name) != value]
        assert not missing, (answer.request.url, answer.status_code, missing)
    assert {200, 303, 400, 401, 403} <= {answer.status_code for answer in answers}
    page = httpx.get(window.dashboard + "/fleet", cookies=cookies(window)).headers
    assert "frame-ancestors 'none'" in page["content-security-policy"]
    assert page["cache-control"] == "no-store"


def test_a_page_that_breaks_shows_no_traceback(windows: Windows, fleet: Fleet) -> None:
    """A users file that somebody broke by hand: every run of every page raises, while the browser is connected."""
    page = windows.signed_in("reviewer", "duplicates", "Duplicates").page
    main = page.get_by_test_id("stApp")
    with broken(fleet.run_dir / "secrets" / "users.json"):
        page.get_by_role("link", name="Subjects").click()
        expect(page.get_by_test_id("stException").first).to_be_visible()
        text = main.inner_text()
        for inside in ("Traceback", 'File "', "ValidationError", "pydantic", "users.json", "dashboard/"):
            assert inside not in text, text
        answer = httpx.get(f"{fleet.access['dashboard']}/duplicates", cookies={COOKIE: "x.y.z"}, follow_redirects=False)
        assert "Traceback" not in answer.text
    page.reload()
    eventually(lambda: page.get_by_test_id("stException").count() == 0, within_s=20)


@contextmanager
def broken(file: Path) -> Iterator[None]:
    kept = file.read_bytes()
    file.write_bytes(b"{ not json")
    try:
        yield
    finally:
        file.write_bytes(kept)
