"""Reviewing by keyboard in a real browser: from the key to the next case, and what each page of the dashboard costs.

10,000 open cases and 50 backends, real but for their inference. A decision is timed in the browser, from `keydown` to both
faces of the next case in the document and decoded; its peer is the same by bare HTTP, one call after the other: decide, claim
the next, fetch two faces. Pages are those of the side bar, whichever there are: first paint is the page's own heading, counted
from the navigation; a refresh is the run of a page's script, or of its fragments, on the server.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

from playwright.sync_api import Page, expect

from backend import wire
from backend.client import BackendClient
from tests.bench.measure import Benchmark, Setting, machine, seconds
from tests.bench.review_place import ACCOUNT, Place, place
from tests.system import browser

CASES, FEWER = 10_000, 200
DECISIONS, FEW = 100, 12
TURN = 25
"""decisions by keyboard, then as many by bare HTTP, and so on: a busy machine slows both"""
STAY_S = 8.0
FRESH_S = 0.25
"""between two decisions: a reviewer looks, and the page settles"""
PART = "review"

TIMER = """
(() => {
  const took = (window.__took = [])
  let pressed = null, before = null
  const faces = () => document.querySelector(".fa .faces")
  document.addEventListener("keydown", (event) => {
    if (event.key !== "d") return
    pressed = performance.now()
    before = faces()?.dataset.case
  }, true)
  const look = () => {
    if (pressed === null) return
    const shown = faces()
    if (!shown || shown.dataset.case === before) return
    const images = [...shown.querySelectorAll("img")]
    if (images.length < 2) return
    const start = pressed
    pressed = null
    Promise.all(images.map((image) => image.decode())).then(() => took.push(performance.now() - start))
  }
  new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true })
})()
"""
PAINTED = """
(() => {
  const look = () => {
    if (document.querySelector('[data-testid="stMain"] h1')) { window.__painted = performance.now(); watch.disconnect() }
  }
  const watch = new MutationObserver(look)
  watch.observe(document, { subtree: true, childList: true })
})()
"""


@dataclass(frozen=True)
class Visit:
    """One look at one page, in milliseconds."""

    name: str
    painted: float
    shell: float
    script: float
    refreshes: list[float]

    @property
    def refresh(self) -> float:
        """Of its fragments, where it has some that run by themselves; else of the whole page."""
        return statistics.median(self.refreshes) if self.refreshes else self.script


def review(setting: Setting) -> Iterator[Benchmark]:
    cases, decisions = (FEWER, FEW) if setting.quick else (CASES, DECISIONS)
    with place(setting.folder, cases=cases) as desk, browser.page(width=1280, height=720) as page:
        print(f"load average before: {os.getloadavg()[0]:.1f}", flush=True)
        browser.sign_in(page, desk.dashboard, ACCOUNT)
        yield from _decisions(desk, page, decisions, cases)
        visits = list(_visits(desk, page, 3.0 if setting.quick else STAY_S))
        print(f"load average after: {os.getloadavg()[0]:.1f}", flush=True)
    for visit in visits:
        yield _row(
            f"page {visit.name}: first paint", visit.painted, "the browser's first paint of anything", visit.shell, "≤ 1500 ms"
        )
    for visit in visits:
        yield _row(f"page {visit.name}: script time of a refresh", visit.refresh, "its whole script", visit.script, "≤ 200 ms")


# --- decisions ----------------------------------------------------------------------------------------------------


def _decisions(desk: Place, page: Page, count: int, cases: int) -> Iterator[Benchmark]:
    shown: list[float] = []
    scripts: list[float] = []
    bare: list[float] = []
    page.add_init_script(TIMER)
    page.goto(f"{desk.dashboard}/duplicates")
    expect(page.get_by_role("button", name="Claim next")).to_be_visible()
    page.keyboard.press("n")
    expect(page.locator(".fa .faces img")).to_have_count(2)
    expect(page.get_by_role("button", name="Different people")).to_be_enabled()
    with desk.backend() as direct:
        held = direct.next_case()
        _by_keyboard(desk, page, 3)  # to warm up
        held, _ = _by_http(direct, held)
        while len(shown) < count:
            some, ran = _by_keyboard(desk, page, min(TURN, count - len(shown)))
            shown += some
            scripts += ran
            for _ in range(min(TURN, count - len(bare))):
                held, took = _by_http(direct, held)
                bare.append(took)
        direct.release(held.id)
    page.keyboard.press("b")
    expect(page.get_by_text("The case is back in the queue.")).to_be_visible()
    peer, peers = "the same by bare HTTP calls", sorted(bare)
    what = f"{count} decisions by keyboard, {cases:,} cases"
    yield _row(f"{what}: key to next case, median", statistics.median(shown), peer, statistics.median(peers), "≤ 300 ms")
    for name, share in (("p95", 0.95), ("longest", 1.0)):
        yield _row(f"{what}: key to next case, {name}", _quantile(shown, share), peer, _quantile(peers, share), "–")
    yield _row(f"{what}: script time, median", statistics.median(scripts), peer, statistics.median(peers), "≤ 300 ms")


def _by_keyboard(desk: Place, page: Page, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds in the browser, and of the scripts that ran meanwhile."""
    done = page.evaluate("window.__took.length")
    scripts: list[float] = []
    for turn in range(1, count + 1):
        began = time.time()
        page.keyboard.press("d")
        page.wait_for_function("wanted => window.__took.length >= wanted", arg=done + turn)
        time.sleep(FRESH_S)
        # a key of a case whose buttons are not there yet decides nothing: what a reviewer sees is what counts
        expect(page.locator(f".st-key-verdict-different-{_shown(page)} button")).to_be_enabled()
        runs = [run["ms"] for run in desk.runs(began - 0.002, time.time())]
        scripts += [max(runs)] if runs else []
    took: list[float] = page.evaluate("from => window.__took.slice(from)", done)
    return took, scripts


