from __future__ import annotations

import shlex
from datetime import UTC, timedelta

import pytest
import streamlit as st

from dashboard.components import certificate as drawn
from dashboard.tables import certificates as tables
from dashboard.tables.renewal import renewal
from dashboard.tables.rotation import DIFFERENT, SAME, compared
from monitor import wire
from tests.dashboard import samples
from tests.dashboard.conftest import Desktop, html, read, said
from tests.dashboard.samples import now
from tests.dashboard.samples_load import served

LIST = ("GET", "/v1/certificates")


def test_what_runs_out_first_stands_first_with_its_reason_and_what_to_run(desktop: Desktop) -> None:
    listed = samples.certificates(
        samples.certificate(
            "b1", lifetime_left=0.83, not_before=now() - timedelta(days=60), not_after=now() + timedelta(days=300)
        ),
        samples.certificate("b2", "expired", -2.0, reason="TLS.EXPIRED", issuer=r"O=Face authentication\, local fleet"),
        samples.certificate("b3", "warning", 20.0, notes=["the intermediate is not sent"]),
    )
    desktop.monitor.routes = {LIST: lambda _: listed}
    app = desktop.open("operator", "certificates")
    assert not app.exception
    page = html(app)
    assert "1 certificate needs action now: b2." in page
    assert page.index("<h3>b2") < page.index("<h3>b3") < page.index("<h3>b1")
    for part in ("TLS.EXPIRED", "expired 2 d ago", "RENEW SOON", "20 days", "localhost", "EC P-256", "83 % of its 360 d left",
                 "the intermediate is not sent"):  # fmt: skip
        assert part in page, part
    first = app.code[0].value
    assert first.splitlines()[:2] == ["make stop", "make run"]
    assert "It has expired (verify code 10)" in read(said(app))


def test_the_chain_is_there_on_demand_with_what_the_leaf_says(desktop: Desktop) -> None:
    ocsp = wire.Ocsp(status="good", next_update=now() - timedelta(days=1), stale=True)
    one = served("b1", "ab", chain_complete=False, ocsp=ocsp)
    desktop.monitor.routes = {LIST: lambda _: samples.certificates(one)}
    app = desktop.open("operator", "certificates")
    rotation, chain = app.expander
    assert rotation.label == "Is each renewed one served everywhere?"
    assert chain.label == "Chain of b1 as it was sent (2 certificates), and how to renew it"
    assert not chain.proto.expanded
    page = html(app)
    for part in ("issuer 1", "no: an intermediate is missing", "but its time is over", one.fingerprint_sha256 or "?", "30 days"):
        assert part in page, part


def test_a_half_done_renewal_opens_the_check(desktop: Desktop) -> None:
    listed = samples.certificates(served("b1", "new", age_days=1), served("b2", "new", age_days=1), served("b3", "old"))
    desktop.monitor.routes = {LIST: lambda _: listed}
    app = desktop.open("operator", "certificates")
    assert app.expander[0].proto.expanded
    assert "A half-done renewal: b1, b2 serve the newest" in html(app)


def test_places_of_one_name_are_compared_and_the_newest_counts() -> None:
    (found,) = compared([served("b1", "new", age_days=1), served("b2", "old"), served("b3", "older", age_days=80)], UTC)
    assert found.look is DIFFERENT
    assert found.what == "api.face-auth.internal"
    assert "b1 serves the newest certificate (new0" in found.sentence
    assert "Give b2, b3 the new files and reload." in found.sentence
    (same,) = compared([served("b1", "new"), served("b2", "new")], UTC)
    assert same.look is SAME
    assert "All 2 places that serve it serve the same certificate" in same.sentence
    assert compared([served("b1", "x", server_name="b1"), served("b2", "y", server_name="b2", sans=["b2"])], UTC) == []
    assert compared([served("b1", "x", fingerprint_sha256=None), served("b2", "y")], UTC) == [], "one of them was never read"


def test_a_file_is_compared_with_what_is_served_from_it() -> None:
    file = served("balancer-file", "new", age_days=1, server_name=None, endpoint="/etc/face-auth/balancer.pem", sans=["api"])
    lb = served("balancer", "old", sans=["api"])
    (late,) = compared([lb, file], UTC)
    assert (late.look, late.what) == (DIFFERENT, "balancer and /etc/face-auth/balancer.pem")
    assert "balancer still serves old0" in late.sentence
    assert late.sentence.endswith("reload it.")
    (right,) = compared([served("balancer", "new", age_days=1, sans=["api"]), file], UTC)
    assert right.look is SAME
    (odd,) = compared([lb, served("balancer-file", "x", age_days=80, server_name=None, sans=["api"])], UTC)
    assert "newer than the file" in odd.sentence


