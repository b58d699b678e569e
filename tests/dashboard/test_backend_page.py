from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from monitor import wire
from tests.dashboard import samples
from tests.dashboard import samples_backend as of_one
from tests.dashboard.conftest import Desktop, html, said
from tests.dashboard.stand_in import Asked, Reply, Route, fits, problem

DRAIN, RETURN = ("POST", "/v1/backends/{}/drain"), ("POST", "/v1/backends/{}/return")
MAINTAIN, END, DIAGNOSE = ("POST", "/v1/maintenance"), ("DELETE", "/v1/maintenance/{}"), ("POST", "/v1/diagnoses")


EVENTS = (of_one.event(2, "DOWN", "UP", minutes_ago=20), of_one.event(1, "UP", "DOWN", minutes_ago=25))


def routes(*backends: wire.Backend, **changes: Callable[[Asked], object]) -> dict[tuple[str, str], Route]:
    """A monitor that knows these backends; `changes`: other answers, by the last word of the path."""
    answers: dict[str, Callable[[Asked], object]] = {
        "/v1/fleet": lambda _: samples.fleet(*(backends or (samples.backend("b1"), samples.backend("b2")))),
        "/v1/load": lambda _: of_one.findings(),
        "/v1/load/series": lambda _: samples.series("b1", "b2"),
        "/v1/maintenance": lambda _: of_one.windows(),
        "/v1/certificates": lambda _: samples.certificates(samples.certificate("b1"), samples.certificate("b2")),
        "/v1/events": lambda _: of_one.events(*EVENTS),
        "/v1/backends/{}/history": lambda _: of_one.busy_history(),
        "/v1/backends/{}/figures": lambda _: of_one.figures(),
    }
    return {("GET", path): changes.get(path.rsplit("/", 1)[1], answer) for path, answer in answers.items()}  # type: ignore[misc]


def open_b1(desktop: Desktop, role: str = "operator", **query: str) -> AppTest:
    return desktop.open(role, "backend", name="b1", **query)


def act(app: AppTest, action: str, what: str, label: str, *, typed: str = "b1", name: str = "b1") -> AppTest:
    """Choose an action, type the name, press its button."""
    if app.segmented_control(key=f"operate-{name}").value != action:
        app.segmented_control(key=f"operate-{name}").set_value(action).run()
    app.text_input(key=f"confirm-{what}-{name}").set_value(typed)
    next(button for button in app.button if button.label == label).click()
    return app.run()


def asked(desktop: Desktop, route: tuple[str, str]) -> list[Asked]:
    method, path = route
    return [one for one in desktop.monitor.asked if one.method == method and fits(path, one.path)]


def test_the_page_shows_state_history_work_resources_events_certificate_and_identity(desktop: Desktop) -> None:
    desktop.monitor.routes = routes()
    app = open_b1(desktop)
    assert not app.exception
    assert [title.value for title in app.title] == ["Backend b1"]
    page = said(app)
    for part in (
        "b1 has been UP for 42 min", "Probes: up", "Balancer: up", "/ready: ok", "123 ms",
        "UP for 98.75 % of the time that was watched", "DOWN", "NET.REFUSED",
        "detect", "31 ms", "POST /v1/verify", "90", "match", "75", "non match",
        "410 MiB", "35 % of a core", "1,200 templates", "200 ms",
        "version", samples.MODEL, "b1.face-auth.internal", "300 days", "differs from no other backend",
    ):  # fmt: skip
        assert part.lower() in page.lower(), part
    assert len(app.get("bidi_component")) == 5, "states, latency, requests, stages, resources"


def test_without_a_name_there_is_a_chooser_and_it_writes_the_address(desktop: Desktop) -> None:
    desktop.monitor.routes = routes()
    app = desktop.open("operator", "backend")
    assert "Choose a backend" in said(app)
    app.selectbox(key="choose-None").set_value("b2").run()
    assert app.query_params["name"] == "b2"
    assert [title.value for title in app.title] == ["Backend b2"]


def test_a_link_puts_no_markup_into_the_heading(desktop: Desktop) -> None:
    desktop.monitor.routes = routes()
    app = desktop.open("operator", "backend", name="[Sign in again](https://elsewhere.example)")
    assert [title.value for title in app.title] == [r"Backend \[Sign in again\]\(https\://elsewhere\.example\)"]
    assert "This address names no backend" in said(app)


