"""The review queue: claims that two reviewers never share, decisions, undo. People only; the routes see to that."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Unpack

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from backend import wire
from backend.cases import held_case, living_case, must_be_free, must_be_workable, the_case
from backend.deciding import Deciding, Ruling
from backend.errors import CaseJoined, Forbidden, NothingToReview, VersionConflict
from backend.evidence import Evidence
from backend.review_codes import ALL_CODES, Codes
from backend.review_policy import SecondReview
from backend.store import clusters, verdicts
from backend.store.audit import Audit
from backend.store.caller import Caller
from backend.store.case_view import summaries
from backend.store.database import Store
from backend.store.decisions import last_of
from backend.store.due import WAITING, first_due
from backend.store.forest import tree
from backend.store.paging import decode_cursor, encode_cursor, total_of
from backend.store.queue import (
    PRESSING_FIRST,
    UNDER_REVIEW,
    Filters,
    Order,
    after,
    due_cursor,
    free,
    narrowed,
    of_subject,
    open_to,
)
from backend.store.tables import DuplicateCase
from backend.wire import Verdict

HELD_AT_MOST = 2
"""One under review and one ahead; claiming a third gives back the one whose lease ends first."""


Cases = SelectOfScalar[DuplicateCase]
Found = tuple[Sequence[DuplicateCase], str | None]
"""a page, and the cursor of the next"""


class Adjudication:
    def __init__(
        self,
        store: Store,
        evidence: Evidence,
        *,
        lease_s: float = 180.0,
        second_review: SecondReview = SecondReview.none,
        codes: Codes = ALL_CODES,
    ) -> None:
        self._store = store
        self._evidence, self._due = evidence, evidence.due
        self._lease = timedelta(seconds=lease_s)
        self._audit = Audit(store)
        self._codes = codes
        self._deciding = Deciding(store, second_review)

    # --- reading --------------------------------------------------------------------------------------------------

    def list(
        self, *, cursor: str | None = None, limit: int = 50, order: Order = "priority", **filters: Unpack[Filters]
    ) -> wire.Page[wire.CaseSummary]:
        """The most pressing first; by `due` the longest overdue first, and no resolved ones. A cursor is of one order."""
        with self._store.read() as session:
            asked = narrowed(filters, due=self._due, now=self._store.now(session))
            if (subject_id := filters.get("subject_id")) is not None:
                asked.append(of_subject(session, tree(session, subject_id), gallery_id=self._store.gallery_id))
            rows = select(DuplicateCase).where(*self._here(), *asked)
            rows = rows.where(WAITING) if order == "due" else rows
            total, total_is = total_of(session, rows)
            find = self._due_first if order == "due" else self._pressing_first
            page, following = find(session, rows, cursor, limit)
            items = summaries(self._store, session, page, due=self._due)
            return wire.Page(items=items, next=following, total=total, total_is=total_is)

    def read(self, case_id: str, caller: Caller) -> wire.Case:
        """With the score of every two members. Raises CaseNotFound, and CaseJoined with the id of the case that lives on."""
        with self._store.read() as session:
            return self._evidence.with_matrix(session, self._view(session, the_case(self._store, session, case_id)))

    def _pressing_first(self, session: Session, rows: Cases, cursor: str | None, limit: int) -> Found:
        if cursor is not None:
            rows = rows.where(after(*decode_cursor(cursor, float, str)))
        found = session.exec(rows.order_by(*PRESSING_FIRST).limit(limit + 1)).all()
        page = found[:limit]
        return page, encode_cursor(page[-1].priority, page[-1].id) if len(found) > limit else None

    def _due_first(self, session: Session, rows: Cases, cursor: str | None, limit: int) -> Found:
        last = None if cursor is None else due_cursor(cursor)
        found = first_due(session, rows, self._due, after=last, limit=limit + 1)
        page = [case for _, case in found[:limit]]
        return page, encode_cursor(found[limit - 1][0].isoformat(), page[-1].id) if len(found) > limit else None

    # --- claims ---------------------------------------------------------------------------------------------------

    def next(self, caller: Caller, key: str | None = None) -> wire.Case:
        """Claims the most pressing case that is free for this person, in one transaction; raises NothingToReview.

        Asked again with the same `key` (that of idempotency), it is the same case, for as long as it is held.
        """
        digest = None if key is None else hashlib.sha256(key.encode()).hexdigest()
        with self._store.write() as session:
            now = self._store.now(session)
            if digest is not None:
                asked_before = session.exec(self._held_by(caller, now).where(DuplicateCase.lease_key == digest)).first()
                if asked_before is not None:
                    return self._view(session, asked_before)
            query = select(DuplicateCase).where(*self._here(), free(now), open_to(caller)).order_by(*PRESSING_FIRST).limit(1)
            case = session.exec(query).first()
            if case is None:
                raise NothingToReview()
            self._take(session, case, caller, "case.claim")
            case.lease_key = digest
            return self._view(session, case)

    def claim(self, case_id: str, request: wire.ClaimRequest | None, caller: Caller) -> wire.Case:
        """Claiming what one holds renews it.

        Raises:
            CaseNotFound, CaseJoined, VersionConflict, LeaseHeld.
            CaseStateConflict: it is resolved. Forbidden: its round is not for this person.
        """
        with self._store.write() as session:
            case = the_case(self._store, session, case_id)
            if request is not None and request.version is not None and request.version != case.version:
                raise VersionConflict()
            must_be_workable(session, case, caller)
            must_be_free(self._store, session, case, caller)
            self._take(session, case, caller, "case.claim")
            return self._view(session, case)

    def heartbeat(self, case_id: str, caller: Caller) -> wire.Case:
        """Raises LeaseLost where the claim has ended, CaseJoined where the case has."""
        with self._store.write() as session:
            case = held_case(self._store, session, case_id, caller)
            case.lease_until = self._store.now(session) + self._lease
            return self._view(session, case)

    def release(self, case_id: str, caller: Caller) -> wire.Case:
        """Give it back undecided; where nobody claims it, there is nothing to do. Raises LeaseLost where somebody else does."""
        with self._store.write() as session:
            case = the_case(self._store, session, case_id)
            if case.lease_holder is None:
                return self._view(session, case)
            case = held_case(self._store, session, case_id, caller)
            clusters.end_lease(case)
            self._audit.append(session, caller, "case.release", case.id)
            return self._view(session, case)

    def takeover(self, case_id: str, caller: Caller) -> wire.Case:
        """For supervisors: whoever holds it loses it."""
        if not caller.supervises:
            raise Forbidden()
        with self._store.write() as session:
            case = the_case(self._store, session, case_id)
            must_be_workable(session, case, caller)
            self._take(session, case, caller, "case.takeover")
            return self._view(session, case)

    # --- decisions ------------------------------------------------------------------------------------------------

    def decide(self, case_id: str, request: wire.DecideRequest, caller: Caller) -> wire.Case:
        """From the holder, or from anybody while nobody holds it. The same decision sent again is answered again.

        Raises:
            VerdictNotOffered, UnknownReason, NoteRequired: against what the site configured.
            VersionConflict: the case changed since the version that was judged. LeaseHeld: somebody else holds it.
            SurvivorNotInCase: `same` names who remains. CaseStateConflict: resolved, or against an earlier decision.
            CaseNotFound, CaseJoined, Forbidden.
        """
        self._codes.check(request.verdict, reason=request.reason, note=request.note)
        with self._store.write() as session:
            case = the_case(self._store, session, case_id)
            if request.version != case.version:
                if self._was_decided(session, case, request, caller):
                    return self._view(session, case)
                raise VersionConflict()
            must_be_workable(session, case, caller)
            must_be_free(self._store, session, case, caller)
            ruling = Ruling(request.verdict, request.survivor_id, request.note, request.reason)
            self._deciding.decide(session, case, ruling, caller, self._store.now(session))
            return self._view(session, case)

    def undo(self, case_id: str, request: wire.UndoRequest, caller: Caller) -> wire.Case:
        """Takes the last decision back (of two who agreed: both) and opens the case again.

        The answer may be an older case that it now belongs to. The same undo sent again is answered again.

        Raises:
            VersionConflict, LeaseHeld, CaseNotFound, CaseJoined. CaseStateConflict: there is no decision to undo.
        """
        with self._store.write() as session:
            case = living_case(self._store, session, case_id)
            if case.id != case_id or request.version != case.version:
                version = request.version if case.id == case_id else -request.version  # as it is kept after a join
                last = last_of(session, case.id, actor=caller.id, version=version)
                if last is not None and last.verdict == "undo":
                    return self._view(session, case)
                raise VersionConflict() if case.id == case_id else CaseJoined(case.id)
            must_be_free(self._store, session, case, caller)
            case = self._deciding.undo(session, case, caller, self._store.now(session), note=request.note)
            return self._view(session, case)

    def _was_decided(self, session: Session, case: DuplicateCase, request: wire.DecideRequest, caller: Caller) -> bool:
        """The answer was lost on its way, and the request came again."""
        last = last_of(session, case.id, actor=caller.id, version=request.version)
        if last is None or last.undone_by is not None or (last.verdict, last.reason) != (request.verdict, request.reason):
            return False
        return request.verdict is not Verdict.same or verdicts.was_named(session, last, request.survivor_id)

    # --- all ------------------------------------------------------------------------------------------------------

    def _take(self, session: Session, case: DuplicateCase, caller: Caller, action: str) -> None:
        now = self._store.now(session)
        mine = self._held_by(caller, now).order_by(col(DuplicateCase.lease_until))
        others = [one for one in session.exec(mine) if one.id != case.id]
        for surplus in others[: max(0, len(others) - (HELD_AT_MOST - 1))]:
            clusters.end_lease(surplus)
            self._audit.append(session, caller, "case.release", surplus.id)
        case.lease_holder, case.lease_holder_name, case.lease_until = caller.id, caller.name, now + self._lease
        case.lease_key = None
        self._audit.append(session, caller, action, case.id)
        session.flush()

    def _held_by(self, caller: Caller, now: datetime) -> Cases:
        return select(DuplicateCase).where(
            *self._here(),
            col(DuplicateCase.state).in_(UNDER_REVIEW),
            DuplicateCase.lease_holder == caller.id,
            col(DuplicateCase.lease_until) > now,
        )

    def _here(self) -> tuple[ColumnElement[bool], ...]:
        return col(DuplicateCase.gallery_id) == self._store.gallery_id, col(DuplicateCase.joined_into).is_(None)

    def _view(self, session: Session, case: DuplicateCase) -> wire.Case:
        return self._evidence.view(session, case)
