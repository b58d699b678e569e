"""Backend: one of them, by its name in the address: how it stands, how it stood, what it is busy with, what to do about it."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from dashboard import identity, ids, parts, phrases
from dashboard.charts import backend as charts
from dashboard.components import frame, one_backend, plot
from dashboard.components.markup import block, table
from dashboard.fetch import fleet
from dashboard.fetch import one_backend as fetch
from dashboard.roles import Right, may
from dashboard.tables import backend as tables
from dashboard.tables import fleet as of_fleet
from dashboard.views import backend_work, diagnose, operate
from monitor import wire

WINDOWS = {"1h": (3600, "1 h"), "24h": (86_400, "24 h"), "7d": (7 * 86_400, "7 days"), "90d": (90 * 86_400, "90 days")}
HISTORY_S = 10.0


def page() -> None:
    name = _chosen()
    if name is None:
        return
    fast = parts.current().settings.refresh_s
    st.fragment(frame.live(_now), run_every=fast)(name)
    if may(identity.person().roles, Right.operate):
        operate.draw(name)
    st.subheader("History", anchor=False)
    window = _window()
    st.fragment(frame.live(_history), run_every=HISTORY_S)(name, window)
    st.fragment(frame.live(backend_work.draw), run_every=2 * fast)(name)
    st.fragment(frame.live(_certificates), run_every=HISTORY_S)(name)
    if may(identity.person().roles, Right.operate):
        diagnose.draw(name)


def _chosen() -> str | None:
    """Whose page it is: the address says it, and the chooser writes the address."""
    asked = st.query_params.get("name")
    heading, chooser = st.columns([3, 1], vertical_alignment="bottom")
    with heading:
        frame.heading(f"Backend {phrases.plain(asked)}" if asked else "Backend", "" if asked else "Everything about one backend.")
    view = frame.shown(fleet.fleet(), "state of the fleet")
    names = sorted(one.name for one in view.items) if view else []
    if view is not None and not names:
        frame.empty("No backend is watched: fleet.yaml names none yet. Each one would have a page here.")
        return None
    if names:
        place = names.index(asked) if asked in names else None
        with chooser:
            st.selectbox(
                "Backend", names, index=place, placeholder="Choose a backend", key=f"choose-{asked}",
                on_change=_go, args=(f"choose-{asked}",),
            )  # fmt: skip
    if asked is not None and not ids.may_be_ours(asked):
        st.error("This address names no backend: a name has letters, digits and hyphens only.", icon=":material/search_off:")
        return None
    if asked is None:
        if names:
            frame.empty("Choose a backend: its state, history, figures and actions would be here.")
        return None
    if view is not None and asked not in names:
        st.warning("No backend of this name is in the fleet file: it may have been removed.", icon=":material/search_off:")
        return None
    return asked


def _go(key: str) -> None:
    name = st.session_state.get(key)
    if name:
        st.query_params["name"] = name


def _window() -> str:
    """How far back; in the address, so that a link shows the same."""
    asked = st.query_params.get("window", "1h")
    chosen = st.segmented_control(
        "Window", list(WINDOWS), default=asked if asked in WINDOWS else "1h", required=True,
        format_func=lambda window: WINDOWS[window][1], key="backend-window", label_visibility="collapsed",
    )  # fmt: skip
    if chosen != asked:
        st.query_params["window"] = chosen
    return chosen


def _now(name: str) -> None:
    view = frame.shown(fleet.fleet(), "state of the fleet")
    backend = next((one for one in view.items if one.name == name), None) if view else None
    if view is None or backend is None:
        return
    figures = fetch.figures(name)
    last = figures.value.resources[-1] if figures.value and figures.value.resources else None
    now = parts.current().now()
    st.html(block(one_backend.now(backend, now, _lines(backend, view, now)), one_backend.busy(backend, last)))
    if backend.admin_state is wire.AdminState.draining:
        _falling(backend, last)


def _lines(backend: wire.Backend, view: wire.FleetView, now: float) -> list[tuple[str, str]]:
    """What concerns it: disagreement, drift, findings of the load, maintenance."""
    load, windows = fleet.load(60.0).value, fleet.maintenance().value or []
    lines = [("warn", backend.disagreement)] if backend.disagreement else []
    lines += [("bad", view.fail_open)] if view.fail_open else []
    lines += [("warn", f"Drift: {one.sentence}") for one in view.drift_findings if backend.name in one.backends]
    lines += [("warn", f"Load: {said}") for said in of_fleet.findings(load.findings if load else []).get(backend.name, [])]
    told = of_fleet.out_of_service([backend], windows, now, frame.zone())
    return lines + [("info", said) for said in told.get(backend.name, [])]


def _falling(backend: wire.Backend, last: wire.Resources | None) -> None:
    """While it drains: whether the traffic really goes elsewhere."""
    points = fleet.load_series(900.0).value or []
    own = [point for point in points if point.backend == backend.name]
    in_flight = last.in_flight if last else None
    st.caption(
        "It drains: requests should fall to none. "
        + (f"In flight now: {in_flight}." if in_flight is not None else "How many are in flight is not known.")
    )
    if own:
        figure = charts.falling(own, frame.zone(), since=backend.drain_since)
        plot.draw(figure, key=f"falling-{backend.name}", alt=f"Requests per step of {backend.name} while it drains")
    else:
        frame.empty("No request was counted within the last 15 minutes: there is nothing to fall.")


def _history(name: str, window: str) -> None:
    seconds, words = WINDOWS[window]
    view = frame.shown(fetch.history(name, seconds), "history")
    if view is not None:
        _courses(view, name, window, words)
    _events(name, seconds, words)


def _courses(view: wire.HistoryView, name: str, window: str, words: str) -> None:
    if not view.items:
        frame.empty(f"Nothing of the last {words} was watched: states, latencies and requests would be drawn here.")
        return
    zone, key = frame.zone(), f"{name}-{window}"
    st.caption(tables.whole(view, words))
    plot.draw(charts.states(view, zone, key=key), key=f"states-{key}", alt=f"States of {name}: {tables.held(view)}")
    left, right = st.columns(2)
    with left:
        st.markdown("**Latency**")
        plot.draw(charts.latencies(view, zone, key=key), key=f"latencies-{key}", alt=f"Latency of {name} over time, in ms")
    with right:
        st.markdown("**Requests and errors**")
        plot.draw(charts.requests(view, zone, key=key), key=f"requests-{key}", alt=f"Requests per second of {name} over time")


def _events(name: str, seconds: int, words: str) -> None:
    st.markdown("**Changes of state**")
    found = frame.shown(fetch.events(name), "list of events")
    if found is None:
        return
    now = parts.current().now()
    within = tables.within(found, datetime.fromtimestamp(now - seconds, UTC))
    if not within:
        frame.empty(f"Its state did not change within the last {words}: each change would be a line here.")
        return
    rows = tables.events(within, now, frame.zone())
    with st.container(height=260 if len(within) > 6 else "content", border=False):
        st.html(block(table(list(rows.columns), rows.itertuples(index=False))))


def _certificates(name: str) -> None:
    st.subheader("Certificate", anchor=False)
    found = frame.shown(fleet.certificates(), "list of certificates")
    if found is None:
        return
    own = [one for one in found if one.name == name]
    if not own:
        frame.empty("It serves no TLS, or its certificate was not read yet: names, issuer and days left would be here.")
    for one in own:
        st.html(block(one_backend.certificate(one, frame.zone())))
