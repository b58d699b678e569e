"""Whatever a browser asked for while faces were on the screen, without a cookie it gives no face to anybody."""

from __future__ import annotations

import base64
import io
import re

import httpx
import pytest
from PIL import Image, UnidentifiedImageError
from playwright.sync_api import expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from tests.browser import cases
from tests.browser.cases import open_case
from tests.browser.people import Windows
from tests.system.running_fleet import Fleet

JPEG, WEBP = b"\xff\xd8\xff", b"WEBPVP8"
SMALLEST_FACE = 24
"""pixels; what is smaller is an icon"""


def photographs(body: bytes) -> list[str]:
    """What in these bytes a person could look at: the whole of them, what is inside them, what stands in them as base64."""
    found = ["the body is a picture"] if _is_photograph(body) else []
    found += [f"{magic!r} inside" for magic in (JPEG, WEBP) if magic in body]
    for kind, data in re.findall(rb"data:image/([a-z+]+);base64,([A-Za-z0-9+/=]+)", body):
        if kind != b"svg+xml" and _is_photograph(_decoded(data)):
            found.append(f"a data URI of image/{kind.decode()}")
    found += ["a JPEG as base64" for text in re.findall(rb"/9j/[\w+/]{200,}={0,2}", body) if _is_photograph(_decoded(text))]
    return found


def _decoded(text: bytes) -> bytes:
    return base64.b64decode(text.rstrip(b"=") + b"=" * (-len(text.rstrip(b"=")) % 4))


def _is_photograph(body: bytes) -> bool:
    """A raster image large enough to show a face, in more than a handful of colours."""
    try:
        image = Image.open(io.BytesIO(body))
        image.load()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return False
    return min(image.size) >= SMALLEST_FACE and image.convert("RGB").getcolors(64) is None


def test_no_address_that_a_browser_asked_for_gives_a_face_without_the_cookie(windows: Windows, fleet: Fleet) -> None:
    window = windows.signed_in("supervisor")
    page = open_case(window, cases.of_a_real_face(fleet))
    faces = page.locator("img[src^='data:image/jpeg']")
    expect(faces.first).to_be_visible()
    source = faces.first.get_attribute("src") or ""
    assert photographs(source.encode()), "the check would not know a face if it saw one"
    assert photographs(base64.b64decode(source.split(",")[1]))

    window.visit("subjects", "Subjects")
    asked = {url for url in window.seen.requests if not url.startswith(("data:", "blob:"))}
    assert {url.split("?")[0].rsplit("/", 1)[1] for url in asked} >= {"duplicates", "subjects"}
    shown = {}
    with httpx.Client(follow_redirects=True) as stranger:
        for url in sorted(asked):
            if url.startswith("http") and (found := photographs(stranger.get(url).content)):
                shown[url] = found
    print(f"{len(asked)} addresses, {len(window.seen.sockets)} websockets, asked again by a stranger")
    assert shown == {}


def test_no_websocket_opens_for_a_stranger(windows: Windows) -> None:
    """The faces travel in it, so it is tried as the page opened it, less its cookie."""
    window = windows.signed_in("reviewer", "duplicates", "Duplicates")
    addresses = {socket.url for socket in window.seen.sockets}
    assert addresses, "the page came without a websocket?"
    for address in addresses:
        with (
            pytest.raises(InvalidStatus) as refused,
            connect(address, origin=Origin(window.dashboard), subprotocols=[Subprotocol("streamlit")], open_timeout=10) as socket,
        ):
            socket.recv(timeout=5)
        assert refused.value.response.status_code == 403


def test_what_the_check_calls_a_photograph() -> None:
    photograph = io.BytesIO()
    noise = Image.effect_noise((64, 64), 80).convert("RGB")
    noise.save(photograph, "JPEG")
    assert photographs(photograph.getvalue())
    assert photographs(b'{"faces": ["' + base64.b64encode(photograph.getvalue()) + b'"]}')
    assert photographs(b"junk" + photograph.getvalue())
    icon = io.BytesIO()
    Image.new("RGBA", (16, 16), "red").save(icon, "PNG")
    assert not photographs(icon.getvalue())
    assert not photographs(b"<!doctype html><title>Sign in</title>")
