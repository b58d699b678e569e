"""What the monitor knows of one backend: fleet data, the same for everybody who may see it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import streamlit as st

from dashboard import parts
from dashboard.fetch.fleet import FRESH_S, fleet_role
from dashboard.fetch.seen import Seen, shared
from monitor import wire

STEADY_S = 5.0  # what changes by the minute
EVENTS = 100


def figures(name: str) -> Seen[wire.Figures]:
    role = fleet_role()
    return shared().ask(("figures", role, name), lambda: _figures(role, name), parts.current().now)


def history(name: str, window_s: int) -> Seen[wire.HistoryView]:
    role = fleet_role()
    return shared().ask(("history", role, name, window_s), lambda: _history(role, name, window_s), parts.current().now)


def events(name: str) -> Seen[list[wire.Event]]:
    """Changes of state, newest first."""
    role = fleet_role()
    return shared().ask(("events", role, name), lambda: _events(role, name), parts.current().now)


@st.cache_data(ttl=FRESH_S, max_entries=64, show_spinner=False)
def _figures(role: str, name: str) -> wire.Figures:
    return parts.current().monitor.figures(name)


@st.cache_data(ttl=STEADY_S, max_entries=64, show_spinner=False)
def _history(role: str, name: str, window_s: int) -> wire.HistoryView:
    since = datetime.fromtimestamp(parts.current().now(), UTC) - timedelta(seconds=window_s)
    return parts.current().monitor.history(name, since=since)


@st.cache_data(ttl=STEADY_S, max_entries=64, show_spinner=False)
def _events(role: str, name: str) -> list[wire.Event]:
    return list(parts.current().monitor.events(backend=name, limit=EVENTS).items)