def _shown(page: Page) -> str:
    return str(page.locator(".fa .faces").get_attribute("data-case"))


def _by_http(backend: BackendClient, held: wire.Case) -> tuple[wire.Case, float]:
    """The case that was claimed, and milliseconds."""
    found: list[wire.Case] = []

    def decide() -> None:
        backend.decide(held.id, wire.Verdict.different, version=held.version)
        found.append(backend.next_case())
        for side in (found[0].pairs[0].a, found[0].pairs[0].b):
            backend.sample_image(side.subject_id, side.sample_id)

    took = 1000 * seconds(decide)
    return found[0], took


# --- pages --------------------------------------------------------------------------------------------------------


def _visits(desk: Place, page: Page, stay_s: float) -> Iterator[Visit]:
    page.add_init_script(PAINTED)
    links = page.get_by_test_id("stSidebarNavLink")
    expect(links.first).to_be_visible()
    addresses = {link.inner_text().strip().splitlines()[-1]: str(link.get_attribute("href")) for link in links.all()}
    for name, address in addresses.items():
        yield _visit(desk, page, name, address, stay_s)


def _visit(desk: Place, page: Page, name: str, address: str, stay_s: float) -> Visit:
    """Twice: the first time the server and the browser may have to learn what is new to them."""
    for _ in range(2):
        began = time.time()
        page.goto(address if "://" in address else desk.dashboard + address)
        page.wait_for_function("window.__painted !== undefined")
        time.sleep(stay_s)
    runs = desk.runs(began, time.time())
    painted, shell = page.evaluate("[window.__painted, performance.getEntriesByName('first-contentful-paint')[0]?.startTime]")
    whole = [run["ms"] for run in runs if not run["fragment"]]
    return Visit(name, painted, shell or painted, max(whole), [run["ms"] for run in runs if run["fragment"]])


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _row(name: str, value: float, peer: str, peer_value: float, aim: str) -> Benchmark:
    def short(number: float) -> float:
        return float(f"{number:.4g}")

    return Benchmark(name, short(value), "ms", peer, short(peer_value), short(value / peer_value), 0.0, aim, machine(), PART)
