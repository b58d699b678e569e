"""Load: who serves how much, and whether that is fair under the balancer's policy."""

from __future__ import annotations

import streamlit as st

from dashboard import parts, phrases
from dashboard.charts import load as charts
from dashboard.components import frame, plot
from dashboard.components.markup import block, facts, table, verdict
from dashboard.fetch import fleet
from dashboard.tables import load as tables
from monitor import wire

WINDOWS = {60: "1 min", 300: "5 min", 900: "15 min", 3600: "1 h"}


def page() -> None:
    frame.heading("Load", "Client requests only: health checks, scrapes and demo traffic count in no share.")
    window = st.segmented_control(
        "Window", list(WINDOWS), default=60, required=True, format_func=WINDOWS.__getitem__, key="load-window"
    )
    st.fragment(_live, run_every=2 * parts.current().settings.refresh_s)(float(window))


def _live(window_s: float) -> None:
    if not frame.still_signed_in():
        return
    view = frame.shown(fleet.load(window_s), "load")
    if view is None:
        return
    if not view.shares:
        frame.empty("No backend is watched yet: the share of each one would be here.")
        return
    st.html(block(_fairness(view, parts.current().now())))
    if view.total_requests == 0:
        frame.empty(f"No traffic in the last {WINDOWS.get(int(window_s), phrases.span(window_s))}: no backend has a share.")
    else:
        st.subheader("Share of requests", anchor=False)
        plot.draw(charts.shares(view.shares), key="load-shares", alt=_alt(view))
    frame_table = tables.by_backend(view.shares)
    st.html(block(table(list(frame_table.columns), frame_table.itertuples(index=False), numeric=tables.COLUMNS[1:])))
    _series(max(900.0, window_s))


def _series(window_s: float) -> None:
    st.subheader(f"Requests over the last {WINDOWS.get(int(window_s), phrases.span(window_s))}", anchor=False)
    points = frame.shown(fleet.load_series(window_s), "series")
    if points is None:
        return
    if not any(point.requests for point in points):
        frame.empty("No client request was served in this time: its course would be drawn here.")
        return
    figure = charts.series(points, frame.zone(), window_s=window_s)
    plot.draw(figure, key="load-series", alt="Requests per step for each backend over time")


def _fairness(view: wire.LoadView, now: float) -> str:
    fairness = view.fairness
    tone = "warn" if fairness.flagged else "mute" if fairness.jain is None else "good"
    numbers = facts(
        [
            ("Policy", fairness.policy.replace("_", " ")),
            ("Judged by", fairness.measure.replace("_", " ")),
            ("Requests in the window", f"{view.total_requests:,}"),
            ("Jain index (1 = even)", phrases.number(fairness.jain, 3)),
            ("Variation (CV)", phrases.percent(fairness.cv, 1)),
            ("Noise floor of CV", phrases.percent(fairness.noise_floor_cv, 1)),
        ],
        wide=True,
    )
    return verdict(tone, fairness.sentence, phrases.since(view.at, now)) + numbers


def _alt(view: wire.LoadView) -> str:
    said = [
        f"{name} {phrases.percent(load.share)} of {phrases.percent(load.expected_share)} expected"
        for name, load in view.shares.items()
    ]
    return "Share of requests: " + ", ".join(said)
