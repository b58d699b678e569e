"""Load: who serves how much, and whether that is fair under the balancer's policy."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from dashboard import parts, phrases
from dashboard.charts import load as charts
from dashboard.components import frame, load_findings, plot
from dashboard.components.markup import block, facts, table, verdict
from dashboard.fetch import fleet
from dashboard.palette import FINDINGS
from dashboard.tables import load as tables
from dashboard.views import verify
from monitor import wire

REACH_S = 3600.0
"""So far back the monitor counts each request and judges; what is older it keeps as history, in steps."""
WINDOWS = {60: "1 min", 300: "5 min", 900: "15 min", 3600: "1 h", 6 * 3600: "6 h", 86_400: "24 h", 7 * 86_400: "7 d"}
SHOWN = {"share": "Share", "in_flight": "In flight", "p95": "p95", "errors": "Errors"}


def page() -> None:
    frame.heading("Load", "Client requests only: health checks, scrapes and demo traffic count in no share.")
    with st.container(horizontal=True, gap="large"):
        window = st.segmented_control(
            "Window", list(WINDOWS), default=60, required=True, format_func=WINDOWS.__getitem__, key="load-window"
        )
        shown = st.segmented_control(
            "Chart", list(SHOWN), default="share", required=True, format_func=SHOWN.__getitem__, key="load-chart"
        )
    st.fragment(_live, run_every=2 * parts.current().settings.refresh_s)(float(window), str(shown))
    verify.section()


def _live(window_s: float, shown: str) -> None:
    if not frame.still_signed_in():
        return
    view = frame.shown(fleet.load(min(window_s, REACH_S)), "load")
    if view is None:
        return
    if not view.shares:
        frame.empty("No backend is watched yet: the share of each one would be here.")
        return
    now = parts.current().now()
    st.html(block(_fairness(view, now), load_findings.lines(view, now)))
    points = frame.shown(fleet.load_series(max(900.0, window_s)), "series")
    loads: Mapping[str, wire.Load] = view.shares
    if window_s > REACH_S:
        st.caption(
            f"Counted over {_name(window_s)} from the history; what is judged above, and expected below, is of the last hour."
        )
        loads = tables.over_series(points or [], view.shares, window_s=window_s)
    _bars(view, loads, window_s, shown)
    _series(view, points, max(900.0, window_s))
    _numbers(loads)


def _bars(view: wire.LoadView, loads: Mapping[str, wire.Load], window_s: float, shown: str) -> None:
    st.subheader({"share": "Share of requests", "in_flight": "Requests in flight", "p95": "Latency", "errors": "Errors"}[shown],
                 anchor=False)  # fmt: skip
    if not any(load.requests for load in loads.values()):
        frame.empty(f"No traffic in the last {_name(window_s)}: no backend has a share.")
    elif window_s > REACH_S and shown in ("in_flight", "p95"):
        frame.empty("Of more than an hour the history has requests and errors: choose a shorter window for this figure.")
    else:
        flagged = {one.backend for one in view.findings if one.backend}
        plot.draw(charts.bars(loads, shown, flagged=flagged), key=f"load-{shown}s", alt=_alt(loads))


def _series(view: wire.LoadView, points: list[wire.LoadPoint] | None, window_s: float) -> None:
    st.subheader(f"Requests over the last {_name(window_s)}", anchor=False)
    if points is None:
        return
    if not any(point.requests for point in points):
        frame.empty("No client request was served in this time: its course would be drawn here.")
        return
    first = [one.backend for one in view.findings if one.backend]
    figure = charts.series(points, frame.zone(), window_s=window_s, first=first)
    plot.draw(figure, key="load-series", alt="Requests per step for each backend over time")


def _numbers(loads: Mapping[str, wire.Load]) -> None:
    rows = tables.by_backend(loads)
    drawn = block(table(list(rows.columns), rows.itertuples(index=False), numeric=tables.COLUMNS[1:]))
    if len(loads) <= charts.FEW:
        st.html(drawn)
        return
    with st.expander(f"The numbers of each of the {len(loads)} backends"):
        st.html(drawn)


def _name(window_s: float) -> str:
    return WINDOWS.get(int(window_s), phrases.span(window_s))


def _fairness(view: wire.LoadView, now: float) -> str:
    fairness = view.fairness
    tone = "warn" if fairness.flagged else "mute" if fairness.jain is None else "good"
    worst = {FINDINGS[one.kind].tone for one in view.findings}
    if worst:
        tone = "bad" if "bad" in worst else "warn"
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
    return verdict(tone, tables.headline(view), phrases.since(view.at, now)) + numbers


def _alt(loads: Mapping[str, wire.Load]) -> str:
    said = [
        f"{name} {phrases.percent(load.share)} of {phrases.percent(load.expected_share)} expected" for name, load in loads.items()
    ]
    return "Share of requests: " + ", ".join(said)
