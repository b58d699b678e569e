from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from dashboard.fetch import fleet
from monitor import wire as monitor_wire
from tests.dashboard import samples
from tests.dashboard import samples_alerts as of_alerts
from tests.dashboard import samples_backend as of_one
from tests.dashboard.conftest import Desktop, html, said, switch
from tests.dashboard.stand_in import Asked

FLEET, LOAD, WINDOWS = ("GET", "/v1/fleet"), ("GET", "/v1/load"), ("GET", "/v1/maintenance")
ALERTS = ("GET", "/v1/alerts")


def test_every_backend_has_a_card_with_what_an_operator_needs(desktop: Desktop) -> None:
    desktop.monitor.routes = {FLEET: lambda _: samples.fleet(samples.backend("b1"), samples.down("b2"))}
    app = desktop.open("operator", "fleet")
    assert not app.exception
    assert [title.value for title in app.title] == ["Fleet"]
    page = html(app)
    assert "1 of 2 backends are up." in page
    for part in (
        "b1",
        "UP",
        "123 ms",
        "33 %",
        "364 days",
        "version 0.1.0",
        samples.MODEL,
        "12 templates",
        "for 42 min",
        "Readiness: up",
    ):
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
    assert re.search(r"from (just now|\d+ s ago)", app.warning[0].value)
    assert "b1" in html(app)
    desktop.monitor.start()
    _forget_shared_answers()
    app.run()
    assert not app.warning
    assert "b1" in html(app)


def test_what_the_monitor_refuses_is_shown_as_its_sentence(desktop: Desktop) -> None:
    app = desktop.open("operator", "fleet")
    assert app.error[0].value.startswith("Not found")
    assert "There is nothing here" in app.error[0].value
    assert "Unreachable" not in app.error[0].value, "it answered"


def test_what_fires_is_said_where_every_backend_is_up(desktop: Desktop) -> None:
    desktop.monitor.routes = {FLEET: lambda _: samples.fleet(samples.backend("b1"))}
    assert "Alerts, findings" in said(desktop.open("operator", "fleet"))
    held = of_alerts.alert(2, quiet="silenced")
    desktop.monitor.routes |= {ALERTS: lambda _: of_alerts.page(of_alerts.alert(1), held), LOAD: lambda _: samples.load_view()}
    _forget_shared_answers()
    page = html(desktop.open("operator", "fleet"))
    assert 'class="bad">1 alert fires, nobody has acknowledged it. <a href="/alerts"' in page
    desktop.monitor.routes[ALERTS] = lambda _: of_alerts.page(held)
    _forget_shared_answers()
    assert 'href="/alerts"' not in html(desktop.open("operator", "fleet")), "what is held back is told to nobody"


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


def test_a_session_that_ends_while_a_part_is_drawn_is_said_and_is_no_error(desktop: Desktop) -> None:
    def ends(_: Asked) -> monitor_wire.FleetView:
        desktop.cookies[0] = None
        return samples.fleet(samples.backend("b1"))

    desktop.monitor.routes = {FLEET: ends}
    app = desktop.open("operator", "fleet")
    assert not app.exception
    assert "Your session has ended" in said(app)


def test_the_balancer_is_described_where_there_is_one(desktop: Desktop) -> None:
    desktop.monitor.routes = {FLEET: lambda _: samples.fleet(samples.backend("b1"))}
    page = html(desktop.open("operator", "fleet"))
    assert "nginx, least connections" in page
    desktop.monitor.routes = {FLEET: lambda _: samples.fleet(samples.backend("b1"), balancer=None)}
    _forget_shared_answers()
    assert "No balancer" in html(switch(desktop.open("operator", "fleet"), "fleet"))


def test_findings_of_the_load_and_maintenance_stand_on_the_card_that_they_concern(desktop: Desktop) -> None:
    desktop.monitor.routes = {
        FLEET: lambda _: samples.fleet(samples.backend("b1"), samples.backend("b2", admin_state="MAINTENANCE")),
        LOAD: lambda _: of_one.findings(
            of_one.finding("b1", "b1 is slower than the others."), of_one.finding(None, "Everybody is slow.", "fleet_latency")
        ),
        WINDOWS: lambda _: of_one.windows(of_one.window("b2"), of_one.window(identifier="mnt_all", comment="All hosts")),
    }
    page = html(desktop.open("operator", "fleet"))
    b1, b2 = page.index("Backend b1"), page.index("Backend b2")
    assert b1 < page.index("b1 is slower than the others.") < b2
    assert page.index("Load: Everybody is slow.") < b1, "what concerns nobody alone stands above"
    assert page.count("All hosts") == 2
    assert b2 < page.index("New disks")
    assert "MAINTENANCE" in page


