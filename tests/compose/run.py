"""`compose.yaml` for real: up, a review over TLS, the database restarted, down, up again: `python -m tests.compose.run`."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import ssl
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Page, expect, sync_playwright

from tests.compose.engine import Engine, prepared, serving
from tests.system import browser
from tests.system.running_fleet import eventually

UP_S = 600
API = "https://localhost:8443"
DASHBOARD = "https://dashboard.localhost:8443"
OPEN_CASES = 3


@dataclass(frozen=True)
class Client:
    """The API behind nginx, over TLS that is verified against the volume's CA."""

    access: dict[str, Any]
    ca: Path

    def get(self, path: str, key: str = "reviewer") -> dict[str, Any]:
        context = ssl.create_default_context(cafile=str(self.ca))
        headers = {"Authorization": f"Bearer {self.access['keys'][key]}"}
        with httpx.Client(verify=context, headers=headers, timeout=20, trust_env=False) as http:
            answer = http.get(f"{API}{path}")
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
            return found

    def answers(self) -> bool:
        try:
            return bool(self.get("/v1/stats"))
        except (httpx.HTTPError, OSError):
            return False

    def open_cases(self) -> list[str]:
        return sorted(case["id"] for case in self.get("/v1/duplicates?state=open")["items"])

    def subjects(self) -> list[str]:
        return sorted(subject["id"] for subject in self.get("/v1/subjects?limit=100", "client")["items"])


def played(engine: Engine) -> dict[str, object]:
    began = time.monotonic()
    client = _up(engine)
    up_s = time.monotonic() - began
    cases = client.open_cases()
    assert len(cases) == OPEN_CASES, cases
    states = {name: row["State"] for name, row in engine.ps().items()}
    _review(client, engine)
    after_review = client.open_cases()
    assert len(after_review) == OPEN_CASES - 1, after_review
    targets = _observed(engine)
    restarted_s = _restart_database(engine, client)
    before = client.subjects(), client.open_cases()
    engine.compose("--profile", "observability", "down")
    again = _up(engine)
    after = again.subjects(), again.open_cases()
    assert after == before, (before, after)
    return {
        "services": len(states), "up_s": round(up_s), "open_cases": len(cases), "reviewed": len(cases) - len(after_review),
        "scraped": targets, "database_back_s": round(restarted_s, 1), "subjects": len(after[0]), "same_ids": "yes",
    }  # fmt: skip


def _up(engine: Engine) -> Client:
    try:
        engine.compose("up", "--detach", "--no-build", timeout=UP_S)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{engine.last_words()}") from None
    access_file = engine.volume("fleet") / "access.json"
    eventually(access_file.exists, within_s=UP_S, every_s=1)
    client = Client(json.loads(access_file.read_text()), engine.volume("fleet") / "certs" / "ca.pem")
    eventually(client.answers, within_s=UP_S, every_s=1)
    eventually(lambda: engine.ps().get("demo", {}).get("State") == "exited", within_s=UP_S, every_s=1)
    assert engine.ps()["demo"]["ExitCode"] == 0, engine.logs("demo")
    return client


def _observed(engine: Engine) -> int:
    """Prometheus and Alertmanager beside it: how many targets are scraped. All of them, with the rules, or it fails."""
    engine.compose("--profile", "observability", "up", "--detach", "--no-build", "prometheus", "alertmanager", timeout=UP_S)

    def scraped() -> int:
        try:
            told = httpx.get("http://127.0.0.1:9090/api/v1/targets", timeout=5, trust_env=False).json()["data"]["activeTargets"]
            rules = httpx.get("http://127.0.0.1:9090/api/v1/rules", timeout=5, trust_env=False).json()["data"]["groups"]
            ready = httpx.get("http://127.0.0.1:9093/-/ready", timeout=5, trust_env=False).status_code == 200
        except (httpx.TransportError, ValueError, KeyError):
            return 0
        return len(told) if ready and rules and told and all(one["health"] == "up" for one in told) else 0

    return eventually(scraped, within_s=120, every_s=1)[0]


def _restart_database(engine: Engine, client: Client) -> float:
    engine.compose("restart", "postgres", timeout=120)
    return eventually(client.answers, within_s=120)[1]


def _review(client: Client, engine: Engine) -> None:
    """A reviewer signs in, claims with a key and decides with a key, in a browser that trusts the balancer's key alone."""
    with _page(engine.volume("fleet") / "certs" / "balancer-cert.pem") as page:
        browser.sign_in(page, DASHBOARD, client.access["sign_ins"]["reviewer"])
        page.get_by_role("link", name="Duplicates").click()
        expect(page.get_by_role("button", name="Claim next")).to_be_visible()
        page.keyboard.press("n")
        expect(page.locator("img[src^='data:image/jpeg']").first).to_be_visible()
        expect(page.get_by_role("button", name="Different people")).to_be_enabled()
        page.keyboard.press("d")
        expect(page.get_by_text("Decided: ")).to_be_visible()
        page.get_by_role("button", name="Back to the queue").click()
        expect(page.get_by_text("The case is back in the queue.")).to_be_visible()  # before the browser is gone
    eventually(lambda: len(client.open_cases()) == OPEN_CASES - 1, within_s=30)


@contextmanager
def _page(certificate: Path) -> Iterator[Page]:
    leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
    spki = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pin = b64encode(hashlib.sha256(spki).digest()).decode()
    expect.set_options(timeout=browser.PATIENCE_MS)
    with sync_playwright() as playwright:
        arguments = [*browser.ARGUMENTS, f"--ignore-certificate-errors-spki-list={pin}"]
        context = playwright.chromium.launch_persistent_context(
            "", executable_path=browser.chromium(), args=arguments, viewport={"width": 1280, "height": 720}
        )
        context.set_default_timeout(browser.PATIENCE_MS)
        try:
            yield context.new_page()
        finally:
            context.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="for images and volumes; what is there is used again")
    parser.add_argument("--forget", action="store_true", help="delete the folder afterwards")
    options = parser.parse_args()
    engine = prepared(options.folder.absolute())
    try:
        with serving(engine):
            try:
                figures = played(engine)
            finally:
                engine.compose("--profile", "observability", "down", "--volumes", timeout=300)
    finally:
        if options.forget:
            engine.podman("system", "reset", "--force")
            shutil.rmtree(options.folder, ignore_errors=True)
    print(*(f"{name}={value}" for name, value in figures.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
