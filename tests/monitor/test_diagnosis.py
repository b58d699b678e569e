"""`python -m monitor check URL` and `POST /v1/diagnoses`: each fault is found at its step, with its code and advice."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from monitor import wire
from monitor.client import MonitorClient, ProblemError
from monitor.diagnosis import clock
from monitor.diagnosis.diagnose import Subject, diagnose
from monitor.diagnosis.subjects import NoSuchTarget, in_fleet, of_url
from monitor.fleet import Fleet
from monitor.probe.connection import Target, TrustStore
from tests.monitor import misbehaving as bad
from tests.monitor.certs import NAME, Authority
from tests.monitor.faults import NO_TLS, PLAIN, TLS, good_with
from tests.monitor.processes import ROOT
from tests.monitor.test_api import CLIENT_SECRET, SECRET, People, serving

Server = AbstractAsyncContextManager[int]


def diagnosed(server: Server, *, ca_file: Path | None = None, tls: bool = False, deadline_s: float = 0.8) -> wire.Diagnosis:
    async def run() -> wire.Diagnosis:
        async with server as port:
            target = Target(f"127.0.0.1:{port}", NAME, NAME, tls, ca_file)
            url = f"http{'s' if tls else ''}://127.0.0.1:{port}"
            return await diagnose(Subject(url, target), TrustStore(), deadline_s=deadline_s)

    return asyncio.run(run())


def failing(found: wire.Diagnosis) -> dict[str, str | None]:
    return {step.name: step.code for step in found.steps if step.status == "fail"}


# Where a fault shows itself in a diagnosis: at which step, when it is not that of its probe.
BELOW_THE_PROBES = {"NET.REFUSED": "tcp", "NET.TIMEOUT.CONNECT": "tcp"}


@pytest.mark.parametrize("fault", PLAIN)
def test_a_fault_is_found_at_its_step_with_advice(fault: str) -> None:
    server, kind, code = PLAIN[fault]
    found = diagnosed(server())
    step = BELOW_THE_PROBES.get(code, "http" if code.startswith("NET.") or code == "APP.PROTOCOL" or "endless" in fault else kind)
    print(f"{fault:40} {failing(found)}")
    assert failing(found).get(step) == code
    assert all(step.look for step in found.steps if step.status == "fail")
    assert not found.passed
    assert code in found.sentence or "fails at" in found.sentence


@pytest.mark.parametrize("fault", [fault for fault, (_, _, code) in TLS.items() if code.startswith("TLS.")])
def test_a_certificate_that_does_not_verify_is_shown_all_the_same(fault: str, authority: Authority) -> None:
    issue, answer, code = TLS[fault]
    found = diagnosed(bad.serving(answer, issue(authority).server_context()), ca_file=authority.ca_file, tls=True, deadline_s=3)
    assert failing(found) == {"tls": code, "certificate": code}
    assert found.certificate is not None
    assert found.certificate.fingerprint_sha256
    assert [step.name for step in found.steps if step.status == "skipped"] == [
        "http",
        "live",
        "health",
        "ready",
        "metrics",
        "clock",
    ]


@pytest.mark.parametrize("fault", NO_TLS)
def test_a_server_without_tls_fails_in_the_handshake(fault: str, authority: Authority) -> None:
    server, code = NO_TLS[fault]
    assert failing(diagnosed(server(), ca_file=authority.ca_file, tls=True)).get("tls") == code


def test_a_right_server_passes_every_step_with_its_timings(authority: Authority) -> None:
    server = bad.serving(good_with("/live", 200, timestamp=datetime.now(UTC).isoformat()), authority.issue().server_context())
    found = diagnosed(server, ca_file=authority.ca_file, tls=True, deadline_s=5)
    assert failing(found) == {}
    names = [step.name for step in found.steps]
    assert names == ["name", "tcp", "tls", "certificate", "http", "clock", "live", "health", "ready", "metrics"]
    assert found.tls_version == "TLSv1.3"
    assert found.cipher
    assert set(next(step for step in found.steps if step.name == "http").timings_ms) == {"connect", "tls", "request", "body"}
    metrics = found.steps[-1]
    assert (metrics.status, metrics.code) == ("warn", "APP.STATUS.404"), "a server without /metrics is right for a balancer"


def test_a_balancer_is_asked_for_its_health_alone() -> None:
    """What it does not pass on to clients is no fault of it; what it passes on wrongly is."""

    async def run(paths: dict[str, tuple[int, object]]) -> wire.Diagnosis:
        async with bad.serving(bad.answers(paths)) as port:
            balancer = {"kind": "nginx", "listen": f"127.0.0.1:{port}", "url": f"http://127.0.0.1:{port}"}
            backend = {"name": "b1", "url": "http://127.0.0.1:1", "address": "127.0.0.1:1", "server_name": "b1"}
            described = Fleet.model_validate({"balancer": balancer, "backends": [backend]})
            assert of_url(f"http://127.0.0.1:{port}/", described=described).balancer
            return await diagnose(in_fleet("balancer", described), TrustStore())

    right = asyncio.run(run({"/health": bad.GOOD["/health"]}))
    assert [step.name for step in right.steps] == ["name", "tcp", "http", "clock", "health"]
    assert "health" not in failing(right)
    assert failing(asyncio.run(run({})))["health"] == "APP.STATUS.404"


@pytest.mark.parametrize(
    ("off_s", "status", "word"),
    [(0, "ok", "agrees"), (10, "warn", "ahead of"), (-10, "warn", "behind"), (90, "fail", "ahead of")],
)
def test_a_clock_that_differs_is_told_with_its_sign(off_s: float, status: str, word: str) -> None:
    stamp = (datetime.now(UTC) + timedelta(seconds=off_s)).isoformat()
    found = diagnosed(bad.serving(good_with("/live", 200, timestamp=stamp)), deadline_s=5)
    step = next(step for step in found.steps if step.name == "clock")
    assert step.status == status
    assert word in step.detail
    assert step.code == (None if status == "ok" else "APP.CLOCK")


def test_the_skew_is_nothing_while_the_answer_fits_between_question_and_answer() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    later = at + timedelta(seconds=1)
    assert clock.skew_s(at + timedelta(milliseconds=500), 0.0, asked_at=at, answered_at=later) == 0.0
    assert clock.skew_s(at - timedelta(seconds=3), 0.0, asked_at=at, answered_at=later) == -3.0
    assert clock.skew_s(later + timedelta(seconds=3), 0.0, asked_at=at, answered_at=later) == 3.0
    said, fineness = clock.told(b"<html>", "Thu, 01 Jan 2026 00:00:00 GMT")
    assert (said, fineness) == (at, 1.0)
    assert clock.told(b"{}", None) == (None, 0.0)
    assert clock.told(b"[" * 100_000, "nonsense") == (None, 0.0)


FLEET = Fleet.model_validate(
    {
        "service": "face-auth-system",
        "balancer": {
            "kind": "nginx",
            "url": "https://api.example.com",
            "listen": "127.0.0.1:8443",
            "server_name": "api.example.com",
        },
        "backends": [{"name": "b1", "url": "https://10.0.0.1:8000", "address": "10.0.0.1:8000", "server_name": "b1.internal"}],
    }
)


def test_a_target_is_named_or_written_out() -> None:
    assert in_fleet("b1", FLEET).target.server_name == "b1.internal"
    assert in_fleet("balancer", FLEET).target.address == "127.0.0.1:8443"
    with pytest.raises(NoSuchTarget, match="b9"):
        in_fleet("b9", FLEET)
    assert of_url("https://10.0.0.1:8000/", described=FLEET).target.server_name == "b1.internal", "that of the fleet file"
    written = of_url("https://[::1]:8001", server_name="x").target
    assert (written.address, written.server_name) == ("[::1]:8001", "x")
    assert of_url("http://host").target.address == "host:80"


WRONG = [
    "ftp://x",
    "x",
    "http://",
    "http://a:b@x",
    "http://x?q=1",
    "http://x:0",
    "http://x:99999",
    "http://x y",
    "http://169.254.169.254",
]


@pytest.mark.parametrize("url", [*WRONG, "http://2852039166", "http://[::ffff:169.254.169.254]/"])
def test_a_url_that_is_none_of_a_target_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|port|refused|Port"):
        of_url(url)


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "monitor", "check", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_command_says_each_step_and_what_to_look_at_next() -> None:
    async def run() -> tuple[subprocess.CompletedProcess[str], subprocess.CompletedProcess[str]]:
        async with bad.serving(
            good_with("/ready", 503, status="not_ready", checks={"model": {"status": "fail", "detail": "x"}})
        ) as port:
            url = f"http://127.0.0.1:{port}"
            return await asyncio.to_thread(check, url), await asyncio.to_thread(check, url, "--json")

    plain, as_json = asyncio.run(run())
    print(plain.stdout, plain.stderr)
    assert plain.returncode == as_json.returncode == 1
    assert "FAIL ready" in plain.stdout
    assert "next: Give it the model pack" in plain.stdout
    found = wire.Diagnosis.model_validate(json.loads(as_json.stdout))
    assert failing(found) == {"ready": "APP.MODEL", "clock": "APP.CLOCK"}, "its answers are of another day"


def test_the_command_refuses_a_metadata_address_in_one_sentence() -> None:
    done = check("http://2852039166/")
    assert done.returncode == 1
    assert done.stderr.startswith("monitor: 2852039166 is refused")
    assert "Traceback" not in done.stderr


def test_a_web_page_makes_an_open_monitor_do_nothing(tmp_path: Path) -> None:
    """Without keys everybody on this machine may; a page in a browser of this machine is not meant."""
    with serving(tmp_path) as url:
        changing = [
            (method.upper(), path)
            for path, operations in httpx.get(f"{url}/openapi.json").json()["paths"].items()
            for method in operations
            if method != "get"
        ]
        assert len(changing) >= 8, "alerts, silences, maintenance and tests of a route are among them"
        for method, path in changing:
            asked = httpx.request(method, url + re.sub(r"\{\w+\}", "b1", path), headers={"Origin": "https://evil.example"})
            assert (method, path, asked.status_code) == (method, path, 403)
        assert httpx.post(f"{url}/v1/diagnoses", json={"target": "b1"}, timeout=30).status_code == 200


def test_operators_diagnose_over_the_api_and_readers_do_not(tmp_path: Path) -> None:
    people = People(tmp_path)
    keys = tmp_path / "keys.json"
    keys.write_text("[]")
    with serving(tmp_path, signers_file=people.file, keys_file=keys) as url:
        with MonitorClient(url, token=people.token(roles=["operator"])) as client:
            found = client.diagnose(target="b1")
            assert failing(found) == {"tcp": "NET.REFUSED"}
            assert client.diagnose(url="http://127.0.0.1:1").address == "127.0.0.1:1"
            for asked, status, code in (
                ({"target": "b7"}, 404, "target_not_found"),
                ({"url": "http://169.254.169.254/latest"}, 422, "target_refused"),
                ({"url": "http://2852039166/"}, 422, "target_refused"),
                ({"url": "gopher://x"}, 422, "target_refused"),
            ):
                with pytest.raises(ProblemError) as refused:
                    client.diagnose(**asked)
                assert (refused.value.status, refused.value.code) == (status, code)
        for token in (people.token(roles=["reviewer"]), SECRET, CLIENT_SECRET, None):
            with MonitorClient(url, token=token) as client, pytest.raises(ProblemError) as refused:
                client.diagnose(target="b1")
            assert refused.value.status in (401, 403)
