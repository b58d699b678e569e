"""Certificates as served by real TLS servers: each kind of defect is named, and the certificate is shown in spite of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor import wire
from monitor.certificates.judgement import Limits, rotations
from monitor.certificates.watch import Watched, look, remembered, watched
from monitor.fleet import Fleet
from monitor.probe.connection import Target, TrustStore
from monitor.wire import CertificateState
from tests.monitor import misbehaving as bad
from tests.monitor.certs import NAME, Authority, Pair

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
FRACTIONS = Limits()


def look_at(
    server: AbstractAsyncContextManager[int], authority: Authority, *, limits: Limits = FRACTIONS, deadline_s: float = 5
) -> wire.Certificate:
    async def run() -> wire.Certificate:
        async with server as port:
            target = Target(f"127.0.0.1:{port}", NAME, NAME, True, authority.ca_file)
            return await look(Watched("b1", target), TrustStore(), limits=limits, deadline_s=deadline_s)

    return asyncio.run(run())


def serving(pair: Pair) -> AbstractAsyncContextManager[int]:
    return bad.serving(bad.answers(bad.GOOD), pair.server_context())


@pytest.mark.parametrize(
    ("issue", "state", "reason", "word"),
    [
        (Authority.expired, "expired", "TLS.EXPIRED", "expired 24.0 hours ago"),
        (Authority.not_yet_valid, "invalid", "TLS.NOT_YET_VALID", "clock"),
        (lambda a: a.issue("b2.face-auth.internal"), "invalid", "TLS.NAME_MISMATCH", "b2.face-auth.internal"),
        (Authority.self_signed, "invalid", "TLS.SELF_SIGNED", "self-signed"),
        (Authority.of_a_stranger, "invalid", "TLS.UNKNOWN_ISSUER", "issuer"),
        (lambda a: a.below_intermediate(complete=False), "invalid", "TLS.UNKNOWN_ISSUER", "without an intermediate"),
        (lambda a: a.below_intermediate(complete=True), "ok", None, "left of"),
        (lambda a: a.issue(), "ok", None, "left of"),
        (lambda a: a.issue(not_before=NOW - 60 * DAY, not_after=NOW + 29 * DAY), "warning", "TLS.EXPIRING", "29 days left of 89"),
        (lambda a: a.issue(not_before=NOW - 60 * DAY, not_after=NOW + 9 * DAY), "critical", "TLS.EXPIRING", "9 days left"),
        (lambda a: a.issue(not_before=NOW - DAY, not_after=NOW + 2 * DAY), "critical", "TLS.EXPIRING", " hours left of 3 days"),
    ],
)
def test_a_served_certificate_is_judged_and_always_shown(
    issue: Callable[[Authority], Pair], state: str, reason: str | None, word: str, authority: Authority
) -> None:
    found = look_at(serving(issue(authority)), authority)
    print(f"{state:9} {reason!s:20} {found.detail}")
    assert (found.state, found.reason) == (state, reason)
    assert word in (found.detail or "")
    assert found.fingerprint_sha256 is not None
    assert found.not_after is not None
    assert found.days_left is not None
    assert found.sans
    assert found.chain
    assert (found.key_type or "").startswith("EC secp256r1")


def test_the_chain_is_shown_as_sent(authority: Authority) -> None:
    found = look_at(serving(authority.below_intermediate(complete=True)), authority)
    assert len(found.chain) == 2
    assert found.chain[0].issuer == found.chain[1].subject


def test_fixed_days_stand_beside_the_fractions(authority: Authority) -> None:
    def with_limits(limits: Limits) -> CertificateState:
        pair = authority.issue(not_before=NOW - DAY, not_after=NOW + 40 * DAY)
        return look_at(serving(pair), authority, limits=limits).state

    assert with_limits(Limits()) is CertificateState.ok
    assert with_limits(Limits(warn_days=60)) is CertificateState.warning
    assert with_limits(Limits(critical_days=60)) is CertificateState.critical


def test_the_unverified_handshake_sends_nothing(authority: Authority) -> None:
    """Neither of the two handshakes may carry a byte of application data."""
    received: list[bytes] = []
    connections = 0

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        received.append(await reader.read())

    found = look_at(bad.serving(listen, authority.expired().server_context()), authority)
    assert found.state is CertificateState.expired
    assert b"".join(received) == b""
    assert connections >= 1


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (bad.nobody, "NET.REFUSED"),
        (bad.never_accepts, "NET.TIMEOUT.TLS"),
        (lambda: bad.serving(bad.hangs_before_anything), "NET.TIMEOUT.TLS"),
    ],
)
def test_an_endpoint_that_is_not_reached_is_unknown_with_the_reason(
    server: Callable[[], AbstractAsyncContextManager[int]], reason: str, authority: Authority
) -> None:
    found = look_at(server(), authority, deadline_s=0.5)
    assert (found.state, found.reason) == (CertificateState.unknown, reason)


def test_what_was_known_stays_with_its_age_while_the_endpoint_is_away(authority: Authority) -> None:
    known = look_at(serving(authority.issue()), authority)
    away = look_at(bad.nobody(), authority)
    kept = remembered(known, away)
    assert (kept.fingerprint_sha256, kept.at, kept.state) == (known.fingerprint_sha256, known.at, CertificateState.ok)
    assert "not reached since" in (kept.detail or "")
    assert remembered(None, away) == away
    assert remembered(away, known) == known


def test_files_are_watched_too(authority: Authority, tmp_path: Path) -> None:
    def of_file(path: Path) -> wire.Certificate:
        return asyncio.run(look(Watched("f", file=path), TrustStore(), limits=Limits(), deadline_s=1))

    pair = authority.expired()
    together = tmp_path / "haproxy.pem"
    together.write_bytes(pair.cert.read_bytes() + pair.key.read_bytes())
    assert of_file(together).state is CertificateState.expired
    assert of_file(authority.issue().cert).state is CertificateState.ok
    assert of_file(tmp_path / "missing.pem").reason == "MON.FILE"
    assert of_file(pair.key).reason == "TLS.FILE"


def test_a_half_done_rotation_is_named(authority: Authority) -> None:
    one, other = (look_at(serving(authority.issue()), authority) for _ in range(2))
    names = [one, one.model_copy(update={"name": "b2"}), other.model_copy(update={"name": "b3"})]
    (sentence,) = rotations(names)
    assert "2 different certificates" in sentence
    assert "b1, b2 with" in sentence
    assert rotations(names[:2]) == []


def test_the_fleet_file_says_which_are_watched(authority: Authority) -> None:
    backend = {"url": "https://10.0.0.1", "address": "10.0.0.1:8000", "server_name": "b1.internal"}
    fleet = Fleet.model_validate(
        {
            "backends": [
                {"name": "b1", **backend},
                {"name": "b2", "url": "http://10.0.0.2", "address": "10.0.0.2:8000", "server_name": "b2"},
            ],
            "balancer": {"kind": "nginx", "url": "https://api.example", "listen": "0.0.0.0:443", "cert_file": "/c.pem"},
            "certificates": {"watch": [{"name": "b1", "file": "/x.pem"}, {"name": "db", "address": "10.0.0.9:5432"}]},
        }
    )
    found = {one.name: one.place for one in watched(fleet)}
    assert {name: place.endpoint for name, place in found.items()} == {
        "b1": "10.0.0.1:8000",
        "balancer": "api.example:443",
        "balancer-file": "/c.pem",
        "watch-b1": "/x.pem",
        "db": "10.0.0.9:5432",
    }
    assert found["b1"].server_name == "b1.internal"
