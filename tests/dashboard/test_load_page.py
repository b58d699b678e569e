from __future__ import annotations

import json
from datetime import UTC, timedelta

import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard.charts import load as charts
from dashboard.components import distribution, load_findings
from dashboard.palette import BAD
from dashboard.tables import load as tables
from monitor import wire
from tests.dashboard import samples, samples_load
from tests.dashboard.conftest import Desktop, html, said
from tests.dashboard.samples import now
from tests.dashboard.stand_in import Asked, Reply, problem

LOAD, SERIES, CHECKS = ("GET", "/v1/load"), ("GET", "/v1/load/series"), ("GET", "/v1/distribution-checks")
START = ("POST", "/v1/distribution-checks")


def serve(desktop: Desktop, view: wire.LoadView, *checks: wire.DistributionCheck, of: tuple[str, ...] = ("b1", "b2")) -> None:
    desktop.monitor.routes = {
        LOAD: lambda _: view,
        SERIES: lambda _: samples.series(*of),
        CHECKS: lambda _: samples_load.checks(*checks),
    }


def plots(app: AppTest) -> list[str]:
    return [element.proto.json for element in app.get("bidi_component")]


def test_shares_stand_beside_what_is_expected_with_the_sentence_on_fairness(desktop: Desktop) -> None:
    serve(desktop, samples.load_view(b1=0.5, b2=0.5))
    app = desktop.open("operator", "load")
    assert not app.exception
    page = html(app)
    for part in (
        "The load is even within the noise.",
        "0.998",
        "Noise floor",
        "9.0 %",
        "50.0 %",
        "33.3 %",
        "123 ms",
        "least connections",
    ):
        assert part in page
    assert len(app.get("bidi_component")) == 2


def test_without_traffic_no_share_is_drawn_and_every_row_says_no_traffic(desktop: Desktop) -> None:
    serve(desktop, samples.load_view(b1=None, b2=None), of=())
    app = desktop.open("operator", "load")
    assert not app.get("bidi_component")
    assert html(app).count(">no traffic<") == 2
    assert "No traffic in the last 1 min" in said(app)
    assert "No client request was served" in said(app)


def test_a_window_that_is_chosen_is_asked_for(desktop: Desktop) -> None:
    asked: list[str] = []

    def answer(one: Asked) -> object:
        asked.append(one.query["window_s"])
        return samples.load_view(b1=1.0)

    serve(desktop, samples.load_view(b1=1.0))
    desktop.monitor.routes[LOAD] = answer  # type: ignore[assignment]
    app = desktop.open("operator", "load")
    app.segmented_control(key="load-window").set_value(900).run()
    assert [float(one) for one in asked] == [60.0, 900.0]


def test_a_day_is_counted_from_the_history_and_says_what_it_does_not_have(desktop: Desktop) -> None:
    serve(desktop, samples.load_view(b1=0.9, b2=0.1))
    app = desktop.open("operator", "load")
    app.segmented_control(key="load-window").set_value(86_400).run()
    series = [asked.query["window_s"] for asked in desktop.monitor.asked if asked.path == "/v1/load/series"]
    assert float(series[-1]) == 86_400
    assert float([asked for asked in desktop.monitor.asked if asked.path == "/v1/load"][-1].query["window_s"]) == 3600
    assert "Counted over 24 h from the history" in said(app)
    assert html(app).count("50.0 %") == 2, "both served the same in the history, whatever the last minute says"
    app.segmented_control(key="load-chart").set_value("p95").run()
    assert "choose a shorter window" in said(app)


def test_what_stands_out_is_said_with_the_way_to_its_backend(desktop: Desktop) -> None:
    view = samples.load_view(b1=0.4, b2=0.6).model_copy(
        update={"findings": [samples_load.finding()], "findings_at": now() - timedelta(seconds=20)}
    )
    serve(desktop, view)
    page = html(desktop.open("operator", "load"))
    for part in (
        "b2 stands out: see below. The load is even",
        "SINKHOLE",
        'href="/backend?name=b2"',
        "draws 62 % of the traffic",
        "for 2 min",
    ):
        assert part in page


