"""Alerts and what is done about them name people: asked as the person. Burn rates and the fleet file are shared."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from dashboard import parts
from dashboard.fetch.abreast import abreast
from dashboard.fetch.fleet import SLOW_S, fleet_role
from dashboard.fetch.seen import Seen, own, shared
from dashboard.tables import burn as tables
from monitor import wire

AT_ONCE = 200
"""open alerts, silences and windows on the screen at most: more than a person reads"""
PAGE = 20
BURN_FRESH_S = 15.0


def alerts(state: wire.AlertState, cursor: str | None = None) -> Seen[wire.Page[wire.Alert]]:
    limit = PAGE if state is wire.AlertState.resolved else AT_ONCE

    def ask() -> wire.Page[wire.Alert]:
        return parts.current().operator.alerts(state=state, cursor=cursor, limit=limit)

    return own().ask(("alerts", state, cursor), ask, parts.current().now)


def live() -> tuple[Seen[wire.Page[wire.Alert]], Seen[wire.Page[wire.Alert]]]:
    """Those that fire, and those that wait to."""
    found: dict[wire.AlertState, Seen[wire.Page[wire.Alert]]] = {}
    states = (wire.AlertState.firing, wire.AlertState.pending)
    abreast([lambda state=state: found.update({state: alerts(state)}) for state in states])  # type: ignore[misc]
    return found[states[0]], found[states[1]]


def alert(alert_id: str) -> Seen[wire.AlertDetail]:
    return own().ask(("alert", alert_id), lambda: parts.current().operator.alert(alert_id), parts.current().now)


def silences() -> Seen[wire.Page[wire.Silence]]:
    return own().ask("silences", lambda: parts.current().operator.silences(limit=AT_ONCE), parts.current().now)


def maintenance() -> Seen[wire.Page[wire.Maintenance]]:
    return own().ask("maintenance", lambda: parts.current().operator.maintenance(limit=AT_ONCE), parts.current().now)


def deliveries(route: str | None, cursor: str | None) -> Seen[wire.Page[wire.Delivery]]:
    def ask() -> wire.Page[wire.Delivery]:
        return parts.current().operator.deliveries(route=route, cursor=cursor, limit=PAGE)

    return own().ask(("deliveries", route, cursor), ask, parts.current().now)


def fleet_file() -> Seen[wire.FleetFileView]:
    role = fleet_role()
    return shared().ask(("fleet-file", role), lambda: _fleet_file(role), parts.current().now)


def burn() -> Seen[dict[str, tables.Window]]:
    """Of the Prometheus that is configured; ask only where one is."""
    role = fleet_role()
    return shared().ask(("burn", role), lambda: _burn(role), parts.current().now)


def now() -> datetime:
    return datetime.fromtimestamp(parts.current().now(), UTC)


@st.cache_data(ttl=SLOW_S / 2, max_entries=16, show_spinner=False)
def _fleet_file(role: str) -> wire.FleetFileView:
    return parts.current().monitor.fleet_file()


@st.cache_data(ttl=BURN_FRESH_S, max_entries=16, show_spinner=False)
def _burn(role: str) -> dict[str, tables.Window]:
    prometheus = parts.current().prometheus
    if prometheus is None:
        raise RuntimeError("no Prometheus is configured")
    return tables.windows(prometheus.query(tables.expression()))
