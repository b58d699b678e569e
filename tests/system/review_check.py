"""Is what reviewers were told what the ledger holds, each by whom it was said, once, and by the rules?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from sqlmodel import select

from backend import wire
from backend.store.database import Store
from backend.store.keyring import Keyring
from backend.store.tables import AuditRow, Decision, DistinctPair, DuplicateCase, Subject
from tests.system.planted_queue import PlantedCase
from tests.system.review_log import ReviewLog, Said
from tests.system.review_replay import Replay

SLACK_S = 0.005
"""SQLite's clock has milliseconds."""


@dataclass(frozen=True)
class Rows:
    """All that the ledger holds on the review."""

    cases: Mapping[str, DuplicateCase]
    decisions: Sequence[Decision]
    subjects: Sequence[Subject]
    apart: Sequence[DistinctPair]
    trail: Sequence[AuditRow]

    def of_cases(self) -> Mapping[str, list[Decision]]:
        found = defaultdict(list)
        for row in self.decisions:
            found[row.case_id].append(row)
        return found


@dataclass
class Found:
    lost: list[str] = field(default_factory=list)
    """acknowledged, and not in the history of its case exactly once"""
    invented: list[str] = field(default_factory=list)
    """in the history, and sent by nobody"""
    wrong_actor: list[str] = field(default_factory=list)
    """in the audit trail under somebody else's name, or not at all"""
    against_the_rules: list[str] = field(default_factory=list)
    decisions: int = 0
    undone: int = 0


def read_rows(url: str, key_file: Path) -> Rows:
    with closing(Store.open(url, keyring=Keyring.load(key_file))) as store, store.read() as session:
        return Rows(
            cases={case.id: case for case in session.exec(select(DuplicateCase))},
            decisions=session.exec(select(Decision)).all(),
            subjects=session.exec(select(Subject)).all(),
            apart=session.exec(select(DistinctPair)).all(),
            trail=session.exec(select(AuditRow)).all(),
        )


def check(
    rows: Rows,
    log: ReviewLog,
    planted: Sequence[PlantedCase],
    *,
    histories: Mapping[str, wire.Case],
    supervisors: Collection[str],
    twice_if_certain: bool = True,
) -> Found:
    """`histories`: the cases as the API shows them in the end."""
    found = Found(decisions=len(rows.decisions), undone=sum(row.undone_by is not None for row in rows.decisions))
    found.lost += _lost(rows, log.said, histories)
    found.invented += _invented(rows, log.said)
    found.wrong_actor += [*_decisions_of_others(rows, log.said), *_claims_of_others(rows, log)]
    of_cases = rows.of_cases()
    for case in planted:
        replay = Replay(case.certain and twice_if_certain, supervisors)
        found.against_the_rules += [f"{case.id}: {wrong}" for wrong in replay.play(of_cases[case.id])]
        if rows.cases[case.id].state != "resolved":
            found.against_the_rules.append(f"{case.id} is {rows.cases[case.id].state}")
    found.against_the_rules += _wrong_effects(rows, planted)
    found.against_the_rules += [
        f"{case_id}: decided at {version} and, sent again, not answered as before"
        for case_id, version in log.repeated_otherwise
        if not any(row.version > version for row in of_cases[case_id])
    ]
    return found


def _lost(rows: Rows, said: Iterable[Said], histories: Mapping[str, wire.Case]) -> list[str]:
    kept = defaultdict(list)
    for row in rows.decisions:
        kept[row.case_id, row.version, row.actor, row.verdict, row.survivor_id].append(row.id)
    shown = {case_id: Counter(one.id for one in case.decisions) for case_id, case in histories.items()}
    return [
        str(one)
        for one in said
        if one.answered is not None
        and (
            len(ids := kept[one.case_id, one.version, one.person, one.verdict, one.survivor]) != 1
            or shown[one.case_id][ids[0]] != 1
        )
    ]


