"""Certificates: what runs out first, and why a served one cannot be trusted."""

from __future__ import annotations

from datetime import tzinfo

import streamlit as st

from dashboard import parts, phrases
from dashboard.components import frame
from dashboard.components.markup import badge, block, facts, table, text, verdict
from dashboard.fetch import fleet
from dashboard.palette import CERTIFICATES
from dashboard.tables import certificates as tables
from monitor import wire


def page() -> None:
    frame.heading(
        "Certificates", "As they are served, checked by a handshake with each backend and the balancer. The most pressing first."
    )
    st.fragment(_live, run_every=10.0)()


def _live() -> None:
    if not frame.still_signed_in():
        return
    found = frame.shown(fleet.certificates(), "list of certificates")
    if found is None:
        return
    if not found:
        frame.empty(
            "No certificate is watched: no backend speaks TLS and fleet.yaml names none. Each would be here with its days left."
        )
        return
    ordered = tables.by_urgency(found)
    st.html(block(verdict(CERTIFICATES[ordered[0].state].tone, tables.sentence(ordered))))
    zone, now = frame.zone(), parts.current().now()
    for certificate in ordered:
        _one(certificate, zone, now)


def _one(certificate: wire.Certificate, zone: tzinfo, now: float) -> None:
    with st.container(border=True, gap="xsmall"):
        st.html(block(_summary(certificate, zone, now)))
        held = phrases.counted(len(certificate.chain), "certificate")
        with st.expander(f"Chain of {phrases.plain(certificate.name)} as it was sent ({held})"):
            if certificate.chain:
                chain = tables.chain(certificate, zone)
                st.html(block(table(list(chain.columns), chain.itertuples(index=False))))
            else:
                frame.empty("No certificate was sent, so there is no chain.")


def _summary(certificate: wire.Certificate, zone: tzinfo, now: float) -> str:
    look = CERTIFICATES[certificate.state]
    code = f"<code>{text(certificate.reason)}</code> " if certificate.reason else ""
    why = (
        f'<p class="why {look.tone}">{code}{text(certificate.detail or "")}</p>'
        if certificate.reason or certificate.detail
        else ""
    )
    return (
        f'<div class="head"><h3>{text(certificate.name)} <span class="soft">{text(certificate.endpoint)}</span></h3>'
        f"<strong>{text(phrases.days(certificate.days_left))}</strong>{badge(look)}</div>{why}"
        + facts(
            [
                ("Valid until", phrases.moment(certificate.not_after, zone)),
                ("Names", ", ".join(certificate.sans) or phrases.NOTHING),
                ("Issuer", certificate.issuer or phrases.NOTHING),
                ("Key", certificate.key_type or phrases.NOTHING),
                ("SHA-256", (certificate.fingerprint_sha256 or phrases.NOTHING)[:23]),
                ("Checked", phrases.since(certificate.at, now)),
            ],
            wide=True,
        )
    )
