from __future__ import annotations

from datetime import timedelta

from tests.dashboard import samples
from tests.dashboard.conftest import Desktop, html, said, switch

FLEET = ("GET", "/v1/fleet")


def test_every_backend_has_a_card_with_what_an_operator_needs(desktop: Desktop) -> None:
    desktop.monitor.routes = {FLEET: lambda _: samples.fleet(samples.backend("b1"), samples.down("b2"))}
    app = desktop.open("operator", "fleet")
    assert not app.exception
    assert [title.value for title in app.title] == ["Fleet"]
    page = html(app)
    assert "1 of 2 backends are up." in page
    for part in ("b1", "UP", "123 ms", "33 %", "364 days", "version 0.1.0", samples.MODEL, "12 templates", "for 42 min"):
        assert part in page
    for part in ("DOWN", "NET.REFUSED", "Nothing listens at this address.", "no traffic", "2/3 before down", "for 7 s"):
        assert part in page
    assert "the balancer still sends it traffic" in page
    assert page.index("Backend b2") < page.index("Backend b1"), "what disagrees and is worst comes first"


def test_a_stale_backend_is_grey_and_says_so(desktop: Desktop) -> None:
    old = samples.backend("b1", stale=True, last_sample_at=samples.now() - timedelta(minutes=5))
    desktop.monitor.routes = {FLEET: lambda _: samples.fleet(old)}
    page = html(desktop.open("operator", "fleet"))
    assert "STALE" in page
    assert 'class="mute stale' in page
    assert "data 5 min ago" in page


def test_without_a_backend_the_page_says_what_would_be_here(desktop: Desktop) -> None:
    desktop.monitor.routes = {FLEET: lambda _: samples.fleet()}
    app = desktop.open("operator", "fleet")
    assert "No backend is watched" in said(app)
    assert not app.error


def test_a_monitor_that_was_never_reached_is_named(desktop: Desktop) -> None:
    desktop.monitor.stop()
    app = desktop.open("operator", "fleet")
    assert not app.exception
    assert "The monitor cannot be reached" in app.error[0].value
    assert "no earlier state of the fleet" in app.error[0].value


def test_a_monitor_that_dies_leaves_the_last_state_with_its_age_and_recovers(desktop: Desktop) -> None:
    desktop.monitor.routes = {FLEET: lambda _: samples.fleet(samples.backend("b1"))}
    app = desktop.open("operator", "fleet")
    assert "b1" in html(app)
    desktop.monitor.stop()
    _forget_shared_answers()
    app.run()
    assert "The monitor cannot be reached" in app.warning[0].value
    assert "from just now" in app.warning[0].value
    assert "b1" in html(app)
    desktop.monitor.start()
    _forget_shared_answers()
    app.run()
    assert not app.warning
    assert "b1" in html(app)


def test_what_the_monitor_refuses_is_shown_as_its_sentence(desktop: Desktop) -> None:
    app = desktop.open("operator", "fleet")
    assert "There is nothing here" in app.error[0].value


def test_many_open_pages_cost_the_monitor_one_question(desktop: Desktop) -> None:
    desktop.monitor.routes = {FLEET: lambda _: samples.fleet(samples.backend("b1"))}
    pages = [desktop.open("operator", "fleet") for _ in range(2)]
    first = desktop.monitor.count(*FLEET)
    started = desktop.made.now()
    for page in pages:
        page.run()
    elapsed = desktop.made.now() - started
    assert desktop.monitor.count(*FLEET) - first <= 1 + elapsed / 0.9


def test_values_from_afar_cannot_become_markup(desktop: Desktop) -> None:
    evil = samples.backend("b1", detail="<img src=x onerror=alert(1)>", region="<b>", reason='"><script>')
    desktop.monitor.routes = {FLEET: lambda _: samples.fleet(evil, sentence="<script>x</script>", drift=["<i>x</i>"])}
    page = html(desktop.open("operator", "fleet"))
    for bad in ("<img", "<script", "<i>", "<b>"):
        assert bad not in page


def test_a_session_that_ended_shows_the_way_back_and_no_data(desktop: Desktop) -> None:
    desktop.monitor.routes = {FLEET: lambda _: samples.fleet(samples.backend("b1"))}
    app = desktop.open("operator", "fleet")
    desktop.cookies[0] = None
    app.run()
    assert "Your session has ended" in said(app)
    assert "b1" not in html(app)


def test_the_balancer_is_described_where_there_is_one(desktop: Desktop) -> None:
    desktop.monitor.routes = {FLEET: lambda _: samples.fleet(samples.backend("b1"))}
    page = html(desktop.open("operator", "fleet"))
    assert "nginx, least connections" in page
    desktop.monitor.routes = {FLEET: lambda _: samples.fleet(samples.backend("b1"), balancer=None)}
    _forget_shared_answers()
    assert "No balancer" in html(switch(desktop.open("operator", "fleet"), "fleet"))


def _forget_shared_answers() -> None:
    """In place of waiting until they are too old."""
    import streamlit as st

    st.cache_data.clear()
