"""Who did what: asked as the person, at the backend and at the monitor."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from backend import wire
from dashboard import identity, parts
from dashboard.fetch.seen import Seen, own
from dashboard.roles import Right, may
from monitor import wire as monitor_wire

PAGE = 50


@dataclass(frozen=True)
class Filter:
    """Exact conditions, all of which must hold; `after` is inclusive, `before` is not."""

    actor: str | None = None
    action: str | None = None
    object_id: str | None = None
    after: datetime | None = None
    before: datetime | None = None

    def query(self) -> dict[str, str]:
        """As the parameters of a URL."""
        given = {"actor": self.actor, "action": self.action, "object_id": self.object_id}
        times = {"after": self.after, "before": self.before}
        return {name: value for name, value in given.items() if value} | {
            name: at.isoformat() for name, at in times.items() if at is not None
        }


def events(wanted: Filter, cursor: str | None) -> Seen[wire.Page[wire.AuditEvent]]:
    def ask() -> wire.Page[wire.AuditEvent]:
        return parts.current().backend.audit(
            cursor=cursor,
            limit=PAGE,
            actor=wanted.actor,
            action=wanted.action,
            object_id=wanted.object_id,
            after=wanted.after,
            before=wanted.before,
        )

    return own().ask(("audit", wanted, cursor), ask, parts.current().now)


def operators(cursor: str | None) -> Seen[monitor_wire.Page[monitor_wire.Action]]:
    def ask() -> monitor_wire.Page[monitor_wire.Action]:
        return parts.current().operator.audit(cursor=cursor, limit=PAGE)

    return own().ask(("operators", cursor), ask, parts.current().now)


def key_names() -> dict[str, str]:
    """Of API keys by id, for those who may read them; a failure only leaves ids where names would be."""
    if not may(identity.person().roles, Right.manage):
        return {}
    seen = own().ask("key-names", parts.current().backend.api_keys, parts.current().now)
    return {one.id: one.name for one in seen.value or []}
