"""What one backend is busy with: stages, calls, decisions, resources, and who it says it is."""

from __future__ import annotations

import streamlit as st

from dashboard import parts, phrases
from dashboard.charts import backend as charts
from dashboard.components import frame, one_backend, plot
from dashboard.components.markup import block, table
from dashboard.fetch import fleet
from dashboard.fetch import one_backend as fetch
from dashboard.tables import backend as tables
from monitor import wire


def draw(name: str) -> None:
    figures = frame.shown(fetch.figures(name), "figures")
    if figures is not None:
        st.subheader(f"The last {phrases.span(figures.window_s)}: what it is busy with", anchor=False)
        _work(figures)
        _resources(figures)
    _identity(name)


def _work(figures: wire.Figures) -> None:
    if figures.at is None:
        reason = f" ({figures.reason})" if figures.reason else ""
        frame.empty(f"Its metrics were not read yet{reason}: stages, calls and decisions would be here.")
        return
    left, right = st.columns([2, 3])  # calls have long names and six columns
    with left:
        st.markdown("**Time by stage**, of client requests")
        _stages(figures)
    with right:
        st.markdown("**Calls**")
        if figures.routes:
            routes = tables.routes(figures.routes)
            st.html(block(table(list(routes.columns), routes.itertuples(index=False), numeric=tables.ROUTES[1:])))
        else:
            frame.empty("No client request came in this time: each call would be a line here.")
        st.markdown("**Decisions**")
        if figures.decisions:
            rows = tables.decisions(figures.decisions)
            st.html(block(table(list(rows.columns), rows.itertuples(index=False), numeric=tables.DECISIONS[2:])))
        else:
            frame.empty("Nothing was decided in this time: matches, non-matches and duplicates would be counted here.")


def _stages(figures: wire.Figures) -> None:
    ran = [one for one in figures.stages if one.runs]
    if not ran:
        frame.empty("No stage ran in this time: decode, detect, embed, search and commit would be drawn here.")
        return
    said = ", ".join(f"{one.stage} {phrases.milliseconds(one.mean_ms)}" for one in ran)
    plot.draw(charts.stages(ran), key=f"stages-{figures.backend}", alt=f"Mean time by stage: {said}")
    rows = tables.stages(ran)
    st.html(block(table(list(rows.columns), rows.itertuples(index=False), numeric=tables.STAGES[1:])))


def _resources(figures: wire.Figures) -> None:
    st.subheader("Resources", anchor=False)
    if not figures.resources:
        frame.empty("Its metrics were not read yet: memory, processor and the gallery's size would be here.")
        return
    st.html(block(one_backend.takes(figures.resources[-1])))
    if len(figures.resources) > 1:
        figure = charts.resources(figures.resources, frame.zone())
        plot.draw(figure, key=f"resources-{figures.backend}", alt="Memory and processor over the last hour")


def _identity(name: str) -> None:
    st.subheader("Identity", anchor=False)
    view = frame.shown(fleet.fleet(), "state of the fleet")
    backend = next((one for one in view.items if one.name == name), None) if view else None
    if view is None or backend is None:
        return
    st.html(block(one_backend.identity(backend, parts.current().now(), frame.zone())))
    differs = [one for one in view.drift_findings if name in one.backends]
    if not differs:
        st.caption("It differs from no other backend in model, version, threshold or gallery.")
