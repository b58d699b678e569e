"""Fleet data: the same for everybody who may see it, asked with the dashboard's own viewer key, keyed by role."""

from __future__ import annotations

import streamlit as st

from dashboard import identity, parts
from dashboard.fetch.seen import Seen, shared
from dashboard.roles import Right, may
from monitor import wire

FRESH_S = 0.9  # below the shortest refresh of a page
MOST_WINDOWS = 200
MOST_ALERTS = 200
SLOW_S = 10.0  # certificates change by the hour


def fleet() -> Seen[wire.FleetView]:
    role = fleet_role()
    return shared().ask(("fleet", role), lambda: _fleet(role), parts.current().now)


def lately() -> Seen[wire.FleetView]:
    """The fleet as it was within the last `SLOW_S`: for what the fleet file says, not for states."""
    role = fleet_role()
    return shared().held(("fleet", role), lambda: _fleet(role), parts.current().now, for_s=SLOW_S)


def load(window_s: float) -> Seen[wire.LoadView]:
    role = fleet_role()
    return shared().ask(("load", role, window_s), lambda: _load(role, window_s), parts.current().now)


def load_series(window_s: float) -> Seen[list[wire.LoadPoint]]:
    role = fleet_role()
    return shared().ask(("series", role, window_s), lambda: _load_series(role, window_s), parts.current().now)


def distribution_checks() -> Seen[list[wire.DistributionCheck]]:
    """Newest first."""
    role = fleet_role()
    return shared().ask(("distribution", role), lambda: _distribution_checks(role), parts.current().now)


def certificates() -> Seen[list[wire.Certificate]]:
    role = fleet_role()
    return shared().ask(("certificates", role), lambda: _certificates(role), parts.current().now)


def maintenance() -> Seen[list[wire.Maintenance]]:
    """Those that are planned or under way, and the last that were."""
    role = fleet_role()
    return shared().ask(("maintenance", role), lambda: _maintenance(role), parts.current().now)


def firing() -> Seen[list[wire.Alert]]:
    """What fires, for its number and severity alone: whom it names stands on the page Alerts, asked as the person."""
    role = fleet_role()
    return shared().ask(("firing", role), lambda: _firing(role), parts.current().now)


@st.cache_data(ttl=FRESH_S, max_entries=16, show_spinner=False)
def _fleet(role: str) -> wire.FleetView:
    return parts.current().monitor.fleet()


@st.cache_data(ttl=FRESH_S, max_entries=64, show_spinner=False)
def _load(role: str, window_s: float) -> wire.LoadView:
    return parts.current().monitor.load(window_s=window_s)


@st.cache_data(ttl=2 * FRESH_S, max_entries=64, show_spinner=False)
def _load_series(role: str, window_s: float) -> list[wire.LoadPoint]:
    return list(parts.current().monitor.load_series(window_s=window_s).items)


@st.cache_data(ttl=FRESH_S / 2, max_entries=16, show_spinner=False)
def _distribution_checks(role: str) -> list[wire.DistributionCheck]:
    return list(parts.current().monitor.distribution_checks().items)


@st.cache_data(ttl=SLOW_S, max_entries=16, show_spinner=False)
def _certificates(role: str) -> list[wire.Certificate]:
    return list(parts.current().monitor.certificates().items)


@st.cache_data(ttl=2 * FRESH_S, max_entries=16, show_spinner=False)
def _maintenance(role: str) -> list[wire.Maintenance]:
    return list(parts.current().monitor.maintenance(limit=MOST_WINDOWS).items)


@st.cache_data(ttl=2 * FRESH_S, max_entries=16, show_spinner=False)
def _firing(role: str) -> list[wire.Alert]:
    return list(parts.current().monitor.alerts(state=wire.AlertState.firing, limit=MOST_ALERTS).items)


def fleet_role() -> str:
    """The key of shared data; nobody gets past here who may not see the fleet."""
    roles = identity.person().roles
    if not may(roles, Right.see_fleet):
        raise PermissionError("this person's roles do not show the fleet")
    return "+".join(sorted(roles))
