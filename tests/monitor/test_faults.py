"""Each kind of fault, made by a real server on loopback, gets its own reason code, and the probe comes back in time."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import socket
import ssl
import time
from pathlib import Path

import pytest

from monitor.probe.connection import Target, TrustStore
from monitor.probe.outcome import Round
from monitor.probe.own import loopback_works
from monitor.probe.reasons import of_exception
from monitor.probe.round import Plan, probe_round
from monitor.wire import ProbeKind
from tests.monitor import misbehaving as bad
from tests.monitor.certs import NAME, Authority
from tests.monitor.faults import NO_TLS, PLAIN, TLS, Server, good_with

DEADLINE_S = 0.6
SERVICE = "face-auth-system"


def probe(server: Server, *, ca_file: Path | None, tls: bool, deadline_s: float = DEADLINE_S) -> Round:
    async def run() -> Round:
        async with server as port:
            target = Target(f"127.0.0.1:{port}", NAME, f"{NAME}:{port}", tls, ca_file)
            return await probe_round(Plan("b1", target, SERVICE, deadline_s), TrustStore())

    return asyncio.run(run())


@pytest.mark.parametrize("fault", PLAIN)
def test_a_fault_gets_its_reason_code(fault: str) -> None:
    server, kind, code = PLAIN[fault]
    start = time.monotonic()
    found = probe(server(), ca_file=None, tls=False)
    took = time.monotonic() - start
    reason = found.results[kind].reason
    print(f"{fault:40} expected {code:22} given {reason.code if reason else None!s:22} {took:5.2f} s  {reason and reason.detail}")
    assert reason is not None
    assert reason.code == code
    assert took < 3 * DEADLINE_S + 2


@pytest.mark.parametrize("fault", TLS)
def test_a_fault_behind_or_in_tls_gets_its_reason_code(fault: str, authority: Authority) -> None:
    issue, answer, code = TLS[fault]
    found = probe(bad.serving(answer, issue(authority).server_context()), ca_file=authority.ca_file, tls=True)
    reason = found.results[ProbeKind.live].reason
    print(f"{fault:40} expected {code:22} given {reason.code if reason else None!s:22} {reason and reason.detail}")
    assert reason is not None
    assert reason.code == code


@pytest.mark.parametrize("fault", NO_TLS)
def test_a_server_without_tls_behind_a_tls_port_gets_its_reason_code(fault: str, authority: Authority) -> None:
    server, code = NO_TLS[fault]
    live = probe(server(), ca_file=authority.ca_file, tls=True).results[ProbeKind.live]
    assert live.reason is not None
    assert (live.reason.code, live.stage) == (code, "tls")


@pytest.mark.parametrize("tls", [False, True])
def test_a_right_server_passes_with_every_stage_timed(tls: bool, authority: Authority) -> None:
    context = authority.issue().server_context() if tls else None
    found = probe(bad.serving(bad.answers(bad.GOOD), context), ca_file=authority.ca_file if tls else None, tls=tls, deadline_s=5)
    assert {kind: result.reason for kind, result in found.results.items()} == dict.fromkeys(ProbeKind)
    first = found.results[ProbeKind.live].timings_ms
    assert set(first) == ({"connect", "tls", "request", "body"} if tls else {"connect", "request", "body"})
    assert set(found.results[ProbeKind.ready].timings_ms) == {"request", "body"}, "one connection serves the whole round"
    assert found.monitor_fault is None


def test_a_chain_with_its_intermediate_passes(authority: Authority) -> None:
    context = authority.below_intermediate(complete=True).server_context()
    found = probe(bad.serving(bad.answers(bad.GOOD), context), ca_file=authority.ca_file, tls=True, deadline_s=5)
    assert found.results[ProbeKind.live].reason is None


def test_a_warning_of_ready_passes_and_is_named() -> None:
    checks = {"database": {"status": "ok", "detail": ""}, "resources": {"status": "warn", "detail": "4 % of the disk is free"}}
    found = probe(bad.serving(good_with("/ready", 200, checks=checks)), ca_file=None, tls=False, deadline_s=5)
    ready = found.results[ProbeKind.ready]
    assert ready.reason is None
    assert ready.readiness is not None
    assert ready.readiness.warning == "APP.RESOURCES"
    assert "4 % of the disk" in (ready.readiness.warning_detail or "")


def test_a_real_failure_is_not_hidden_behind_draining() -> None:
    checks = {name: {"status": "fail", "detail": ""} for name in ("draining", "gallery")}
    found = probe(bad.serving(good_with("/ready", 503, status="not_ready", checks=checks)), ca_file=None, tls=False, deadline_s=5)
    reason = found.results[ProbeKind.ready].reason
    assert reason is not None
    assert reason.code == "APP.GALLERY"


def test_where_live_cannot_be_asked_the_others_failed_in_the_same_way() -> None:
    found = probe(bad.nobody(), ca_file=None, tls=False)
    assert {result.reason.code for result in found.results.values() if result.reason} == {"NET.REFUSED"}
    assert all(result.outcome.passed is False for result in found.results.values())


def test_an_answer_of_live_that_is_wrong_does_not_stop_the_other_probes() -> None:
    found = probe(bad.serving(good_with("/live", 500)), ca_file=None, tls=False, deadline_s=5)
    assert found.results[ProbeKind.ready].reason is None


def test_a_ca_file_that_is_missing_is_the_monitors_own_fault(tmp_path: Path) -> None:
    found = probe(bad.never_accepts(), ca_file=tmp_path / "missing.pem", tls=True)
    assert found.monitor_fault is not None
    assert found.monitor_fault.code == "MON.TRUST"
    assert all(result.outcome.passed is None for result in found.results.values())


def test_no_descriptor_left_is_the_monitors_own_fault_and_loopback_says_so_too() -> None:
    async def run() -> tuple[Round, bool]:
        async with bad.serving(bad.answers(bad.GOOD)) as port:
            target = Target(f"127.0.0.1:{port}", NAME, NAME, False)
            plan = Plan("b1", target, SERVICE, 5)
            trust = TrustStore()
            await probe_round(plan, trust)  # whatever is opened once is open
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (_lowest_free_descriptor(), hard))
            try:
                return await probe_round(plan, trust), await loopback_works()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    found, works = asyncio.run(run())
    assert found.monitor_fault is not None
    assert found.monitor_fault.code == "MON.RESOURCES"
    assert not works
    assert asyncio.run(loopback_works())


def _lowest_free_descriptor() -> int:
    number = os.dup(0)
    os.close(number)
    return number


def test_a_name_that_does_not_resolve_is_net_dns() -> None:
    with pytest.raises(socket.gaierror) as raised:
        socket.getaddrinfo("not-a-number", 1, flags=socket.AI_NUMERICHOST)
    assert of_exception(raised.value, "dns").code == "NET.DNS"

    async def run() -> Round:
        target = Target(f"{'x' * 64}.internal:1", NAME, NAME, False)
        return await probe_round(Plan("b1", target, SERVICE, DEADLINE_S), TrustStore())

    reason = asyncio.run(run()).results[ProbeKind.live].reason
    assert reason is not None
    assert reason.code == "NET.DNS"


def test_the_trust_of_a_probe_is_never_switched_off(authority: Authority) -> None:
    context = TrustStore().context(authority.ca_file)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_ca_file_that_changed_is_read_again(authority: Authority, tmp_path: Path) -> None:
    store = TrustStore()
    before = store.context(authority.ca_file)
    assert store.context(authority.ca_file) is before
    other = tmp_path / "other"
    other.mkdir()
    authority.ca_file.write_bytes(Authority(other).ca_file.read_bytes())
    os.utime(authority.ca_file, (1, 1))
    assert store.context(authority.ca_file) is not before


def test_a_probe_goes_to_its_address_and_asks_for_the_server_name(authority: Authority) -> None:
    asked: list[str | None] = []
    context = authority.issue().server_context()
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    found = probe(bad.serving(bad.answers(bad.GOOD), context), ca_file=authority.ca_file, tls=True, deadline_s=5)
    assert found.results[ProbeKind.live].reason is None
    assert asked == [NAME]


def test_probes_of_a_frozen_backend_leave_no_socket_open(authority: Authority) -> None:
    def sockets() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def run() -> tuple[int, int]:
        async with bad.never_accepts() as port:
            target = Target(f"127.0.0.1:{port}", NAME, NAME, True, authority.ca_file)
            trust = TrustStore()
            counts = []
            for _ in range(6):
                await probe_round(Plan("b1", target, SERVICE, 0.1), trust)
                counts.append(sockets())
            return counts[0], counts[-1]

    gc.disable()  # it would hide the leak
    try:
        first, last = asyncio.run(run())
    finally:
        gc.enable()
    assert last == first
