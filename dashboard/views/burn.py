"""How fast errors use up the error budget, as a Prometheus that scrapes the backends knows it."""

from __future__ import annotations

import streamlit as st

from dashboard import parts, phrases
from dashboard.components import frame
from dashboard.components.markup import block, line, table, verdict
from dashboard.fetch import alerts as fetch
from dashboard.palette import Look
from dashboard.tables import burn as tables


def draw() -> None:
    st.fragment(_live, run_every=fetch.BURN_FRESH_S)()


def _live() -> None:
    if not frame.still_signed_in():
        return
    if parts.current().prometheus is None:
        frame.empty(
            "No Prometheus is configured, so there are no burn rates over days here. Set DASHBOARD_PROMETHEUS_URL to one that "
            f"scrapes the backends as job {tables.JOB}. The monitor's own rule FleetBudgetBurning watches the budget in any case."
        )
        return
    promised = frame.shown(fetch.fleet_file(), "fleet file")
    if promised is None:
        return
    known = frame.shown(fetch.burn(), "burn rates")
    if known is None:
        return
    slo, least = promised.slo_availability, promised.slo_least_requests
    tone, sentence = tables.sentence(known, slo, least)
    st.html(block(verdict(tone, sentence)))
    st.html(block(*(_pair(one) for one in tables.judged(known, slo, least))))
    st.subheader("By window", anchor=False)
    st.html(block(table(tables.COLUMNS, tables.rows(known, slo), numeric=tables.COLUMNS[1:])))
    st.caption(
        "Burn rate: share of requests that ended in 5xx, divided by the share that the SLO allows. At 1 the budget just lasts."
    )


def _pair(one: tables.Judged) -> str:
    limit = phrases.number(one.pair.factor, 1)
    windows = f"{tables.WINDOWS[one.pair.long]} and {tables.WINDOWS[one.pair.short]}"
    calm = Look("OK", "●", "good") if one.burn is not None and one.enough else Look("TOO FEW", "?", "mute")
    look = {"page": Look("PAGE", "■", "bad"), "ticket": Look("TICKET", "▲", "warn")}[one.pair.what] if one.exceeded else calm
    return line(look, f"{phrases.number(one.burn, 2)} of {limit}", f"the lower of {windows}; from {limit} on a {one.pair.what}")
