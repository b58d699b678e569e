"""What `make screenshots` refuses, shown on small pages: somebody's face, a page that is too wide, an error."""

from __future__ import annotations

import base64
import hashlib
import io

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from tests.browser import blur, screenshots
from tests.browser.pages import SITE

SHELL = '<div data-testid="stApp"><section data-testid="stMain">{}</section></div>'


def jpeg(seed: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (seed, 90, 120)).save(out, "JPEG")
    return out.getvalue()


@pytest.fixture
def page(chromium: Browser) -> Page:
    context = chromium.new_context(viewport={"width": 1280, "height": 720})
    blur.blurred(context)
    return context.new_page()


def show(page: Page, inside: str) -> Page:
    """As a page that is loaded: what a context adds to each page is added to this one."""
    page.route("http://page.test/", lambda route: route.fulfill(body=SHELL.format(inside), content_type="text/html"))
    page.goto("http://page.test/")
    return page


def image(data: bytes, style: str = "") -> str:
    return f'<img alt="Face of demo-astronaut" style="{style}" src="data:image/jpeg;base64,{base64.b64encode(data).decode()}">'


def test_a_face_is_blurred_unless_its_bytes_are_known_to_be_free(page: Page) -> None:
    free = frozenset({hashlib.sha256(jpeg(1)).digest()})
    show(page, image(jpeg(1)) + image(jpeg(2)))
    blur.clear(page, free)
    filters = page.evaluate("[...document.images].map(e => getComputedStyle(e).filter)")
    assert filters == ["none", "blur(16px)"], "the second one says that it is free, and is not"
    assert blur.faces_of_others(page, free) == 0


def test_a_face_that_escapes_the_blur_is_noticed(page: Page) -> None:
    show(page, image(jpeg(2)))
    page.locator("img").evaluate("e => e.setAttribute('data-free', '')")
    assert blur.faces_of_others(page, frozenset()) == 1
    page.locator("img").evaluate("e => e.replaceWith(document.createElement('canvas'))")
    assert blur.faces_of_others(page, frozenset()) == 1, "nobody knows what a canvas shows"


@pytest.mark.parametrize(
    ("inside", "complaint"),
    [
        ('<div style="width: 2000px">wide</div>', "wider than its window"),
        ('<div data-testid="stException">oh</div>', "shows an error: oh"),
        ('<div data-testid="stAlertContentError">refused</div>', "shows an error: refused"),
        ('<div data-testid="stSkeleton"></div>', "still loads: 1"),
        ("<p>Unreachable. No backend can be reached.</p>", "says 'Unreachable'"),
        ("<p>well</p>", None),
    ],
)
def test_what_is_wrong_with_a_page_is_said(page: Page, inside: str, complaint: str | None) -> None:
    show(page, inside)
    assert list(screenshots._complaints(page)) == ([complaint] if complaint else [])


def test_every_page_of_the_sitemap_has_its_pictures_in_the_repository() -> None:
    there = {file.name for file in screenshots.FOLDER.glob("*.png")}
    wanted = [*(page.path for page in SITE), "case", "record", "alert"]
    assert sorted(there) == sorted(f"{name}-{scheme}.png" for name in wanted for scheme in screenshots.SCHEMES)
    assert max(file.stat().st_size for file in screenshots.FOLDER.glob("*.png")) <= screenshots.MOST_BYTES