@pytest.mark.parametrize(
    ("issuer", "kind", "command"),
    [
        (r"CN=Testing CA,O=Face authentication\, local fleet", "the local CA", "make run"),
        ("CN=R11,O=Let's Encrypt,C=US", "ACME (Let's Encrypt)", "sudo certbot renew --cert-name api.face-auth.internal"),
        ("CN=R11,O=Let's Encrypt,C=US", "ACME (Let's Encrypt)", "cmctl renew"),
        ("CN=Amazon RSA 2048 M02,O=Amazon,C=US", "AWS Certificate Manager", "aws acm list-certificates"),
        ("CN=Inner CA,O=Example", "a CA of your own", "openssl req -new"),
    ],
)
def test_what_to_run_depends_on_who_issued_it(issuer: str, kind: str, command: str) -> None:
    how = renewal(served("b1", "ab", issuer=issuer, reason="TLS.EXPIRING", state="warning"))
    assert how.kind == kind
    assert any(line.startswith(command) for line in how.commands), how.commands
    assert "ends soon" in how.why
    assert how.commands[-1].startswith("openssl s_client -connect 127.0.0.1:8001 -servername api.face-auth.internal")


def test_no_name_from_afar_becomes_part_of_a_command() -> None:
    evil = "x'; rm -rf ~ #"
    for issuer in ("O=Let's Encrypt", "O=Amazon", "O=Other"):
        how = renewal(served("b1", "ab", issuer=issuer, server_name=evil, sans=[evil]))
        for line in (line for line in how.commands if "rm -rf" in line):
            assert "rm" not in shlex.split(line.replace("|", " "))
    file = renewal(served("f", "ab", server_name=None, endpoint="/a b.pem"))
    assert file.commands[-1].endswith("-in '/a b.pem'")


def test_addresses_and_names_are_told_apart_in_the_request() -> None:
    request = renewal(served("b1", "ab", issuer="O=Other", sans=["b1", "10.0.0.1", "::1"])).commands[0]
    assert "subjectAltName=DNS:b1,IP:10.0.0.1,IP:::1" in request


def test_what_is_left_of_a_lifetime_is_a_bar_of_at_most_its_length() -> None:
    assert 'style="width:33.3%"' in drawn.life(served("b1", "ab", lifetime_left=1 / 3))
    assert 'style="width:0.0%"' in drawn.life(served("b1", "ab", lifetime_left=-0.2))
    assert drawn.life(samples.certificate("b1")) == ""


def test_a_certificate_from_afar_cannot_become_markup() -> None:
    bad = "<script>x</script>"
    one = served("b1", "ab", detail=bad, sans=[bad] * 6, notes=[bad], reason=bad, endpoint=bad)
    assert "<script" not in drawn.summary(one, now().timestamp())
    assert "and 2 more" in drawn.summary(one, now().timestamp())
    assert "<script" not in drawn.rotation(compared([one, served("b2", "cd", sans=[bad])], UTC))
    assert dict(tables.facts_of(one, UTC))["Chain complete"] == "yes"


def test_without_a_certificate_the_page_says_what_would_be_here(desktop: Desktop) -> None:
    desktop.monitor.routes = {LIST: lambda _: samples.certificates()}
    assert "No certificate is watched" in said(desktop.open("operator", "certificates"))


def test_a_monitor_that_dies_leaves_the_last_list_with_its_age_and_comes_back(desktop: Desktop) -> None:
    desktop.monitor.routes = {LIST: lambda _: samples.certificates(samples.certificate("b1"))}
    app = desktop.open("operator", "certificates")
    desktop.monitor.stop()
    st.cache_data.clear()
    app.run()
    assert "Below is the last list of certificates, from" in app.warning[0].value
    assert "b1" in html(app)
    desktop.monitor.start()
    st.cache_data.clear()
    app.run()
    assert not app.warning
    desktop.monitor.stop()
    st.cache_data.clear()
    st.cache_resource.clear()
    app.run()
    assert "no earlier list of certificates" in app.error[0].value
