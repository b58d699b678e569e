"""Our ids: a prefix that says what it names and a UUIDv7, so that ids sort by their time of birth. Opaque, never reused."""

from __future__ import annotations

from datetime import datetime

import uuid6


def new_id(prefix: str) -> str:
    return f"{prefix}_{uuid6.uuid7().hex}"


def first_id(prefix: str, at: datetime) -> str:
    """No id that was born at `at` or later is smaller: a UUIDv7 begins with 48 bits of milliseconds."""
    return f"{prefix}_{int(at.timestamp() * 1000):012x}"
