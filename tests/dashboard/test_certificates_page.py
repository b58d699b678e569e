from __future__ import annotations

import streamlit as st

from tests.dashboard import samples
from tests.dashboard.conftest import Desktop, html, said

LIST = ("GET", "/v1/certificates")


def test_what_runs_out_first_stands_first_with_its_reason(desktop: Desktop) -> None:
    listed = samples.certificates(
        samples.certificate("b1"),
        samples.certificate("b2", "expired", -2.0, reason="TLS.EXPIRED"),
        samples.certificate("b3", "warning", 20.0),
    )
    desktop.monitor.routes = {LIST: lambda _: listed}
    app = desktop.open("operator", "certificates")
    assert not app.exception
    page = html(app)
    assert "1 certificate needs action now: b2." in page
    assert page.index("<h3>b2") < page.index("<h3>b3") < page.index("<h3>b1")
    for part in ("TLS.EXPIRED", "expired 2 d ago", "EXPIRED", "RENEW SOON", "20 days", "localhost", "EC P-256"):
        assert part in page


def test_the_chain_is_there_on_demand(desktop: Desktop) -> None:
    desktop.monitor.routes = {LIST: lambda _: samples.certificates(samples.certificate("b1"))}
    app = desktop.open("operator", "certificates")
    (chain,) = app.expander
    assert chain.label == "Chain of b1 as it was sent (2 certificates)"
    assert not chain.proto.expanded
    assert "issuer 1" in html(app)


def test_without_a_certificate_the_page_says_what_would_be_here(desktop: Desktop) -> None:
    desktop.monitor.routes = {LIST: lambda _: samples.certificates()}
    assert "No certificate is watched" in said(desktop.open("operator", "certificates"))


def test_a_monitor_that_dies_leaves_the_last_list_with_its_age(desktop: Desktop) -> None:
    desktop.monitor.routes = {LIST: lambda _: samples.certificates(samples.certificate("b1"))}
    app = desktop.open("operator", "certificates")
    desktop.monitor.stop()
    st.cache_data.clear()
    app.run()
    assert "Below is the last list of certificates, from just now." in app.warning[0].value
    assert "b1" in html(app)
    st.cache_resource.clear()
    app.run()
    assert "no earlier list of certificates" in app.error[0].value
