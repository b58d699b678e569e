"""What a certificate's dates and handshake mean; pure: chain, reason and time are passed in.

Thresholds are fractions of the lifetime, as lifetimes shrink from 398 to 47 days: warning below a third, critical below a
sixth or three days. Fixed days stand beside them where an operator sets them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from monitor import wire
from monitor.certificates import ocsp
from monitor.probe.outcome import Reason
from monitor.wire import CertificateState

WARN_FRACTION = 1 / 3
CRITICAL_FRACTION = 1 / 6
CRITICAL_DAYS = 3.0
KNOWN = 4096
"""Certificates whose names and keys are remembered: the same ones come back each minute, and reading them takes milliseconds."""

SEVERITY = (
    CertificateState.expired,
    CertificateState.invalid,
    CertificateState.critical,
    CertificateState.warning,
    CertificateState.unknown,
    CertificateState.ok,
)


@dataclass(frozen=True)
class Place:
    """Where a certificate was found: `endpoint` is an address or a path."""

    name: str
    endpoint: str
    server_name: str | None


@dataclass(frozen=True)
class Limits:
    """Fixed days beside the fractions; None: fractions alone."""

    warn_days: float | None = None
    critical_days: float | None = None


@dataclass(frozen=True)
class _Judged:
    state: CertificateState
    reason: str | None
    detail: str


def certificate(
    place: Place,
    chain: Sequence[x509.Certificate],
    reason: Reason | None,
    *,
    limits: Limits,
    now: datetime,
    staple: bytes | None = None,
) -> wire.Certificate:
    """What is known of one certificate. With an empty chain only the reason is. `staple`: the OCSP response sent along, DER."""
    if not chain:
        code, detail = (reason.code, reason.detail) if reason else ("TLS.NO_CERTIFICATE", "no certificate was sent")
        return _unknown(place, code, detail, now)
    leaf = chain[0]
    answer = ocsp.read(staple, now=now) if staple else None
    judged = judge(chain, _revoked(answer) or reason, limits=limits, now=now)
    return wire.Certificate(
        name=place.name,
        endpoint=place.endpoint,
        server_name=place.server_name,
        state=judged.state,
        reason=judged.reason,
        detail=judged.detail,
        fingerprint_sha256=leaf.fingerprint(hashes.SHA256()).hex(),
        subject=_link(leaf).subject,
        issuer=_link(leaf).issuer,
        sans=list(names(leaf)),
        key_type=key_type(leaf),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        days_left=round((leaf.not_valid_after_utc - now) / timedelta(days=1), 3),
        lifetime_left=round(fraction_left(leaf, now), 4),
        ocsp=answer,
        chain=[_link(one) for one in chain],
        at=now,
    )


def _revoked(answer: wire.Ocsp | None) -> Reason | None:
    return (
        Reason("TLS.REVOKED", "the OCSP answer that it sends along says revoked")
        if answer and answer.status == "revoked"
        else None
    )


def judge(chain: Sequence[x509.Certificate], reason: Reason | None, *, limits: Limits, now: datetime) -> _Judged:
    """State, code and sentence: dates first, then what the handshake found, then how long the leaf and its chain still last."""
    leaf = chain[0]
    if leaf.not_valid_after_utc <= now:
        return _Judged(CertificateState.expired, "TLS.EXPIRED", f"expired {_ago(now - leaf.not_valid_after_utc)} ago")
    if leaf.not_valid_before_utc > now:
        wait = _ago(leaf.not_valid_before_utc - now)
        return _Judged(CertificateState.invalid, "TLS.NOT_YET_VALID", f"valid only in {wait}: is a clock wrong?")
    if reason is not None:
        return _Judged(CertificateState.invalid, reason.code, _explained(chain, reason))
    # An intermediate that ends before the leaf does takes the leaf with it.
    shortest = min(chain, key=lambda one: _urgency(one, limits, now))
    left = shortest.not_valid_after_utc - now
    whose = "" if shortest is leaf else f"the intermediate {shortest.subject.rfc4514_string()}: "
    sentence = f"{whose}{_ago(left)} left of {_ago(shortest.not_valid_after_utc - shortest.not_valid_before_utc)}"
    state = remaining(shortest, limits=limits, now=now)
    return _Judged(state, None if state is CertificateState.ok else "TLS.EXPIRING", sentence)


def remaining(one: x509.Certificate, *, limits: Limits, now: datetime) -> CertificateState:
    """ok, warning or critical (or expired) by what is left of the lifetime."""
    left = one.not_valid_after_utc - now
    fraction = fraction_left(one, now)
    days = left / timedelta(days=1)
    if days <= 0:
        return CertificateState.expired
    if fraction < CRITICAL_FRACTION or days < max(CRITICAL_DAYS, limits.critical_days or 0):
        return CertificateState.critical
    if fraction < WARN_FRACTION or days < (limits.warn_days or 0):
        return CertificateState.warning
    return CertificateState.ok


def fraction_left(one: x509.Certificate, now: datetime) -> float:
    """What is left of its lifetime: 1 at the beginning, 0 at the end, less afterwards."""
    return (one.not_valid_after_utc - now) / (one.not_valid_after_utc - one.not_valid_before_utc)


@lru_cache(maxsize=KNOWN)
def names(leaf: x509.Certificate) -> tuple[str, ...]:
    """The names and addresses that it is for."""
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = [str(address) for address in found.get_values_for_type(x509.IPAddress)]
    return (*found.get_values_for_type(x509.DNSName), *addresses)


@lru_cache(maxsize=KNOWN)
def key_type(leaf: x509.Certificate) -> str:
    key = leaf.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "Ed25519"
    if isinstance(key, ed448.Ed448PublicKey):
        return "Ed448"
    return "DSA" if isinstance(key, dsa.DSAPublicKey) else type(key).__name__


def rotations(certificates: Iterable[wire.Certificate]) -> list[str]:
    """Sentences on names that different endpoints serve with different certificates: a half-done rotation."""
    by_name: dict[str, dict[str, list[str]]] = {}
    for one in certificates:
        if one.server_name and one.fingerprint_sha256:
            by_name.setdefault(one.server_name, {}).setdefault(one.fingerprint_sha256, []).append(one.name)
    return [
        f"{server_name} is served with {len(prints)} different certificates: "
        + "; ".join(f"{', '.join(sorted(owners))} with {fingerprint[:12]}" for fingerprint, owners in sorted(prints.items()))
        for server_name, prints in sorted(by_name.items())
        if len(prints) > 1
    ]


def _urgency(one: x509.Certificate, limits: Limits, now: datetime) -> tuple[int, datetime]:
    return SEVERITY.index(remaining(one, limits=limits, now=now)), one.not_valid_after_utc


def _explained(chain: Sequence[x509.Certificate], reason: Reason) -> str:
    leaf = chain[0]
    if reason.code == "TLS.NAME_MISMATCH":
        return f"{reason.detail}; it is for {', '.join(names(leaf)) or 'no name at all'}"
    if reason.code == "TLS.UNKNOWN_ISSUER" and len(chain) == 1:
        return f"{reason.detail}; it is sent without an intermediate; its issuer is {leaf.issuer.rfc4514_string()}"
    return reason.detail


def _ago(span: timedelta) -> str:
    days = span / timedelta(days=1)
    return f"{days:.0f} days" if days >= 2 else f"{span / timedelta(hours=1):.1f} hours"


@lru_cache(maxsize=KNOWN)
def _link(one: x509.Certificate) -> wire.ChainLink:
    return wire.ChainLink(
        subject=one.subject.rfc4514_string(),
        issuer=one.issuer.rfc4514_string(),
        serial=f"{one.serial_number:x}",
        not_before=one.not_valid_before_utc,
        not_after=one.not_valid_after_utc,
    )


def _unknown(place: Place, code: str, detail: str, now: datetime) -> wire.Certificate:
    return wire.Certificate(
        name=place.name,
        endpoint=place.endpoint,
        server_name=place.server_name,
        state=CertificateState.unknown,
        reason=code,
        detail=detail,
        fingerprint_sha256=None,
        subject=None,
        issuer=None,
        at=now,
    )