def _invented(rows: Rows, said: Iterable[Said]) -> list[str]:
    sent = {(one.case_id, one.version, one.person, one.verdict, one.survivor) for one in said}
    unknown = [row for row in rows.decisions if (row.case_id, row.version, row.actor, row.verdict, row.survivor_id) not in sent]
    return [row.id for row in unknown]


# --- the audit trail ----------------------------------------------------------------------------------------------


def _decisions_of_others(rows: Rows, said: Iterable[Said]) -> list[str]:
    """Whoever sent it stands in the trail as a person, with the session of the sign-in; once."""
    person = {(one.case_id, one.version): one.person for one in said if one.answered is not None}
    told = defaultdict(list)
    for event in rows.trail:
        if event.action in ("case.decide", "case.undo"):
            told[event.detail["decision"]].append(event)
    wrong = []
    for row in rows.decisions:
        action = "case.undo" if row.verdict == "undo" else "case.decide"
        events = [(one.action, one.object_id, *_who(one)) for one in told[row.id]]
        if events != [(action, row.case_id, *_signed(person.get((row.case_id, row.version), row.actor)))]:
            wrong.append(f"{row.id} of {row.actor}: {events}")
    return wrong + [f"{decision} is in the trail alone" for decision in told.keys() - {row.id for row in rows.decisions}]


def _claims_of_others(rows: Rows, log: ReviewLog) -> list[str]:
    """Each acknowledged claim is in the trail, at its time; and who has more there had as many that were never answered."""
    left: dict[tuple[str, str | None], list[AuditRow]] = defaultdict(list)
    wrong = []
    for event in rows.trail:
        if event.action in ("case.claim", "case.takeover"):
            left[event.actor, event.object_id].append(event)
            if _who(event) != _signed(event.actor):
                wrong.append(f"a claim by {_who(event)}")
    for hold in log.holds:
        events = left[hold.person, hold.case_id]
        mine = next((one for one in events if hold.asked - SLACK_S <= one.at.timestamp() <= hold.answered + SLACK_S), None)
        if mine is None:
            wrong.append(f"{hold.case_id}: no claim by {hold.person}")
        else:
            events.remove(mine)
    unanswered = Counter(person for person, _ in log.unanswered_claims)
    more = Counter(actor for (actor, _), events in left.items() for _ in events)
    return wrong + [f"{actor}: {count} claims too many" for actor, count in (more - unanswered).items()]


def _who(event: AuditRow) -> tuple[str, str, str | None]:
    return event.actor, event.actor_kind, event.sid


def _signed(person: str) -> tuple[str, str, str]:
    return person, "person", f"ses_{person.removeprefix('usr_')}"


# --- what decisions did -------------------------------------------------------------------------------------------


def _wrong_effects(rows: Rows, planted: Sequence[PlantedCase]) -> list[str]:
    """Records are merged, or set apart, by the one decision in force of their case and by nothing else."""
    in_force = {row.case_id: row for row in rows.decisions if row.applied and row.undone_by is None}
    merged = {subject.id: (subject.merged_into, subject.merged_by) for subject in rows.subjects if subject.merged_into}
    apart = {(frozenset({row.a_subject_id, row.b_subject_id}), row.decision_id) for row in rows.apart}
    due_merged, due_apart = {}, set()
    for case in planted:
        row = in_force.get(case.id)
        if row is not None and row.verdict == "same":
            (loser,) = {case.older, case.newer} - {row.survivor_id}
            due_merged[loser] = (row.survivor_id, row.id)
        elif row is not None and row.verdict in ("different", "twin_or_relative"):
            due_apart.add((frozenset({case.older, case.newer}), row.id))
    wrong = [f"merged without being due: {one}" for one in merged.items() - due_merged.items()]
    wrong += [f"due and not merged: {one}" for one in due_merged.items() - merged.items()]
    return wrong + [f"set apart without being due, or due and not: {one}" for one in apart ^ due_apart]
