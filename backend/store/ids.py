"""Our ids: a prefix that says what it names and a UUIDv7, so that ids sort by their time of birth. Opaque, never reused."""

from __future__ import annotations

import uuid6


def new_id(prefix: str) -> str:
    return f"{prefix}_{uuid6.uuid7().hex}"
