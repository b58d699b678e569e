"""Certificates as served by real TLS servers: each kind of defect is named, and the certificate is shown in spite of it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from OpenSSL import SSL

from monitor import wire
from monitor.certificates.judgement import Limits, rotations
from monitor.certificates.ocsp import read as read_ocsp
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


# --- the chain as it was sent, and the answer that came with it ----------------------------------------------------------


def test_a_chain_says_what_is_missing_or_needless(authority: Authority) -> None:
    whole, alone = (look_at(serving(authority.below_intermediate(complete=c)), authority) for c in (True, False))
    assert (whole.chain_complete, alone.chain_complete) == (True, False)
    assert (whole.self_signed, whole.notes) == (False, [])
    assert look_at(serving(authority.self_signed()), authority).self_signed is True
    assert look_at(serving(authority.issue()), authority).chain_complete is True


def test_an_intermediate_that_only_this_monitor_trusts_is_told(authority: Authority) -> None:
    """It verifies here, and nowhere else: the CA file holds the intermediate that the server does not send."""
    pair = authority.below_intermediate(complete=True)
    leaf, *above = pair.cert.read_text().split("-----BEGIN CERTIFICATE-----")[1:]
    pair.cert.write_text("-----BEGIN CERTIFICATE-----" + leaf)
    with authority.ca_file.open("a") as file:
        file.write("".join("-----BEGIN CERTIFICATE-----" + one for one in above))
    found = look_at(serving(pair), authority)
    assert found.state is CertificateState.ok
    assert found.chain_complete is False
    assert any("is not sent" in note for note in found.notes)


def test_a_chain_in_the_wrong_order_and_a_root_sent_along_are_told(authority: Authority) -> None:
    pair = authority.below_intermediate(complete=True)
    root = authority.ca_file.read_text()
    pair.cert.write_text(pair.cert.read_text() + root)
    assert any("root is sent along" in note for note in look_at(serving(pair), authority).notes)
    begin = "-----BEGIN CERTIFICATE-----"
    leaf, intermediate, top = (begin + one for one in pair.cert.read_text().split(begin)[1:])
    pair.cert.write_text(leaf + top + intermediate)
    assert any("not sent in order" in note for note in look_at(serving(pair), authority).notes)


def test_what_is_left_of_a_lifetime_is_a_fraction(authority: Authority) -> None:
    half = look_at(serving(authority.issue(not_before=NOW - 45 * DAY, not_after=NOW + 45 * DAY)), authority)
    assert half.lifetime_left == pytest.approx(0.5, abs=0.01)
    gone = look_at(serving(authority.expired()), authority)
    assert gone.lifetime_left is not None
    assert gone.lifetime_left < 0


@pytest.mark.parametrize(
    ("status", "until", "state", "reason", "stale"),
    [
        (ocsp.OCSPCertStatus.GOOD, NOW + DAY, "ok", None, False),
        (ocsp.OCSPCertStatus.GOOD, NOW - DAY, "ok", None, True),
        (ocsp.OCSPCertStatus.REVOKED, NOW + DAY, "invalid", "TLS.REVOKED", False),
    ],
)
def test_a_stapled_ocsp_answer_is_shown(
    status: ocsp.OCSPCertStatus, until: datetime, state: str, reason: str | None, stale: bool, authority: Authority
) -> None:
    pair = authority.issue()
    found = look_at(stapling(pair, staple(pair, status, until)), authority)
    assert (found.state, found.reason) == (state, reason)
    assert found.ocsp is not None
    assert (found.ocsp.status, found.ocsp.stale) == (status.name.lower(), stale)


def test_a_staple_that_is_none_is_called_unreadable_and_no_staple_is_none(authority: Authority) -> None:
    later = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    found = look_at(stapling(authority.issue(), later.public_bytes(serialization.Encoding.DER)), authority)
    assert found.ocsp is not None
    assert found.ocsp.status == "unreadable"
    assert read_ocsp(b"nonsense", now=NOW).status == "unreadable"
    assert look_at(serving(authority.issue()), authority).ocsp is None


def staple(pair: Pair, status: ocsp.OCSPCertStatus, until: datetime) -> bytes:
    leaf = x509.load_pem_x509_certificate(pair.cert.read_bytes())
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    revoked = NOW - 3 * DAY if status is ocsp.OCSPCertStatus.REVOKED else None
    made = ocsp.OCSPResponseBuilder().add_response(leaf, leaf, hashes.SHA256(), status, NOW - 2 * DAY, until, revoked, None)
    signed = made.responder_id(ocsp.OCSPResponderEncoding.HASH, leaf).sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


@asynccontextmanager
async def stapling(pair: Pair, answer: bytes) -> AsyncIterator[int]:
    """A TLS server that sends `answer` along: the standard library cannot, pyOpenSSL in a thread can."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate_chain_file(str(pair.cert))
    context.use_privatekey_file(str(pair.key))
    context.set_ocsp_server_callback(lambda connection, data: answer)

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                plain, _ = listener.accept()
                plain.settimeout(5)
                with plain, suppress(SSL.Error, OSError):
                    connection = SSL.Connection(context, plain)
                    plain.setblocking(True)
                    connection.set_accept_state()
                    connection.do_handshake()
                    plain.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
