"""API keys of machines: for administrators, asked as the person."""

from __future__ import annotations

from backend import wire
from dashboard import parts
from dashboard.fetch.seen import Seen, own


def keys() -> Seen[list[wire.Key]]:
    return own().ask("keys", parts.current().backend.api_keys, parts.current().now)
