"""The two trails as rows and as files: pure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from backend import wire
from dashboard import phrases
from monitor import wire as monitor_wire

EVENTS = ("seq", "position", "at", "actor", "action", "object_id", "detail", "hash")
ACTIONS = ("id", "at", "actor", "action", "target", "outcome")
# What a spreadsheet takes for a formula when a cell begins with it (OWASP, CSV injection).
DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n")
PAGES = {"sub": "/subjects?subject="}


@dataclass(frozen=True)
class Row:
    """One line of a trail; `link` leads to what it is about, where a page shows it."""

    when: str
    who: str
    who_id: str
    what: str
    on: str
    on_id: str
    link: str | None
    about: str


def events(items: Iterable[wire.AuditEvent], names: Mapping[str, str], zone: tzinfo, now: float) -> list[Row]:
    """`names`: of keys, by id."""
    return [
        Row(
            phrases.when(one.at, now, zone),
            who(one.actor, names),
            one.actor,
            one.action,
            _on(one.object_id, names),
            one.object_id or "",
            _link(one.object_id),
            details(one.detail),
        )
        for one in items
    ]


def actions(items: Iterable[monitor_wire.Action], names: Mapping[str, str], zone: tzinfo, now: float) -> list[Row]:
    return [
        Row(
            phrases.when(one.at, now, zone),
            who(one.actor, names),
            one.actor,
            one.action.replace("_", " "),
            _on(one.target, names),
            one.target,
            f"/alerts?alert={one.target}" if one.target.startswith("alr_") else None,
            one.outcome,
        )
        for one in items
    ]


def who(actor: str, names: Mapping[str, str]) -> str:
    """A person or a key by name, where it is known."""
    return f"{names[actor]} (key)" if actor in names else phrases.actor(actor)


def details(detail: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {_plain(value)}" for name, value in detail.items())


def verdict(found: wire.AuditVerification, checked: int, restores: int) -> tuple[str, str]:
    """Tone and sentence; `checked` and `restores`: of all stretches together."""
    if not found.holds:
        return "bad", f"BROKEN at place {found.broken_at}: {found.why}."
    head = f"the head is place {found.head.position:,}, hash {found.head.hash[:16]}"
    if found.next is not None:
        return "info", f"Whole so far: {phrases.counted(checked, 'event')} of {found.head.position:,} followed."
    waiting = f" {phrases.counted(found.head.waiting, 'event')} not sealed yet." if found.head.waiting else ""
    restored = f" A backup was restored {phrases.counted(restores, 'time')}." if restores else ""
    return "good", f"The chain is whole: {phrases.counted(checked, 'event')} followed; {head}.{waiting}{restored}"


def csv_head(columns: Iterable[str]) -> str:
    return _csv(list(columns))


def csv_lines(items: Iterable[wire.AuditEvent | monitor_wire.Action], columns: Iterable[str]) -> str:
    """Each value as text; what a spreadsheet would take for a formula begins with an apostrophe."""
    wanted = list(columns)
    return "".join(_csv([_cell(getattr(one, name)) for name in wanted]) for one in items)


def json_lines(items: Iterable[wire.AuditEvent | monitor_wire.Action]) -> str:
    return "".join(one.model_dump_json() + "\n" for one in items)


def safe(text: str) -> str:
    return f"'{text}" if text.startswith(DANGEROUS) else text


def _csv(cells: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    return safe(str(value))


def _on(identifier: str | None, names: Mapping[str, str]) -> str:
    if not identifier:
        return phrases.NOTHING
    return names.get(identifier) or phrases.actor(identifier)


def _link(identifier: str | None) -> str | None:
    kind = (identifier or "").partition("_")[0]
    return f"{PAGES[kind]}{identifier}" if kind in PAGES else None


def _plain(value: object) -> str:
    if isinstance(value, str):
        return phrases.short_id(value) if "_" in value and len(value) > 24 else value
    return json.dumps(value, separators=(", ", ": "))