def test_a_name_that_nobody_has_is_said(desktop: Desktop) -> None:
    desktop.monitor.routes = routes()
    app = desktop.open("operator", "backend", name="b9")
    assert "No backend of this name" in said(app)
    assert not app.exception
    assert desktop.monitor.count("GET", "/v1/backends/{}/figures") == 0


@pytest.mark.parametrize(("window", "seconds"), [("1h", 3600), ("24h", 86_400), ("7d", 7 * 86_400), ("90d", 90 * 86_400)])
def test_the_window_is_in_the_address_and_asked_for(desktop: Desktop, window: str, seconds: int) -> None:
    since: list[str] = []

    def history(one: Asked) -> object:
        since.append(one.query["since"])
        return of_one.busy_history()

    desktop.monitor.routes = routes(history=history)
    open_b1(desktop, window=window)
    age = desktop.made.now() - datetime.fromisoformat(since[-1]).timestamp()
    assert age == pytest.approx(seconds, abs=60)


def test_what_concerns_it_is_said_on_it_and_what_concerns_another_is_not(desktop: Desktop) -> None:
    drift = [of_one.drift("b1 runs version 0.2.0, the others 0.1.0.", "b1"), of_one.drift("b2 lags.", "b2")]
    view = samples.fleet(samples.backend("b1", disagreement="it says one thing and does another"), samples.backend("b2"))
    load = of_one.findings(of_one.finding("b1", "b1 is slower than the others."), of_one.finding("b2", "b2 errs."))
    desktop.monitor.routes = routes(
        fleet=lambda _: view.model_copy(update={"drift_findings": drift, "fail_open": "Fail-open: nobody is ready."}),
        load=lambda _: load,
        maintenance=lambda _: of_one.windows(of_one.window("b1"), of_one.window("b2", comment="not ours")),
    )
    page = html(open_b1(desktop))
    for part in ("it says one thing", "b1 runs version 0.2.0", "b1 is slower", "New disks", "Fail-open: nobody is ready."):
        assert part in page, part
    for part in ("b2 lags", "b2 errs", "not ours"):
        assert part not in page, part


def test_each_part_that_is_empty_says_what_would_be_there(desktop: Desktop) -> None:
    nothing = of_one.figures(stages=[], routes=[], decisions={}, resources=[], at=None, reason="NET.REFUSED")
    desktop.monitor.routes = routes(
        history=lambda _: of_one.history(),
        events=lambda _: of_one.events(),
        figures=lambda _: nothing,
        certificates=lambda _: samples.certificates(),
    )
    app = open_b1(desktop)
    page = said(app)
    metrics = "metrics were not read yet (NET.REFUSED)"
    for part in ("Nothing of the last 1 h was watched", "did not change within", metrics, "no TLS"):
        assert part in page, part
    assert not app.exception


def test_a_monitor_that_dies_leaves_what_was_last_seen_and_recovers(desktop: Desktop) -> None:
    desktop.monitor.routes = routes()
    app = open_b1(desktop)
    desktop.monitor.stop()
    st.cache_data.clear()
    app.run()
    assert not app.exception
    assert any("The monitor cannot be reached" in one.value for one in app.warning)
    assert "b1 has been UP" in html(app)
    desktop.monitor.start()
    st.cache_data.clear()
    app.run()
    assert not app.warning


def test_a_monitor_that_was_never_reached_is_named_without_a_traceback(desktop: Desktop) -> None:
    desktop.monitor.stop()
    app = open_b1(desktop)
    assert not app.exception
    assert any("The monitor cannot be reached" in one.value for one in app.error)


@pytest.mark.parametrize("role", ["supervisor"])
def test_who_may_not_operate_is_offered_nothing_to_do(desktop: Desktop, role: str) -> None:
    desktop.monitor.routes = routes()
    app = open_b1(desktop, role)
    assert "b1 has been UP" in html(app)
    assert not [one for one in app.segmented_control if one.label == "Operate"]
    assert not app.text_input
    assert not [button for button in app.button if "iagnose" in button.label or "Drain" in button.label]


def test_a_reviewer_has_no_such_page(desktop: Desktop) -> None:
    desktop.monitor.routes = routes()
    app = open_b1(desktop, "reviewer")
    assert "b1 has been UP" not in html(app)
    assert desktop.monitor.asked == []


# --- drain ----------------------------------------------------------------------------------------------------------