def test_findings_of_nothing_and_of_everybody_are_said() -> None:
    quiet = samples.load_view(b1=1.0)
    assert "not over yet" in load_findings.lines(quiet, now().timestamp())
    judged = quiet.model_copy(update={"findings_at": now()})
    assert "No outlier and no sinkhole" in load_findings.lines(judged, now().timestamp())
    fleet = judged.model_copy(update={"findings": [samples_load.finding(None, "fleet_errors", sentence="<b>all</b> fail")]})
    drawn = load_findings.lines(fleet, now().timestamp())
    assert "the whole fleet" in drawn
    assert "<b>" not in drawn
    assert 'name=a%2Fb%22"' in load_findings.backend_link('a/b"')


def test_fifty_backends_fit_the_page_and_the_ill_one_stands_out(desktop: Desktop) -> None:
    view = samples_load.crowd()
    serve(desktop, view, of=tuple(view.shares))
    app = desktop.open("operator", "load")
    assert not app.exception
    assert app.expander[0].label == "The numbers of each of the 50 backends"
    assert "SLOW" in html(app)
    figure = charts.bars(view.shares, "p95", flagged={"b3"})
    assert figure.layout.height < 400, "not longer than the window"
    assert list(figure.data[0].x)[:10] == [f"b{number}" for number in range(1, 11)], "b2 before b10"
    assert [name for name, colour in zip(figure.data[0].x, figure.data[0].marker.color, strict=True) if colour == BAD] == ["b3"]
    course = charts.series(samples.series(*view.shares).items, UTC, window_s=900, first=["b3"])
    names = [trace.name for trace in course.data]
    assert len(names) < 10
    assert {"all 50 backends", "median", "b3"} <= set(names)


def test_requests_in_flight_are_expected_by_the_same_shares() -> None:
    loads = {
        "b1": samples.load(0.5, in_flight=3.0, expected_share=0.75),
        "b2": samples.load(0.5, in_flight=1.0, expected_share=0.25),
    }
    bars, marks = charts.bars(loads, "in_flight").data
    assert dict(zip(bars.y, bars.x, strict=True)) == {"b2": 1.0, "b1": 3.0}
    assert dict(zip(marks.y, marks.x, strict=True)) == {"b2": 1.0, "b1": 3.0}
    assert list(charts.bars(loads, "errors").data[0].x) == [0.0, 0.0]


def test_shares_of_the_history_are_of_its_own_counts() -> None:
    at = now()
    points = [
        wire.LoadPoint(at=at, backend=name, requests=requests, errors=errors, p95_ms=None)
        for name, requests, errors in (("b1", 30, 0), ("b2", 70, 7), ("gone", 100, 0))
    ]
    loads = tables.over_series(points, {"b1": samples.load(0.5), "b2": samples.load(0.5)}, window_s=7200)
    assert {name: load.share for name, load in loads.items()} == {"b1": 0.15, "b2": 0.35, "gone": 0.5}
    assert loads["b2"].error_ratio == 0.1
    assert loads["gone"].expected_share is None
    assert tables.over_series([], {"b1": samples.load()}, window_s=60)["b1"].reason == "no traffic"


# --- verify the distribution ----------------------------------------------------------------------------------------------


