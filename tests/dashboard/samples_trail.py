"""The two trails, keys and what a verification says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from backend import wire
from monitor import wire as monitor_wire
from tests.dashboard.samples import now

HASH = "9f2c" * 16
KEY_ID = "key_0199f0c27d7b7000b2f1a1b2c3d4e5f6"


def event(number: int = 1, **changes: Any) -> wire.AuditEvent:
    values: dict[str, Any] = {
        "seq": number,
        "position": number,
        "at": now() - timedelta(minutes=number),
        "actor": "usr_ada",
        "action": "case.decide",
        "object_id": "case_0199f0c27d7b7000b2f1a1b2c3d4e5f6",
        "detail": {"verdict": "same", "version": 3},
        "hash": HASH,
    }
    return wire.AuditEvent(**(values | changes))


def action(number: int = 1, **changes: Any) -> monitor_wire.Action:
    values: dict[str, Any] = {
        "id": number,
        "at": now() - timedelta(minutes=number),
        "actor": "usr_grace",
        "action": "test_route",
        "target": "operators",
        "outcome": "delivered",
        "sentence": "",
    }
    return monitor_wire.Action(**(values | changes))


def head(position: int = 1200, waiting: int = 0) -> wire.AuditHead:
    return wire.AuditHead(position=position, hash=HASH, at=now(), waiting=waiting)


def verification(position: int = 1200, **changes: Any) -> wire.AuditVerification:
    values: dict[str, Any] = {
        "holds": True,
        "position": position,
        "hash": HASH,
        "checked": position,
        "broken_at": None,
        "why": None,
        "restores": [],
        "head": head(),
        "next": None,
    }
    return wire.AuditVerification(**(values | changes))


def key(number: int = 1, **changes: Any) -> wire.Key:
    values: dict[str, Any] = {
        "id": f"key_{number:032x}",
        "name": f"turnstile-{number}",
        "scopes": ["client"],
        "created_at": now() - timedelta(days=30),
        "expires_at": now() + timedelta(days=60),
        "last_used_at": now() - timedelta(minutes=3),
        "rate_per_minute": 600,
    }
    return wire.Key(**(values | changes))


def page(*items: Any, following: str | None = None) -> wire.Page[Any]:
    return wire.Page[Any](items=list(items), total=len(items), next=following)
