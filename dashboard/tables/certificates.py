"""Certificates by urgency, and a chain as a table."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import tzinfo

from dashboard import phrases
from dashboard.palette import CERTIFICATES
from monitor import wire

URGENCY = {
    wire.CertificateState.expired: 0,
    wire.CertificateState.invalid: 1,
    wire.CertificateState.critical: 2,
    wire.CertificateState.warning: 3,
    wire.CertificateState.unknown: 4,
    wire.CertificateState.ok: 5,
}
CHAIN = ["Place", "Subject", "Issuer", "Valid from", "Valid until", "Left", "Serial"]
WARN, CRITICAL = 1 / 3, 1 / 6
"""of the lifetime: from here on the monitor says renew soon, renew now"""


def by_urgency(certificates: Iterable[wire.Certificate]) -> list[wire.Certificate]:
    """What breaks first stands first."""

    def key(it: wire.Certificate) -> tuple[int, float, str]:
        return URGENCY[it.state], it.days_left if it.days_left is not None else float("inf"), it.name

    return sorted(certificates, key=key)


def sentence(certificates: list[wire.Certificate]) -> str:
    """The whole in one sentence."""
    bad = [it.name for it in certificates if URGENCY[it.state] < URGENCY[wire.CertificateState.warning]]
    soon = [it.name for it in certificates if it.state is wire.CertificateState.warning]
    unknown = sum(it.state is wire.CertificateState.unknown for it in certificates)
    if bad:
        verb = "needs" if len(bad) == 1 else "need"
        return f"{phrases.counted(len(bad), 'certificate')} {verb} action now: {', '.join(bad)}."
    if soon:
        return f"{phrases.counted(len(soon), 'certificate')} should be renewed soon: {', '.join(soon)}."
    if unknown:
        return f"Of {phrases.counted(len(certificates), 'certificate')}, {unknown} could not be read."
    left = min((it.days_left for it in certificates if it.days_left is not None), default=None)
    return f"All {phrases.counted(len(certificates), 'certificate')} are in order; the next one runs out in {phrases.days(left)}."


def chain(certificate: wire.Certificate, zone: tzinfo, now: float) -> list[tuple[str, ...]]:
    """A row of `CHAIN` for each link, leaf first, as it was sent."""
    return [
        (
            "leaf" if place == 0 else f"issuer {place}",
            link.subject,
            link.issuer,
            phrases.moment(link.not_before, zone),
            phrases.moment(link.not_after, zone),
            phrases.days((link.not_after.timestamp() - now) / 86_400),
            link.serial,
        )
        for place, link in enumerate(certificate.chain)
    ]


def facts_of(certificate: wire.Certificate, zone: tzinfo) -> list[tuple[str, str]]:
    """What the leaf says, and what was sent along."""
    complete = {True: "yes", False: "no: an intermediate is missing", None: "cannot be told"}[certificate.chain_complete]
    return [
        ("Subject", certificate.subject or phrases.NOTHING),
        ("Issuer", certificate.issuer or phrases.NOTHING),
        ("Names", ", ".join(certificate.sans) or phrases.NOTHING),
        ("Key", certificate.key_type or phrases.NOTHING),
        ("Valid", f"{phrases.moment(certificate.not_before, zone)} – {phrases.moment(certificate.not_after, zone)}"),
        ("Chain complete", complete),
        ("Self-signed", {True: "yes", False: "no", None: phrases.NOTHING}[certificate.self_signed]),
        ("OCSP answer sent along", _ocsp(certificate.ocsp, zone)),
        ("SHA-256", certificate.fingerprint_sha256 or phrases.NOTHING),
    ]


def _ocsp(answer: wire.Ocsp | None, zone: tzinfo) -> str:
    if answer is None:
        return "none (most CAs no longer give one)"
    over = ", but its time is over" if answer.stale else ""
    return f"{answer.status}, until {phrases.moment(answer.next_update, zone)}{over}"


def title(certificate: wire.Certificate) -> str:
    """One line: shape, word, name, days."""
    look = CERTIFICATES[certificate.state]
    return f"{look.shape} {look.word} · {certificate.name} · {phrases.days(certificate.days_left)}"