def test_a_drain_is_shown_since_when(desktop: Desktop) -> None:
    drains = samples.backend("b1", admin_state="DRAINING", drain_since=samples.now() - timedelta(minutes=7))
    desktop.monitor.routes = {FLEET: lambda _: samples.fleet(drains)}
    page = html(desktop.open("operator", "fleet"))
    assert "DRAINING" in page
    assert "Drained by an operator since" in page
    assert "(7 min ago)" in page


def test_fail_open_is_an_alert_above_everything_else(desktop: Desktop) -> None:
    sentence = "Fail-open: nobody is ready, and the balancer still sent 9 requests."
    desktop.monitor.routes = {FLEET: lambda _: samples.fleet(samples.backend("b1"), fail_open=sentence, drift=["b1 differs"])}
    page = html(desktop.open("operator", "fleet"))
    assert 'role="alert"' in page
    assert page.index(sentence) < page.index("b1 differs")


def test_without_the_loads_findings_the_cards_stay_and_it_is_said(desktop: Desktop) -> None:
    desktop.monitor.routes = {FLEET: lambda _: samples.fleet(samples.backend("b1"))}
    app = desktop.open("operator", "fleet")
    assert "Backend b1" in html(app)
    assert "may be missing above" in said(app)


def test_backends_stand_by_region_and_zone_the_worst_first_with_counts_and_links(desktop: Desktop) -> None:
    desktop.monitor.routes = {
        FLEET: lambda _: samples.fleet(
            samples.backend("b1", region="eu", zone="a"),
            samples.backend("b3", region="eu", zone="b"),
            samples.down("b2").model_copy(update={"region": "eu", "zone": "b"}),
            samples.backend("b4", region="eu", zone="b", stale=True),
        )
    }
    page = html(desktop.open("operator", "fleet"))
    order = ("eu / b", "Backend b2", "Backend b3", "eu / a", "Backend b1")
    assert [page.index(part) for part in order] == sorted(page.index(part) for part in order)
    assert "3 backends: 1 DOWN, 1 UP, 1 without a fresh sample" in page
    assert "1 backend: 1 UP" in page
    assert 'href="/backend?name=b2"' in page


def test_fifty_backends_are_small_cards_that_still_say_what_is_wrong(desktop: Desktop) -> None:
    many = [samples.backend(f"b{number}") for number in range(1, 50)] + [samples.down("b77")]
    desktop.monitor.routes = {FLEET: lambda _: samples.fleet(*many)}
    page = html(desktop.open("operator", "fleet"))
    assert page.count("<article") == 50
    assert page.count(" compact st-key") == 50
    for part in (
        "Nothing listens at this address.",
        "/ready: ok, 2/3 before down",
        "Balancer: up",
        "all four verdicts: up",
        "data ",
    ):
        assert part in page, part


def test_sessions_that_refresh_at_once_cost_the_monitor_one_question(desktop: Desktop) -> None:
    """Each thread is a page of somebody else, at the moment of its refresh."""
    answered = threading.Event()

    def slowly(_: Asked) -> monitor_wire.FleetView:
        answered.wait(0.3)
        return samples.fleet(samples.backend("b1"))

    desktop.monitor.routes = {FLEET: slowly}
    desktop.sign_in("operator")
    pages, ready = 12, threading.Barrier(12)

    def refresh(_: int) -> str | None:
        ready.wait(20)
        seen = fleet.fleet()
        return seen.value.items[0].name if seen.value else seen.failure

    with ThreadPoolExecutor(pages) as threads:
        assert list(threads.map(refresh, range(pages))) == ["b1"] * pages
    assert desktop.monitor.count(*FLEET) == 1


def _forget_shared_answers() -> None:
    """In place of waiting until they are too old."""
    import streamlit as st

    st.cache_data.clear()