def test_an_operator_has_the_distribution_verified_and_sees_it_go_on_to_its_judgement(desktop: Desktop) -> None:
    bodies: list[dict[str, int]] = []
    stage = [samples_load.running()]

    def start(asked: Asked) -> Reply:
        bodies.append(json.loads(asked.body))
        desktop.monitor.routes[CHECKS] = lambda _: samples_load.checks(*stage)
        return Reply(201, stage[0].model_dump_json().encode())

    serve(desktop, samples.load_view(b1=0.5, b2=0.5))
    desktop.monitor.routes[START] = start
    app = desktop.open("operator", "load")
    assert "Nobody has verified the distribution" in said(app)
    app.number_input(key="verify-requests").set_value(250).run()
    (button,) = [one for one in app.button if one.key == "verify-start"]
    assert button.label == "Send 250 requests"
    st.cache_data.clear()
    button.click().run()
    assert bodies == [{"requests": 250}]
    (asked,) = [one for one in desktop.monitor.asked if one.method == "POST"]
    assert asked.headers["authorization"].startswith("Bearer ey"), "as the person"
    assert app.get("progress")[0].proto.text == "40 of 100 requests sent, 2 s left"
    stage[0] = samples_load.check()
    st.cache_data.clear()
    app.run()
    assert not app.get("progress")
    page = html(app)
    for part in (
        "expected 33 % ± 14 %",
        "b3 served none",
        "70.0 %",
        "14.0 %",
        "50 of 100 (50 %)",
        ">none<",
        "p50 4.2 ms",
    ):
        assert part in page, part


def test_a_refused_check_is_a_sentence_and_what_was_typed_stays(desktop: Desktop) -> None:
    serve(desktop, samples.load_view(b1=0.5, b2=0.5))
    desktop.monitor.routes[START] = lambda _: problem(409, "distribution_check_under_way", "Another check is under way")
    app = desktop.open("operator", "load")
    app.number_input(key="verify-requests").set_value(40).run()
    next(one for one in app.button if one.key == "verify-start").click().run()
    assert not app.exception
    assert "Another check is under way." in html(app)
    assert app.number_input(key="verify-requests").value == 40


def test_a_supervisor_sees_the_result_and_starts_none(desktop: Desktop) -> None:
    serve(desktop, samples.load_view(b1=0.5, b2=0.5), samples_load.check())
    app = desktop.open("supervisor", "load")
    assert "An operator can start one" in said(app)
    assert not [one for one in app.button if one.key == "verify-start"]
    assert "b3 served none" in html(app)


def test_a_sticky_check_expects_nothing_and_a_stranger_is_named_without_a_link() -> None:
    shares = [
        samples_load.share("b1", 98, 100, None, "not_judged", None),
        samples_load.share("<i>pod", 2, 100, None, "not_in_fleet", None),
    ]
    sticky = samples_load.check(verdict="sticky", shares=shares, state="stopped", sentence="As IP hash promises.")
    drawn = distribution.served(sticky)
    assert "expected" not in drawn
    assert "<i>pod" not in drawn
    assert "name=%3Ci" not in drawn
    assert "not in fleet.yaml" in drawn
    assert "It was stopped before all were sent." in distribution.result(sticky, now().timestamp())
    assert distribution.result(samples_load.running(), now().timestamp()) == ""
    assert distribution.served(samples_load.check(shares=[], verdict="failed")).count('role="row"') == 0


# --- the three states -----------------------------------------------------------------------------------------------------


def test_without_a_monitor_the_page_says_so(desktop: Desktop) -> None:
    desktop.monitor.stop()
    app = desktop.open("operator", "load")
    assert not app.exception
    assert "The monitor cannot be reached" in app.error[0].value


def test_a_monitor_that_dies_leaves_the_last_numbers_with_their_age_and_comes_back(desktop: Desktop) -> None:
    serve(desktop, samples.load_view(b1=0.5, b2=0.5), samples_load.check())
    app = desktop.open("operator", "load")
    desktop.monitor.stop()
    st.cache_data.clear()
    app.run()
    assert "Below is the last load, from" in app.warning[0].value
    assert len(app.get("bidi_component")) == 2
    assert "b3 served none" in html(app)
    desktop.monitor.start()
    st.cache_data.clear()
    app.run()
    assert not app.warning