def test_a_drain_shows_who_would_be_left_is_confirmed_by_the_name_and_done_as_the_person(desktop: Desktop) -> None:
    desktop.monitor.routes = routes() | {DRAIN: lambda _: of_one.drained()}
    app = open_b1(desktop)
    app.segmented_control(key="operate-b1").set_value("Drain").run()
    assert "2 of 3 would be left: b2, b3." in said(app)
    assert not app.checkbox, "there is nothing to accept"
    act(app, "Drain", "drain", "Drain b1")
    (call,) = asked(desktop, DRAIN)
    assert call.path == "/v1/backends/b1/drain"
    assert json.loads(call.body) == {}
    assert call.headers["authorization"] != "Bearer fa_viewer_key", "the person, not the dashboard"
    page = html(app)
    assert "b1 drains. It was told." in page
    assert "python -m deploy drain b1" in page
    assert app.text_input(key="confirm-drain-b1").value == ""


def test_a_name_that_is_not_typed_does_nothing_and_stays(desktop: Desktop) -> None:
    desktop.monitor.routes = routes() | {DRAIN: lambda _: of_one.drained()}
    app = act(open_b1(desktop), "Drain", "drain", "Drain b1", typed="b2")
    assert asked(desktop, DRAIN) == []
    assert "Nothing was done: type b1 to confirm." in html(app)
    assert app.text_input(key="confirm-drain-b1").value == "b2"


def test_what_would_leave_too_few_is_accepted_by_name_and_number_and_judged_by_the_server(desktop: Desktop) -> None:
    few = of_one.figures(without_it=of_one.left("b2", total=4, refused=True))
    refusal = problem(409, "drain_refused", "1 of 4 would be left: b2. To drain it all the same, send accept_left: 1")

    def drain(one: Asked) -> Reply | wire.Drained:
        return refusal if json.loads(one.body or b"{}").get("accept_left") != 1 else of_one.drained(left=["b2"], total=4)

    desktop.monitor.routes = routes(figures=lambda _: few) | {DRAIN: drain}
    app = open_b1(desktop)
    app.segmented_control(key="operate-b1").set_value("Drain").run()
    assert "1 of 4 would be left: b2. That is fewer than half" in said(app)
    act(app, "Drain", "drain", "Drain b1")
    assert "To drain it all the same" in html(app)
    assert app.text_input(key="confirm-drain-b1").value == "b1", "what was typed stays"
    app.checkbox(key="drain-accept-b1").check()
    act(app, "Drain", "drain", "Drain b1")
    assert [json.loads(one.body) for one in asked(desktop, DRAIN)] == [{}, {"accept_left": 1}]
    assert "b1 drains." in html(app)


def test_a_backend_that_drains_shows_its_traffic_fall(desktop: Desktop) -> None:
    drains = samples.backend("b1", admin_state="DRAINING", drain_since=samples.now() - timedelta(minutes=2))
    desktop.monitor.routes = routes(drains, samples.backend("b2"))
    app = open_b1(desktop)
    assert "requests should fall to none. In flight now: 3." in said(app)
    assert "Drained by an operator since" in html(app)
    assert len(app.get("bidi_component")) == 6


def test_a_refusal_of_the_role_is_a_sentence(desktop: Desktop) -> None:
    refusal = problem(403, "forbidden", "This needs one of the roles admin, operator")
    desktop.monitor.routes = routes() | {DRAIN: lambda _: refusal}
    app = act(open_b1(desktop), "Drain", "drain", "Drain b1")
    assert "This needs one of the roles admin, operator." in html(app)
    assert not app.exception


# --- return and maintenance -----------------------------------------------------------------------------------------


def test_a_return_tells_what_it_did(desktop: Desktop) -> None:
    answers = [of_one.returned(told=False, next="It did not hear of it (NET.REFUSED)."), of_one.returned()]
    desktop.monitor.routes = routes() | {RETURN: lambda _: answers.pop(0)}
    app = act(open_b1(desktop), "Return", "return", "Return b1")
    assert "It did not hear of it (NET.REFUSED)." in html(app)
    assert 'class="said warn"' in html(app)
    act(app, "Return", "return", "Return b1")
    assert "serves again as soon as its /ready passes" in html(app)


