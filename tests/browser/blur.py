"""No face that is not in the public domain is ever in a picture: all are blurred, and those known to be free are then cleared.

Free is NASA's portrait of Eileen Collins (scikit-image's `astronaut`) and copies of it; the demo's other faces are not.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

from playwright.sync_api import BrowserContext, Page

from backend import wire
from backend.client import BackendClient
from deploy.demo.pictures import PUBLIC_DOMAIN

RASTER = 'img[src^="data:image/"]:not([src^="data:image/svg"])'
BLUR = f"""addEventListener('DOMContentLoaded', () => {{
  const style = document.createElement('style')
  style.textContent = '{RASTER}:not([data-free]) {{ filter: blur(16px) !important }}'
  document.head.append(style)
}})"""
UNBLURRED = f"""() => [...document.querySelectorAll('{RASTER}')]
  .filter(e => e.getClientRects().length && !getComputedStyle(e).filter.includes('blur'))
  .map(e => e.src)"""
OTHERS = (
    "() => [...document.querySelectorAll('video, canvas, object, embed, iframe')].filter(e => e.getClientRects().length).length"
)

Digest = bytes


def blurred(context: BrowserContext) -> None:
    """Every raster picture of every page of this context, from its first moment."""
    context.add_init_script(BLUR)


def free_faces(api: BackendClient) -> frozenset[Digest]:
    """What the stored pictures of people in the public domain are known by; the demo names its portraits in external ids."""
    free = tuple(f"demo-{portrait}" for portrait in PUBLIC_DOMAIN)
    return frozenset(
        _digest(api.sample_image(subject.id, sample.id))
        for subject in _everybody(api)
        if (subject.external_id or "").startswith(free)
        for sample in subject.samples
    )


def _everybody(api: BackendClient) -> Iterator[wire.Subject]:
    cursor: str | None = None
    while True:
        page = api.subjects(cursor=cursor, limit=100)
        yield from page.items
        if (cursor := page.next) is None:
            return


def clear(page: Page, free: frozenset[Digest]) -> None:
    """Take the blur off what is free, by its bytes: a name on the page proves nothing."""
    pictures = page.locator(RASTER)
    for place in range(pictures.count()):
        if _digest(_bytes(pictures.nth(place).get_attribute("src") or "")) in free:
            pictures.nth(place).evaluate("e => e.setAttribute('data-free', '')")


def faces_of_others(page: Page, free: frozenset[Digest]) -> int:
    """Pictures that are shown unblurred and are not free, and whatever else could show one."""
    shown: list[str] = page.evaluate(UNBLURRED)
    return sum(_digest(_bytes(source)) not in free for source in shown) + int(page.evaluate(OTHERS))


def _bytes(source: str) -> bytes:
    return base64.b64decode(source.partition(",")[2])


def _digest(data: bytes) -> Digest:
    return hashlib.sha256(data).digest()
