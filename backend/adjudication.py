"""The review queue: claims that two reviewers never share, decisions, undo. People only; the routes see to that."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from backend import wire
from backend.errors import (
    CaseJoined,
    CaseNotFound,
    CaseStateConflict,
    Forbidden,
    LeaseHeld,
    LeaseLost,
    NothingToReview,
    VersionConflict,
)
from backend.review_policy import (
    Judged,
    Round,
    SecondReview,
    decisions_are_hidden,
    may_undo,
    may_work_on,
    needs_second,
    round_of,
    state_after,
    state_left,
)
from backend.store import case_events, clusters, verdicts
from backend.store.audit import Audit
from backend.store.caller import Caller
from backend.store.case_view import holder, records_of, summaries, view
from backend.store.database import Store
from backend.store.decisions import standing, waiting, was_undone
from backend.store.ids import new_id
from backend.store.paging import decode_cursor, encode_cursor, total_of
from backend.store.pairs import band_of_case, open_pairs
from backend.store.queue import PRESSING_FIRST, after, free, in_state, open_to
from backend.store.sealing import key_of
from backend.store.tables import Decision, DuplicateCase, Subject
from backend.wire import CaseState, Verdict

HELD_AT_MOST = 2
"""One under review and one ahead; claiming a third gives back the one whose lease ends first."""


class Adjudication:
    def __init__(self, store: Store, lease_s: float = 180.0, second_review: SecondReview = SecondReview.none) -> None:
        self._store = store
        self._second_review = second_review
        self._lease = timedelta(seconds=lease_s)
        self._audit = Audit(store)

    # --- reading --------------------------------------------------------------------------------------------------

    def list(
        self,
        *,
        state: wire.CaseState | None = None,
        cursor: str | None = None,
        limit: int = 50,
        min_score: float | None = None,
    ) -> wire.Page[wire.CaseSummary]:
        """The most pressing first; all states where none is asked for."""
        with self._store.read() as session:
            rows = select(DuplicateCase).where(*self._here(), *in_state(state, self._store.now(session)))
            if min_score is not None:
                rows = rows.where(col(DuplicateCase.score) >= min_score)
            total, total_is = total_of(session, rows)
            if cursor is not None:
                rows = rows.where(after(*decode_cursor(cursor, float, str)))
            found = session.exec(rows.order_by(*PRESSING_FIRST).limit(limit + 1)).all()
            page = found[:limit]
            following = encode_cursor(page[-1].priority, page[-1].id) if len(found) > limit else None
            return wire.Page(items=summaries(self._store, session, page), next=following, total=total, total_is=total_is)

    def read(self, case_id: str, caller: Caller) -> wire.Case:
        """Raises CaseNotFound, and CaseJoined with the id of the case that lives on."""
        with self._store.read() as session:
            return self._view(session, self._case(session, case_id))

    # --- claims ---------------------------------------------------------------------------------------------------

    def next(self, caller: Caller) -> wire.Case:
        """Claims the most pressing case that is free for this person, in one transaction; raises NothingToReview."""
        with self._store.write() as session:
            now = self._store.now(session)
            query = select(DuplicateCase).where(*self._here(), free(now), open_to(caller)).order_by(*PRESSING_FIRST).limit(1)
            case = session.exec(query).first()
            if case is None:
                raise NothingToReview()
            self._take(session, case, caller, "case.claim")
            return self._view(session, case)

    def claim(self, case_id: str, request: wire.ClaimRequest | None, caller: Caller) -> wire.Case:
        """Claiming what one holds renews it.

        Raises:
            CaseNotFound, CaseJoined, VersionConflict, LeaseHeld.
            CaseStateConflict: it is resolved. Forbidden: its round is not for this person.
        """
        with self._store.write() as session:
            case = self._case(session, case_id)
            if request is not None and request.version is not None and request.version != case.version:
                raise VersionConflict()
            self._must_be_workable(session, case, caller)
            if holder(case, self._store.now(session)) not in (None, caller.id):
                raise LeaseHeld()
            self._take(session, case, caller, "case.claim")
            return self._view(session, case)

    def heartbeat(self, case_id: str, caller: Caller) -> wire.Case:
        """Raises LeaseLost where the claim has ended, CaseJoined where the case has."""
        with self._store.write() as session:
            case = self._held(session, case_id, caller)
            case.lease_until = self._store.now(session) + self._lease
            return self._view(session, case)

    def release(self, case_id: str, caller: Caller) -> wire.Case:
        """Give it back undecided; raises LeaseLost where it is not held."""
        with self._store.write() as session:
            case = self._held(session, case_id, caller)
            _give_back(case)
            self._audit.append(session, caller, "case.release", case.id)
            return self._view(session, case)

    def takeover(self, case_id: str, caller: Caller) -> wire.Case:
        """For supervisors: whoever holds it loses it."""
        if not caller.supervises:
            raise Forbidden()
        with self._store.write() as session:
            case = self._case(session, case_id)
            self._must_be_workable(session, case, caller)
            self._take(session, case, caller, "case.takeover")
            return self._view(session, case)

    # --- decisions ------------------------------------------------------------------------------------------------

    def decide(self, case_id: str, request: wire.DecideRequest, caller: Caller) -> wire.Case:
        """From the holder, or from anybody while nobody holds it. The same decision sent again is answered again.

        Raises:
            VersionConflict: the case changed since the version that was judged. LeaseHeld: somebody else holds it.
            SurvivorNotInCase: `same` names who remains. CaseStateConflict: resolved, or against an earlier decision.
            CaseNotFound, CaseJoined, Forbidden.
        """
        with self._store.write() as session:
            case = self._case(session, case_id)
            if request.version != case.version:
                if self._was_decided(session, case, request, caller):
                    return self._view(session, case)
                raise VersionConflict()
            self._must_be_workable(session, case, caller)
            now = self._store.now(session)
            if holder(case, now) not in (None, caller.id):
                raise LeaseHeld()
            self._decide(session, case, request, caller, now)
            return self._view(session, case)

    def undo(self, case_id: str, request: wire.UndoRequest, caller: Caller) -> wire.Case:
        """Takes the last decision back (of two who agreed: both) and opens the case again.

        The answer may be an older case that it now belongs to. The same undo sent again is answered again.

        Raises:
            VersionConflict, LeaseHeld, CaseNotFound, CaseJoined. CaseStateConflict: there is no decision to undo.
        """
        with self._store.write() as session:
            case = self._case(session, case_id)
            if request.version != case.version:
                if was_undone(session, case.id, actor=caller.id, version=request.version):
                    return self._view(session, case)
                raise VersionConflict()
            now = self._store.now(session)
            if holder(case, now) not in (None, caller.id):
                raise LeaseHeld()
            said = standing(session, case.id)
            if not said:
                raise CaseStateConflict("There is no decision to undo")
            undone = said[-1]
            own = undone.actor == caller.id
            if not may_undo(Round(undone.round), applied=undone.applied, own=own, supervises=caller.supervises):
                raise Forbidden("Only a supervisor takes back an arbitration, or what somebody else passed on to one")
            row = self._row(session, case, caller, now, verdict="undo", note=request.note)
            row.undoes = undone.id
            for taken_back in said[-2:] if undone.round == Round.second and undone.applied else [undone]:
                taken_back.undone_by = row.id
            loosened = verdicts.undo(self._store, session, case, undone)
            _give_back(case)
            case = clusters.reopen(session, case, loosened=loosened, at=now)
            if case.state != CaseState.resolved:
                case.state = state_left([Verdict(one.verdict) for one in waiting(standing(session, case.id))])
            self._audit.append(session, caller, "case.undo", case.id, {"decision": row.id, "undoes": undone.id})
            return self._view(session, case)

    def _decide(self, session: Session, case: DuplicateCase, request: wire.DecideRequest, caller: Caller, now: datetime) -> None:
        first = self._first_of_two(session, case)
        row = self._row(session, case, caller, now, verdict=request.verdict, note=request.note)
        if request.verdict is Verdict.same:
            row.survivor_id = verdicts.survivor_of(session, case, request.survivor_id)
        outcome = state_after(
            CaseState(case.state),
            _judged(row),
            earlier=_judged(first) if first else None,
            two_must_agree=needs_second(self._second_review, band_of_case(open_pairs(session, case.id))),
        )
        if outcome is CaseState.resolved:
            row.applied = True
            verdicts.apply(self._store, session, case, row, caller=caller)
            clusters.resolve(session, case, at=now, reason="decided")
            case_events.decided(session, case, row, at=now)
        else:
            case.state, case.changed_at = outcome, now
            case.version += 1
            _give_back(case)
        # The trail is read by many: what the first of two decided enters it with the second's.
        told = [] if outcome is CaseState.second_review else [*([first] if first else []), row]
        detail: dict[str, object] = {"decision": row.id, "verdict": None, "survivor": None} if not told else _told(row)
        if len(told) > 1:
            detail["first"] = _told(told[0])
        self._audit.append(session, caller, "case.decide", case.id, detail)
        session.flush()

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

    def _was_decided(self, session: Session, case: DuplicateCase, request: wire.DecideRequest, caller: Caller) -> bool:
        """The answer was lost on its way, and the request came again."""
        said = standing(session, case.id)
        if not said:
            return False
        last = said[-1]
        alike = (last.actor, last.verdict, last.version) == (caller.id, request.verdict, request.version)
        return alike and (request.verdict is not Verdict.same or verdicts.was_named(session, last, request.survivor_id))

    # --- all ------------------------------------------------------------------------------------------------------

    def _case(self, session: Session, case_id: str) -> DuplicateCase:
        case = session.get(DuplicateCase, case_id)
        if case is None or case.gallery_id != self._store.gallery_id:
            raise CaseNotFound()
        if case.joined_into is None:
            return case
        into: DuplicateCase | None = case
        while into is not None and into.joined_into is not None:
            into = session.get(DuplicateCase, into.joined_into)
        raise CaseJoined(into.id if into is not None else case.joined_into)

    def _held(self, session: Session, case_id: str, caller: Caller) -> DuplicateCase:
        case = self._case(session, case_id)
        if holder(case, self._store.now(session)) != caller.id:
            raise LeaseLost()
        return case

    def _must_be_workable(self, session: Session, case: DuplicateCase, caller: Caller) -> None:
        state = CaseState(case.state)
        if state is CaseState.resolved:
            raise CaseStateConflict("The case is resolved: undo its decision to open it again")
        deciders = {row.actor for row in standing(session, case.id)}
        if not may_work_on(state, actor=caller.id, supervises=caller.supervises, deciders=deciders):
            raise Forbidden("This round of the case is for somebody else: a person who has not decided it, with the right role")

    def _take(self, session: Session, case: DuplicateCase, caller: Caller, action: str) -> None:
        now = self._store.now(session)
        mine = select(DuplicateCase).where(
            *self._here(), DuplicateCase.lease_holder == caller.id, col(DuplicateCase.lease_until) > now
        )
        others = [one for one in session.exec(mine.order_by(col(DuplicateCase.lease_until))) if one.id != case.id]
        for surplus in others[: max(0, len(others) - (HELD_AT_MOST - 1))]:
            _give_back(surplus)
        case.lease_holder, case.lease_holder_name, case.lease_until = caller.id, caller.name, now + self._lease
        self._audit.append(session, caller, action, case.id)
        session.flush()

    def _here(self) -> tuple[ColumnElement[bool], ...]:
        return col(DuplicateCase.gallery_id) == self._store.gallery_id, col(DuplicateCase.joined_into).is_(None)

    def _view(self, session: Session, case: DuplicateCase) -> wire.Case:
        return view(self._store, session, case, hide_unapplied=decisions_are_hidden(CaseState(case.state)))


def _judged(row: Decision) -> Judged:
    return Judged(Verdict(row.verdict), row.survivor_id)


def _told(row: Decision) -> dict[str, object]:
    return {"decision": row.id, "verdict": row.verdict, "survivor": row.survivor_id}


def _give_back(case: DuplicateCase) -> None:
    case.lease_holder = case.lease_holder_name = case.lease_until = None