def test_maintenance_begins_with_a_reason_and_an_end(desktop: Desktop) -> None:
    made = Reply(201, of_one.window("b1").model_dump_json().encode())
    desktop.monitor.routes = routes() | {MAINTAIN: lambda _: made}
    app = act(open_b1(desktop), "Maintenance", "maintain", "Begin maintenance")
    assert "give a reason" in html(app)
    assert asked(desktop, MAINTAIN) == []
    app.text_input(key="maintain-reason-b1").set_value("New disks")
    app.selectbox(key="maintain-length-b1").set_value(120)
    act(app, "Maintenance", "maintain", "Begin maintenance")
    (call,) = asked(desktop, MAINTAIN)
    sent = wire.NewMaintenance.model_validate_json(call.body)
    assert (sent.backends, sent.comment) == (["b1"], "New disks")
    assert sent.ends_at.timestamp() - desktop.made.now() == pytest.approx(7200, abs=60)
    assert "Maintenance of b1 holds until" in html(app)


def test_maintenance_that_holds_is_shown_and_ended_by_name(desktop: Desktop) -> None:
    over = of_one.window("b1", identifier="mnt_over", comment="long over", ends_at=samples.now() - timedelta(minutes=1))
    lifted = of_one.window("b1", identifier="mnt_lifted", comment="lifted", lifted_by="usr_bob")
    whole = of_one.window(identifier="mnt_all", comment="all of them")
    desktop.monitor.routes = routes(
        maintenance=lambda _: of_one.windows(of_one.window("b1"), over, lifted, whole, of_one.window("b2", identifier="mnt_b2"))
    ) | {END: lambda _: Reply(204)}
    app = open_b1(desktop)
    app.segmented_control(key="operate-b1").set_value("Maintenance").run()
    assert "it ends for everybody" in said(app)
    assert len([button for button in app.button if button.label == "End this maintenance"]) == 2
    act(app, "Maintenance", "end-mnt_1", "End this maintenance")
    assert [one.path for one in asked(desktop, END)] == ["/v1/maintenance/mnt_1"]
    assert "The maintenance is over." in html(app)


# --- diagnose -------------------------------------------------------------------------------------------------------


def test_a_diagnosis_shows_each_step_with_its_result_time_and_advice(desktop: Desktop) -> None:
    desktop.monitor.routes = routes() | {DIAGNOSE: lambda _: of_one.diagnosis()}
    app = open_b1(desktop)
    assert asked(desktop, DIAGNOSE) == [], "a person starts it"
    app.button(key="diagnose").click().run()
    (call,) = asked(desktop, DIAGNOSE)
    assert json.loads(call.body) == {"target": "b1"}
    page = html(app)
    for part in ("Its certificate expired.", "tcp", "1.2 ms", "FAILED", "TLS.EXPIRED", "What to do:", "openssl x509", "SKIPPED"):
        assert part in page, part


def test_another_address_is_diagnosed_and_a_refusal_is_a_sentence(desktop: Desktop) -> None:
    refusal = problem(422, "target_refused", "169.254.169.254 is the metadata service of most clouds")
    desktop.monitor.routes = routes() | {DIAGNOSE: lambda _: refusal}
    app = open_b1(desktop)
    app.text_input(key="diagnose-url-value").set_value("http://169.254.169.254")
    next(button for button in app.button if button.label == "Diagnose this address").click().run()
    assert json.loads(asked(desktop, DIAGNOSE)[0].body) == {"url": "http://169.254.169.254"}
    assert "the metadata service of most clouds." in html(app)
    app.text_input(key="diagnose-server-name").set_value("not a name")
    next(button for button in app.button if button.label == "Diagnose this address").click().run()
    assert "letters, digits, dots and hyphens only" in html(app)


def test_values_from_afar_cannot_become_markup(desktop: Desktop) -> None:
    evil = "<img src=x onerror=alert(1)>"
    diagnosis = of_one.diagnosis().model_copy(update={"sentence": evil})
    hostile = samples.backend("b1", detail=evil, reason="<b>", region="<i>")
    desktop.monitor.routes = routes(
        hostile,
        maintenance=lambda _: of_one.windows(of_one.window("b1", comment=evil)),
        events=lambda _: of_one.events(of_one.event(1, "UP", "DOWN", minutes_ago=1, detail=evil)),
        figures=lambda _: of_one.figures(decisions={evil: {"<b>": 1}}, routes=[]),
    ) | {DIAGNOSE: lambda _: diagnosis}
    app = open_b1(desktop)
    app.button(key="diagnose").click().run()
    page = html(app)
    for bad in ("<img", "<b>", "<i>"):
        assert bad not in page
