from __future__ import annotations

import streamlit as st

from tests.dashboard import samples
from tests.dashboard.conftest import Desktop, html, said
from tests.dashboard.stand_in import Asked

LOAD, SERIES = ("GET", "/v1/load"), ("GET", "/v1/load/series")


def test_shares_stand_beside_what_is_expected_with_the_sentence_on_fairness(desktop: Desktop) -> None:
    desktop.monitor.routes = {LOAD: lambda _: samples.load_view(b1=0.5, b2=0.5), SERIES: lambda _: samples.series("b1", "b2")}
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
    desktop.monitor.routes = {
        LOAD: lambda _: samples.load_view(b1=None, b2=None),
        SERIES: lambda _: samples.series("b1", requests=0),
    }
    desktop.monitor.routes[SERIES] = lambda _: samples.series()
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

    desktop.monitor.routes = {LOAD: answer, SERIES: lambda _: samples.series("b1")}  # type: ignore[dict-item]
    app = desktop.open("operator", "load")
    app.segmented_control(key="load-window").set_value(900).run()
    assert [float(one) for one in asked] == [60.0, 900.0]


def test_without_a_monitor_the_page_says_so(desktop: Desktop) -> None:
    desktop.monitor.stop()
    app = desktop.open("operator", "load")
    assert not app.exception
    assert "The monitor cannot be reached" in app.error[0].value


def test_a_monitor_that_dies_leaves_the_last_numbers_with_their_age(desktop: Desktop) -> None:
    desktop.monitor.routes = {LOAD: lambda _: samples.load_view(b1=0.5, b2=0.5), SERIES: lambda _: samples.series("b1", "b2")}
    app = desktop.open("operator", "load")
    desktop.monitor.stop()
    st.cache_data.clear()
    app.run()
    assert "Below is the last load, from just now." in app.warning[0].value
    assert len(app.get("bidi_component")) == 2
