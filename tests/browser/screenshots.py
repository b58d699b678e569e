"""Pictures of every page, light and dark, from a fleet that really runs: `make screenshots` writes `docs/screenshots/`.

    python -m tests.browser.screenshots --folder /tmp/pictures --only fleet

The pages come off the sitemap, so one without a picture cannot be forgotten. Exit status 1, with each reason, where a page is
missing, wider than its window, not whole yet, shows an error, or shows a face that is not in the public domain.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Error, Page

from monitor.wire import AlertState
from tests.browser import blur, cases, people, renewal
from tests.browser.conftest import ABOUT_TO_END, SETTINGS
from tests.browser.pages import SITE, query
from tests.browser.people import Window
from tests.system.running_fleet import ROOT, Fleet, eventually, running_fleet

FOLDER = ROOT / "docs" / "screenshots"
SCHEMES = ("light", "dark")
WIDTH, LEAST_HEIGHT, MOST_HEIGHT = 1280, 720, 1400
MOST_BYTES = 250_000
COLOURS = (256, 128, 64)
REQUESTS = 60
CASES = 14
WRONG = re.compile(r"Traceback|Unreachable|cannot be reached|has encountered an error|Your session has ended|Page not found")
WIDER = """() => document.documentElement.scrollWidth > innerWidth
  || [...document.querySelectorAll('[data-testid=stMain]')].some(e => e.scrollWidth > e.clientWidth)"""
ERRORS = "[data-testid=stException], [data-testid=stAlertContentError]"


@dataclass(frozen=True)
class Shot:
    name: str
    path: str
    heading: str


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="these alone; nothing is deleted then")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as run, running_fleet(Path(run) / "run", "--no-traffic", settings=SETTINGS) as fleet:
        wrong = list(take(fleet, options.folder, options.only))
    print(*wrong, f"{len(wrong)} complaints; pictures in {options.folder}", sep="\n")
    return 1 if wrong else 0


def take(fleet: Fleet, folder: Path, only: Sequence[str] = ()) -> Iterator[str]:
    """Write the pictures; gives what is wrong with them."""
    folder.mkdir(parents=True, exist_ok=True)
    shots = [shot for shot in _shots(fleet) if not only or shot.name in only]
    with fleet.backend() as api:
        free = blur.free_faces(api)
    with people.chromium() as chromium, people.windows(chromium, fleet) as windows:
        for scheme in SCHEMES:
            window = windows.blank(scheme=scheme)
            blur.blurred(window.context)
            people.sign_in(window, fleet.access["sign_ins"]["admin"])
            for shot in shots:
                file = folder / f"{shot.name}-{scheme}.png"
                yield from (f"{file.name}: {complaint}" for complaint in _picture(window, shot, file, free))
    yield from _left_over(folder, shots, prune=not only)


def _shots(fleet: Fleet) -> list[Shot]:
    """Every page of the sitemap, and what some of them show of one thing."""
    case, subject = _something_to_see(fleet)
    with fleet.monitor() as monitor:
        firing, _ = eventually(lambda: monitor.alerts(state=AlertState.firing).items, within_s=120, every_s=1)
    pages = [Shot(one.path, one.path + query(one, fleet), one.title) for one in SITE]
    return [
        *pages,
        Shot("case", f"duplicates?case={case}", "Duplicates"),
        Shot("record", f"subjects?id={subject}", ""),
        Shot("alert", f"alerts?alert={firing[0].id}", ""),
    ]


def _something_to_see(fleet: Fleet) -> tuple[str, str]:
    """A certificate about to end, a queue, a scan, some traffic of clients; a case and a record with faces that may be seen."""
    renewal.let_end_soon(fleet, ABOUT_TO_END)
    cases.planted(fleet, CASES)
    case = cases.of_a_real_face(fleet, name="demo-astronaut-brighter")
    with fleet.backend() as api:
        subject = api.subjects(external_id="demo-astronaut").items[0]
        crop = api.sample_image(subject.id, subject.samples[0].id)
        api.start_scan()
        for _ in range(REQUESTS):
            api.identify(crop)
    return case, subject.id


def _picture(window: Window, shot: Shot, file: Path, free: frozenset[bytes]) -> Iterator[str]:
    """Written whatever is wrong with it, so that somebody can look at it; gives what that is."""
    before = len(window.seen.errors)
    try:
        page = window.visit(shot.path, shot.heading or None)
        people.whole(page)
        _fit(page)
        blur.clear(page, free)
        hidden = blur.faces_of_others(page, free)
        data = b"" if hidden else page.screenshot(animations="disabled")
        hidden += blur.faces_of_others(page, free)
    except (AssertionError, Error) as error:
        yield f"is missing: {str(error).splitlines()[0]}"
        return
    if hidden:
        yield f"{hidden} faces of people who are not in the public domain: no picture is kept"
        file.unlink(missing_ok=True)
        return
    file.write_bytes(small := _small(data))
    yield from _complaints(page)
    if len(small) > MOST_BYTES:
        yield f"{len(small):,} bytes, more than {MOST_BYTES:,}"
    yield from (f"console: {error}" for error in window.seen.errors[before:])


def _complaints(page: Page) -> Iterator[str]:
    if page.evaluate(WIDER):
        yield "wider than its window"
    if loading := page.get_by_test_id(people.STILL_LOADING).count():
        yield f"still loads: {loading}"
    for shown in page.locator(ERRORS).all_inner_texts():
        yield f"shows an error: {shown[:120]}"
    if found := WRONG.search(page.get_by_test_id("stApp").inner_text()):
        yield f"says {found.group()!r}"


def _fit(page: Page) -> None:
    """A window as high as the page, within reason: Streamlit scrolls inside it."""
    page.set_viewport_size({"width": WIDTH, "height": LEAST_HEIGHT})
    height = page.get_by_test_id("stMain").evaluate("e => e.scrollHeight")
    page.set_viewport_size({"width": WIDTH, "height": max(LEAST_HEIGHT, min(MOST_HEIGHT, int(height)))})
    people.drawn(page)


def _small(png: bytes) -> bytes:
    """The same picture with a palette, of as many colours as fit."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    for colours in COLOURS:
        out = io.BytesIO()
        image.quantize(colours, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
        if out.tell() <= MOST_BYTES:
            break
    return out.getvalue()


def _left_over(folder: Path, shots: Sequence[Shot], *, prune: bool) -> Iterator[str]:
    wanted = {f"{shot.name}-{scheme}.png" for shot in shots for scheme in SCHEMES}
    there = {file.name for file in folder.glob("*.png")}
    yield from (f"{name}: there is no such picture" for name in sorted(wanted - there))
    for name in sorted(there - wanted) if prune else ():
        (folder / name).unlink()


if __name__ == "__main__":
    sys.exit(main())
