"""Deciding one case and taking a decision back, in the caller's transaction: for one case at a time, and for many in bulk.

Who may, and that the case is the one that was judged, is checked before: see `cases`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from backend.errors import CaseStateConflict, Forbidden
from backend.review_policy import Judged, Round, SecondReview, may_undo, needs_second, round_of, state_after, state_left
from backend.store import aside, case_events, clusters, merges, verdicts
from backend.store.audit import Audit
from backend.store.caller import SYSTEM, Caller
from backend.store.case_view import records_of
from backend.store.database import Store
from backend.store.decisions import standing, waiting, with_its_first
from backend.store.ids import new_id
from backend.store.pairs import band_of_case, open_pairs
from backend.store.sealing import key_of
from backend.store.tables import Decision, DuplicateCase, Subject
from backend.store.verdicts import Undone
from backend.wire import CaseState, Verdict


@dataclass(frozen=True)
class Ruling:
    """What is said of a case. `survivor_id` belongs to `same`, `reason` is a code of the site, `bulk_id` names its bulk."""

    verdict: Verdict
    survivor_id: str | None = None
    note: str | None = None
    reason: str | None = None
    bulk_id: str | None = None


class Deciding:
    def __init__(self, store: Store, second_review: SecondReview) -> None:
        self._store, self._second_review = store, second_review
        self._audit = Audit(store)

    def two_must_agree(self, session: Session, case: DuplicateCase) -> bool:
        return needs_second(self._second_review, band_of_case(open_pairs(session, case.id)))

    def decide(self, session: Session, case: DuplicateCase, ruling: Ruling, caller: Caller, now: datetime) -> Decision:
        """Raises SurvivorNotInCase, and CaseStateConflict where it would contradict an earlier decision."""
        first = self._first_of_two(session, case)
        row = self._row(session, case, caller, now, verdict=ruling.verdict, note=ruling.note)
        row.reason, row.bulk_id = ruling.reason, ruling.bulk_id
        if ruling.verdict is Verdict.same:
            row.survivor_id = verdicts.survivor_of(session, case, ruling.survivor_id)
            merges.people_to_merge(session, case)
        outcome = state_after(
            CaseState(case.state),
            _judged(row),
            earlier=_judged(first) if first else None,
            two_must_agree=self.two_must_agree(session, case),
        )
        if outcome is CaseState.resolved:
            row.applied = True
            verdicts.apply(self._store, session, case, row, caller=caller)
            clusters.resolve(session, case, at=now, reason="decided")
            case_events.decided(session, case, row, at=now)
        else:
            case.state, case.changed_at = outcome, now
            case.version += 1
            clusters.end_lease(case)
        self._tell(session, case, row, first, outcome, caller)
        session.flush()
        return row

    def undo(
        self,
        session: Session,
        case: DuplicateCase,
        caller: Caller,
        now: datetime,
        *,
        note: str | None,
        bulk_id: str | None = None,
    ) -> DuplicateCase:
        """The case, open again: it may be an older one that it now belongs to.

        Raises:
            CaseStateConflict: there is no decision to undo, or a later merge cannot be without it. Forbidden.
        """
        said = standing(session, case.id)
        if not said:
            raise CaseStateConflict("There is no decision to undo")
        undone = said[-1]
        own = undone.actor == caller.id
        if not may_undo(Round(undone.round), applied=undone.applied, own=own, supervises=caller.supervises):
            raise Forbidden("Only a supervisor takes back an arbitration, or what was passed on to one")
        row = self._row(session, case, caller, now, verdict="undo", note=note)
        row.undoes, row.bulk_id = undone.id, bulk_id
        for taken_back in with_its_first(said, undone):
            taken_back.undone_by = row.id
        settled = verdicts.undo(self._store, session, case, undone)
        clusters.end_lease(case)
        case = clusters.reopen(session, case, loosened=settled.loosened, at=now)
        case = self._ask_what_was_settled(session, case, settled, row)
        if case.state == CaseState.open:  # what a join left with a supervisor stays there
            case.state = state_left([Verdict(one.verdict) for one in waiting(standing(session, case.id))])
        detail: dict[str, object] = {"decision": row.id, "undoes": undone.id, **({"bulk": bulk_id} if bulk_id else {})}
        detail |= {"merged_again": settled.merged_again} if settled.merged_again else {}
        self._audit.append(session, caller, "case.undo", case.id, detail)
        return case

    def _ask_what_was_settled(self, session: Session, case: DuplicateCase, settled: Undone, row: Decision) -> DuplicateCase:
        """What was found meanwhile and needed no asking, because of what is taken back now. The case that `case` is then."""
        records = settled.loosened | settled.no_longer_distinct
        for placed in aside.reconsider(session, records, gallery_id=case.gallery_id, at=row.at):
            for case_id in placed.opened:
                self._audit.append(session, SYSTEM, "case.open", case_id, {"undo": row.id})
            if placed.joined:
                joined = {"undo": row.id, "joined": sorted(placed.joined)}
                self._audit.append(session, SYSTEM, "case.join", placed.case.id, joined)
            case = placed.case if case.id in placed.joined else case
        return case

    def _tell(
        self, session: Session, case: DuplicateCase, row: Decision, first: Decision | None, outcome: CaseState, caller: Caller
    ) -> None:
        """The trail is read by many: what the first of two decided, and why, enters it with the second's."""
        if outcome is CaseState.second_review:
            detail: dict[str, object] = {"decision": row.id, "verdict": None, "survivor": None, "reason": None}
        else:
            detail = _told(row) | ({"first": _told(first)} if first else {})
            detail |= {"bulk": row.bulk_id} if row.bulk_id else {}
        self._audit.append(session, caller, "case.decide", case.id, detail)

    def _first_of_two(self, session: Session, case: DuplicateCase) -> Decision | None:
        """What waits for a second review."""
        said = waiting(standing(session, case.id)) if case.state == CaseState.second_review else []
        return said[-1] if said else None

    def _row(
        self, session: Session, case: DuplicateCase, caller: Caller, now: datetime, *, verdict: str, note: str | None
    ) -> Decision:
        row = Decision(
            id=new_id("dec"),
            gallery_id=case.gallery_id,
            case_id=case.id,
            version=case.version,
            round=round_of(CaseState(case.state)),
            verdict=verdict,
            applied=False,
            actor=caller.id,
            actor_name=caller.name,
            at=now,
        )
        if note:
            self._seal_note(session, case, row, note)
        session.add(row)
        session.flush()
        return row

    def _seal_note(self, session: Session, case: DuplicateCase, row: Decision, note: str) -> None:
        """With the key of the case's first subject that has one: the note goes when that person is erased (or the other)."""
        for record in records_of(open_pairs(session, case.id)):
            subject = session.get(Subject, record)
            key = key_of(self._store.keyring, subject) if subject is not None else None
            if key is not None:
                row.note_subject_id, row.sealed_note = record, key.seal(note.encode(), context=f"note:{row.id}")
                return


def _judged(row: Decision) -> Judged:
    return Judged(Verdict(row.verdict), row.survivor_id)


def _told(row: Decision) -> dict[str, object]:
    return {"decision": row.id, "verdict": row.verdict, "survivor": row.survivor_id, "reason": row.reason}
