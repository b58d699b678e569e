"""What happened to one subject, as rows: from the record, its cases, and, for those who may see it, the audit trail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from backend import wire
from dashboard import phrases
from dashboard.desk import WORDS
from dashboard.tables.trail import who

HEADS = ["When", "What", "Who"]
ACTIONS = {
    "subject.enrol": "enrolled",
    "subject.reject": "refused as a certain duplicate",
    "subject.patch": "changed",
    "subject.export": "exported",
    "subject.erase": "erased",
    "sample.add": "samples added",
    "sample.accept": "a sample was accepted by a reviewer",
    "sample.erase": "a sample was erased",
}


@dataclass(frozen=True)
class Happened:
    at: datetime
    what: str
    who: str = phrases.NOTHING


def of_record(subject: wire.Subject) -> list[Happened]:
    """What the record itself says."""
    samples = [Happened(sample.created_at, f"sample {place} added") for place, sample in enumerate(subject.samples, start=1)]
    return [Happened(subject.created_at, "enrolled"), *samples]


def of_cases(summaries: Iterable[wire.CaseSummary], read: Iterable[wire.Case]) -> list[Happened]:
    """`read`: those of the cases whose decisions are known."""
    opened = [
        Happened(one.created_at, f"put before reviewers: score {one.score:.3f}, from {one.source} ({phrases.short_id(one.id)})")
        for one in summaries
    ]
    decided = [_decision(one, case.id) for case in read for one in case.decisions]
    return opened + decided


def of_trail(events: Iterable[wire.AuditEvent], names: Mapping[str, str]) -> list[Happened]:
    """Each event in words; one that has none keeps its code. `names`: of keys, by id."""
    return [Happened(event.at, _event(event), who(event.actor, names)) for event in events]


def rows(happened: Sequence[Happened], now: float, zone: tzinfo) -> list[tuple[str, str, str]]:
    """Newest first."""
    ordered = sorted(happened, key=lambda one: one.at, reverse=True)
    return [(phrases.when(one.at, now, zone), one.what, one.who) for one in ordered]


def _event(event: wire.AuditEvent) -> str:
    what = ACTIONS.get(event.action, event.action)
    fields = event.detail.get("fields")
    return f"{what}: {', '.join(str(field).replace('_', ' ') for field in fields)}" if isinstance(fields, list) else what


def _decision(one: wire.DecisionRecord, case_id: str) -> Happened:
    word = "a decision was undone" if one.verdict == "undo" else f"decided: {WORDS[wire.Verdict(one.verdict)].lower()}"
    since = " (undone since)" if one.undone else ""
    return Happened(one.at, f"{word}{since} ({phrases.short_id(case_id)})", one.actor_name)


def merging(case: wire.Case) -> wire.DecisionRecord | None:
    """The decision by which the subjects of a case are one; None where none stands."""
    if case.state is not wire.CaseState.resolved:
        return None
    standing = [one for one in case.decisions if not one.undone and one.verdict != "undo"]
    return standing[-1] if standing and standing[-1].verdict == wire.Verdict.same else None
