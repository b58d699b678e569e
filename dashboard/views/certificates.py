"""Certificates: what runs out first, whether a renewed one is served everywhere, and what to run to renew."""

from __future__ import annotations

from datetime import tzinfo

import streamlit as st

from dashboard import parts, phrases
from dashboard.components import certificate as drawn
from dashboard.components import frame
from dashboard.components.markup import block, facts, table, verdict
from dashboard.fetch import fleet
from dashboard.palette import CERTIFICATES
from dashboard.tables import certificates as tables
from dashboard.tables.renewal import renewal
from dashboard.tables.rotation import DIFFERENT, compared
from monitor import wire

IN_ORDER = (wire.CertificateState.ok, wire.CertificateState.unknown)


def page() -> None:
    frame.heading(
        "Certificates",
        "As they are served, checked by a handshake with each backend and the balancer. The most pressing first. "
        "The marks on a bar: renew it below a third of its lifetime, at once below a sixth.",
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
    zone, now = frame.zone(), parts.current().now()
    st.html(block(verdict(CERTIFICATES[ordered[0].state].tone, tables.sentence(ordered))))
    rotated = compared(ordered, zone)
    with st.expander("Is each renewed one served everywhere?", expanded=any(one.look is DIFFERENT for one in rotated)):
        st.html(block(drawn.rotation(rotated)))
    for certificate in ordered:
        _one(certificate, zone, now)


def _one(certificate: wire.Certificate, zone: tzinfo, now: float) -> None:
    with st.container(border=True, gap="xsmall"):
        st.html(block(drawn.summary(certificate, now)))
        if certificate.state not in IN_ORDER:
            _renewal(certificate)
        held = phrases.counted(len(certificate.chain), "certificate")
        more = ", and how to renew it" if certificate.state in IN_ORDER else ""
        with st.expander(f"Chain of {phrases.plain(certificate.name)} as it was sent ({held}){more}"):
            if certificate.chain:
                shown = table(tables.CHAIN, tables.chain(certificate, zone, now))
                st.html(block(shown, facts(tables.facts_of(certificate, zone), wide=True)))
            else:
                frame.empty("No certificate was sent, so there is no chain.")
            if certificate.state in IN_ORDER:
                _renewal(certificate)


def _renewal(certificate: wire.Certificate) -> None:
    how = renewal(certificate)
    st.markdown(f"**{phrases.plain(how.why)}** Issued by {phrases.plain(how.kind)}. {phrases.plain(how.note)}")
    st.code("\n".join(how.commands), language="bash", wrap_lines=True)
