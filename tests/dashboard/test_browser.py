"""The dashboard as a real process in a real Chromium, before small stand-ins for the two APIs."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from tests.dashboard import samples, samples_load, samples_scans
from tests.dashboard import samples_review as sr
from tests.dashboard.legible import broken_words
from tests.dashboard.queue import ReviewQueue
from tests.dashboard.stand_in import Route, StandIn
from tests.system.running_fleet import eventually

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct horse battery"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run"]


@dataclass
class Running:
    url: str
    folder: Path
    backend: StandIn
    monitor: StandIn
    queue: ReviewQueue
    process: subprocess.Popen[bytes]

    def command(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "dashboard", *arguments]
        subprocess.run(command, cwd=ROOT, env=self.environment(), input=PASSWORD, text=True, check=True, capture_output=True)

    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DASHBOARD_")}
        return clean | settings(self.folder, self.backend.url, self.monitor.url)


def settings(folder: Path, backend: str, monitor: str) -> dict[str, str]:
    return {
        "DASHBOARD_BACKEND_URLS": backend,
        "DASHBOARD_MONITOR_URL": monitor,
        "DASHBOARD_USERS_FILE": str(folder / "users.json"),
        "DASHBOARD_SIGNING_KEY_FILE": str(folder / "signing.pem"),
        "DASHBOARD_COOKIE_SECRET": "for this test",
    }


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed: `make system`")
    folder = tmp_path_factory.mktemp("dashboard")
    evil = [samples.subject(1, external_id="![x](https://evil.example/x.png)"), samples.subject(2)]
    queue = ReviewQueue(samples.case(1), samples.case(2, subjects=evil), samples.case(3), samples.case(4))
    routes: dict[tuple[str, str], Route] = {
        ("GET", "/v1/fleet"): lambda _: samples.fleet(samples.backend("b1"), samples.down("b2")),
        ("GET", "/v1/load"): lambda _: samples.load_view(b1=0.6, b2=0.4),
        ("GET", "/v1/load/series"): lambda _: samples.series("b1", "b2"),
        ("GET", "/v1/certificates"): lambda _: samples.certificates(samples.certificate("b1")),
        ("GET", "/v1/distribution-checks"): lambda _: samples_load.checks(samples_load.check()),
    }
    scans = samples_scans.ScanService(samples_scans.scan(2), samples_scans.scan(1, "cancelled"))
    backend, monitor = StandIn(queue.routes() | scans.routes()), StandIn(routes)  # type: ignore[arg-type]
    backend.start()
    monitor.start()
    port = _free_port()
    place = Running(f"http://127.0.0.1:{port}", folder, backend, monitor, queue, None)  # type: ignore[arg-type]
    place.command("keys", "init", "--jwks", str(folder / "jwks.json"))
    for role in ("operator", "reviewer", "admin"):
        place.command("users", "add", role, "--role", role, "--password-file", "-")
    log = (folder / "log").open("wb")
    command = [sys.executable, "-m", "dashboard", "serve", "--port", str(port)]
    place.process = subprocess.Popen(command, cwd=ROOT, env=place.environment(), stdout=log, stderr=log)
    try:
        eventually(lambda: _healthy(place), within_s=60)
        yield place
    finally:
        place.process.terminate()
        place.process.wait(15)
        log.close()
        backend.stop()
        monitor.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _healthy(place: Running) -> bool:
    assert place.process.poll() is None, (place.folder / "log").read_text()
    try:
        return httpx.get(f"{place.url}/_stcore/health", timeout=2).text == "ok"
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def chromium(running: Running) -> Iterator[Browser]:
    expect.set_options(timeout=30_000)  # the machine may be busy; nothing here measures time
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(viewport={"width": 1280, "height": 720})
    context.set_default_timeout(30_000)
    yield context
    context.close()


def sign_in(context: BrowserContext, running: Running, role: str, path: str = "/") -> Page:
    page = context.new_page()
    page.goto(running.url + path)
    page.get_by_label("Name").fill(role)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    return page


def heading(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible(timeout=30_000)


def test_an_operator_signs_in_sees_the_fleet_and_signs_out(context: BrowserContext, running: Running) -> None:
    page = sign_in(context, running, "operator")
    heading(page, "Fleet")
    card = page.locator(".st-key-backend-b2")
    for part in ("DOWN", "NET.REFUSED", "2/3 before down", "no traffic"):
        expect(card).to_contain_text(part)
    expect(page.locator(".st-key-backend-b1")).to_contain_text("UP")
    assert [cookie["httpOnly"] for cookie in context.cookies() if cookie["name"] == "face_auth_session"] == [True]
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    page.goto(f"{running.url}/fleet")
    assert "/sign-in" in page.url


def test_the_form_works_without_javascript(chromium: Browser, running: Running) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{running.url}/load")
    page.get_by_label("Name").fill("operator")
    page.get_by_label("Password").fill("wrong wrong wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{running.url}/load")
    context.close()


def test_the_fleet_page_follows_by_itself_and_says_when_the_monitor_is_gone(context: BrowserContext, running: Running) -> None:
    page = sign_in(context, running, "operator")
    heading(page, "Fleet")
    expect(page.locator(".st-key-backend-b2")).to_contain_text("DOWN")
    before = running.monitor.routes[("GET", "/v1/fleet")]
    running.monitor.routes[("GET", "/v1/fleet")] = lambda _: samples.fleet(samples.backend("b1"), samples.backend("b2"))
    try:
        expect(page.locator(".st-key-backend-b2")).not_to_contain_text("DOWN", timeout=10_000)
        running.monitor.stop()
        expect(page.get_by_text("The monitor cannot be reached")).to_be_visible(timeout=15_000)
        expect(page.locator(".st-key-backend-b1")).to_be_visible()
    finally:
        running.monitor.start()
        running.monitor.routes[("GET", "/v1/fleet")] = before
    expect(page.get_by_text("The monitor cannot be reached")).to_have_count(0, timeout=15_000)


def test_zoom_survives_refreshes_with_new_data(context: BrowserContext, running: Running) -> None:
    page = sign_in(context, running, "operator", "/load")
    heading(page, "Load")
    plot = page.locator(".js-plotly-plot").nth(1)
    expect(plot).to_be_visible()
    eventually(lambda: _drag(page, plot) and _axis(plot)["autorange"] is False, within_s=20, every_s=0.5)
    zoomed = _axis(plot)
    eventually(lambda: _axis(plot)["first"] != zoomed["first"], within_s=20)
    assert _axis(plot)["range"] == zoomed["range"]


def _drag(page: Page, plot: Locator) -> bool:
    """Zoom in along the axis of time."""
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 300, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 500, middle, steps=6)
    page.mouse.up()
    return True


def _axis(plot: Locator) -> dict[str, Any]:
    """Of the axis of time: its range, and the first moment that the data hold."""
    script = "e => ({first: e.data[0].x[0], autorange: e._fullLayout.xaxis.autorange, range: e._fullLayout.xaxis.range})"
    found: dict[str, Any] = plot.evaluate(script)
    return found


def test_a_reviewer_claims_decides_and_undoes_by_keyboard_and_keys_rest_while_typing(
    context: BrowserContext, running: Running
) -> None:
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = sign_in(context, running, "reviewer")
    heading(page, "Duplicates")
    expect(page.get_by_role("button", name="Claim next")).to_be_visible()
    page.keyboard.press("n")
    expect(page.locator("img[src^='data:image/jpeg']")).to_have_count(2)
    first = _claimed(running)
    page.get_by_placeholder("a reason").click()
    page.keyboard.type("seen on two photos")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Duplicates").click()
    assert not running.queue.decided, "typing decides nothing"
    page.keyboard.press("2")
    expect(page.locator("figure.kept")).to_contain_text("EMP-2")
    page.keyboard.press("s")
    expect(page.get_by_text("Decided: Same person.")).to_be_visible()
    assert running.queue.decided == [(first, "same", "reviewer", "sub_00000002", "seen on two photos")]
    assert _claimed(running) != first, "the next case is there at once"
    page.keyboard.press("u")
    expect(page.get_by_text("Undone: the case is open again.")).to_be_visible()
    assert _claimed(running) == first, "and the other one is free for colleagues"
    page.keyboard.press("b")
    expect(page.get_by_text("The case is back in the queue.")).to_be_visible()
    eventually(lambda: not any(case.lease for case in running.queue.cases.values()), within_s=20)
    assert not [url for url in asked if not url.startswith((running.url, "data:", "blob:"))], "no other host is asked"
    for url in {url for url in asked if url.startswith(running.url)}:
        answer = httpx.get(url, follow_redirects=False)
        assert not answer.headers.get("content-type", "").startswith("image/jpeg"), url


def test_zoom_blink_and_the_keys_need_no_server_and_a_key_pressed_twice_decides_one_case(
    context: BrowserContext, running: Running
) -> None:
    page = sign_in(context, running, "reviewer", "/duplicates")
    expect(page.get_by_role("button", name="Claim next")).to_be_visible()
    page.keyboard.press("n")
    expect(page.get_by_role("button", name="Unsure")).to_be_enabled()
    body = page.locator("body")
    expect(body).to_have_attribute("style", re.compile("--zoom"))  # the script listens
    asked = len(running.backend.asked)
    page.keyboard.press("z")
    expect(body).to_have_attribute("data-zoomed", "")
    page.keyboard.press("x")
    expect(body).to_have_attribute("data-blink", "turns")
    page.keyboard.press("?")
    expect(page.get_by_role("note", name="Keys")).to_be_visible()
    page.keyboard.press("e")
    page.keyboard.type("zx?d")
    expect(page.get_by_placeholder("a reason")).to_have_value("zx?d")
    expect(body).to_have_attribute("data-zoomed", "")
    page.keyboard.press("Escape")
    page.keyboard.press("x")
    expect(body).not_to_have_attribute("data-blink", "turns")
    new = running.backend.asked[asked:]
    assert not [one.path for one in new if not one.path.endswith("/heartbeat")], "only the claim is renewed"
    before, first = len(running.queue.decided), _claimed(running)
    page.keyboard.press("d")
    page.keyboard.press("d")
    expect(page.get_by_text("Decided: Different people.")).to_be_visible()
    eventually(lambda: _claimed(running) != first, within_s=20)
    assert [one[0] for one in running.queue.decided[before:]] == [first], "nobody decides what was not seen"
    expect(body).not_to_have_attribute("data-zoomed", "")
    page.keyboard.press("b")
    expect(page.get_by_text("The case is back in the queue.")).to_be_visible()


@pytest.mark.parametrize("people", [2, 3])
def test_faces_the_record_that_remains_and_the_verdicts_stand_on_one_screen(
    context: BrowserContext, running: Running, people: int
) -> None:
    whole = sr.cluster(7)
    named = [
        one.model_copy(update={"external_id": f"demo-astronaut-recompressed-{one.external_id}"})
        for one in whole.subjects[:people]
    ]
    before = running.queue.cases
    running.queue.cases = {whole.id: whole.model_copy(update={"subjects": named, "pairs": whole.pairs[: people - 1]})}
    try:
        page = sign_in(context, running, "reviewer", "/duplicates")
        expect(page.get_by_role("button", name="Claim next")).to_be_visible()
        page.keyboard.press("n")
        expect(page.get_by_role("button", name="Unsure")).to_be_enabled()
        expect(page.locator(".faces figure img")).to_have_count(2)
        faces = page.locator(".faces").bounding_box()
        bar = page.locator(".st-key-decide").bounding_box()
        assert faces is not None
        assert bar is not None
        assert faces["y"] >= 0
        assert faces["y"] + faces["height"] <= bar["y"], "nothing lies over the faces"
        for name in ("Keep ", "Same person", "Unsure", "Undo"):
            box = page.get_by_role("button", name=name).last.bounding_box()
            assert box is not None
            assert box["y"] >= bar["y"]
            assert box["y"] + box["height"] <= 720, f"{name} is below the fold"
        assert page.get_by_test_id("stMain").evaluate("e => e.scrollTop") == 0
        assert broken_words(page) == []
        page.keyboard.press("b")
        expect(page.get_by_text("The case is back in the queue.")).to_be_visible()
    finally:
        running.queue.cases = before


def _claimed(running: Running) -> str:
    (held,) = [case.id for case in running.queue.cases.values() if case.lease]
    return held


def test_signing_out_in_one_tab_ends_another_tabs_power(context: BrowserContext, running: Running) -> None:
    working = sign_in(context, running, "reviewer")
    heading(working, "Duplicates")
    other = context.new_page()
    other.goto(running.url)
    heading(other, "Duplicates")
    other.get_by_role("button", name="Sign out").click()
    other.wait_for_url("**/sign-in")
    before = list(running.queue.cases.values())
    working.get_by_role("button", name="Claim next").click()
    expect(working.get_by_text("Your session has ended")).to_be_visible()
    assert list(running.queue.cases.values()) == before


@pytest.mark.parametrize("path", ["fleet", "load", "certificates", "duplicates", "subjects", "scans", "accuracy"])
def test_no_page_is_wider_than_its_window_or_shows_an_error(context: BrowserContext, running: Running, path: str) -> None:
    page = sign_in(context, running, "admin", f"/{path}")
    heading(page, path.capitalize())
    main = page.get_by_test_id("stMain")
    expect(main).to_be_visible()
    for width in (1280, 800):
        page.set_viewport_size({"width": width, "height": 720})
        eventually(lambda: main.evaluate("e => e.scrollWidth <= e.clientWidth"), within_s=20)
    assert page.get_by_test_id("stException").count() == 0
    assert re.search(r"Traceback|Error:", main.inner_text()) is None


def test_the_public_key_that_was_written_verifies_what_the_pages_send(running: Running) -> None:
    import jwt

    asked = [one for one in running.backend.asked if one.path.startswith("/v1/duplicates")]
    assert asked, "the tests before this one opened the queue"
    (key,) = jwt.PyJWKSet.from_dict(json.loads((running.folder / "jwks.json").read_text())).keys
    token = asked[-1].headers["authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, key, algorithms=["EdDSA"], audience="face-auth-backend", options={"verify_exp": False})
    assert claims["roles"] in (["reviewer"], ["admin"])
