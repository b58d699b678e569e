"""Many cases in one request: those of two records with the very same picture, decided `same`; looked at before, undone at once.

Each case has a short transaction of its own, so that nobody waits long for the ledger lock, and is checked again in it. What a
first of two reviewers says must stay hidden, and a bulk says but one thing: where two must agree it decides nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from sqlmodel import Session, col, select

from backend import wire
from backend.cases import must_be_free, the_case
from backend.deciding import Deciding, Ruling
from backend.errors import BulkNotFound, CaseJoined, CaseNotFound, CaseStateConflict, IdempotencyKeyReused, LeaseHeld
from backend.review_codes import ALL_CODES, Codes
from backend.review_policy import SecondReview
from backend.store import identical
from backend.store.caller import Caller
from backend.store.database import Store
from backend.store.decisions import standing
from backend.store.ids import new_id
from backend.store.pairs import open_pairs
from backend.store.tables import BulkReview, Decision, DuplicateCase
from backend.wire import BulkOutcome, LeftOutReason, UndoneOutcome

LOOKED_AT = 1000
"""cases, for one preview"""


class BulkReviews:
    def __init__(self, store: Store, second_review: SecondReview = SecondReview.none, codes: Codes = ALL_CODES) -> None:
        self._store, self._codes = store, codes
        self._deciding = Deciding(store, second_review)

    # --- looking --------------------------------------------------------------------------------------------------

    def preview(self, request: wire.BulkPreviewRequest, caller: Caller) -> wire.BulkPreview:
        """The most pressing first. Reserves nothing."""
        items: list[wire.BulkItem] = []
        left_out: list[wire.LeftOut] = []
        more = False
        with self._store.read() as session:
            for case in self._candidates(session, request):
                if more := len(items) == request.limit or len(items) + len(left_out) == LOOKED_AT:
                    break
                found = self._survivor(session, case, caller)
                if isinstance(found, LeftOutReason):
                    left_out.append(wire.LeftOut(case_id=case.id, reason=found))
                else:
                    items.append(wire.BulkItem(case_id=case.id, version=case.version, survivor_id=found))
        return wire.BulkPreview(
            bulk_id=new_id("bulk"),
            items=items,
            survivor_rule="oldest_record",
            found=len(items) + len(left_out),
            more=more,
            left_out=left_out,
        )

    def _candidates(self, session: Session, request: wire.BulkPreviewRequest) -> Iterator[DuplicateCase]:
        last: DuplicateCase | None = None
        while True:
            found = identical.page(
                session,
                gallery_id=self._store.gallery_id,
                source=request.source,
                created_from=request.created_from,
                created_until=request.created_until,
                last=last,
            )
            yield from found
            if len(found) < identical.PAGE:
                return
            last = found[-1]

    def _survivor(self, session: Session, case: DuplicateCase, caller: Caller) -> str | LeftOutReason:
        now, two = self._store.now(session), self._deciding.two_must_agree(session, case)
        return identical.survivor_of(session, case, caller, now=now, two_must_agree=two)

    # --- deciding -------------------------------------------------------------------------------------------------

    def decide(self, request: wire.BulkRequest, caller: Caller) -> tuple[wire.Bulk, int]:
        """What became of each, and how many this very request decided. Sent again it is answered as it was at first.

        One that was cut off goes on where it was, when it is sent again.

        Raises:
            IdempotencyKeyReused: the `bulk_id` came with other items before, or from somebody else.
            UnknownReason, NoteRequired.
        """
        self._codes.check(request.verdict, reason=request.reason, note=request.note)
        if (answered := self._begin(request, caller)) is not None:
            return answered, 0
        decided = [self._decide(item, request, caller) for item in request.items]
        answer, ours = self._end(request.bulk_id, [result for result, _ in decided])
        return answer, sum(now for _, now in decided) if ours else 0

    def _begin(self, request: wire.BulkRequest, caller: Caller) -> wire.Bulk | None:
        """The answer, where there is one already."""
        digest = hashlib.sha256(request.model_dump_json(exclude={"note"}).encode()).hexdigest()
        with self._store.write() as session:
            row = session.get(BulkReview, request.bulk_id)
            if row is None:
                now = self._store.now(session)
                made = BulkReview(
                    id=request.bulk_id, gallery_id=self._store.gallery_id, actor=caller.id, body_sha256=digest, created_at=now
                )
                session.add(made)
                return None
            if (row.gallery_id, row.actor, row.body_sha256) != (self._store.gallery_id, caller.id, digest):
                raise IdempotencyKeyReused("This bulk_id was used with another body, or by somebody else: ask for a new preview")
            return _answer(row)

    def _end(self, bulk_id: str, results: list[wire.BulkResult]) -> tuple[wire.Bulk, bool]:
        with self._store.write() as session:
            row = session.get_one(BulkReview, bulk_id)
            if (other := _answer(row)) is not None:  # the same request, sent again while this one was under way
                return other, False
            row.results = [result.model_dump(mode="json") for result in results]
        return wire.Bulk(bulk_id=bulk_id, results=results), True

    def _decide(self, item: wire.BulkItem, request: wire.BulkRequest, caller: Caller) -> tuple[wire.BulkResult, bool]:
        """The result, and whether it was decided just now."""
        try:
            with self._store.write() as session:
                case = the_case(self._store, session, item.case_id)
                if self._was_decided(session, case, request.bulk_id):
                    return _result(item, BulkOutcome.decided, case.version), False
                if (trouble := self._trouble(session, case, item, caller)) is not None:
                    return _result(item, trouble), False
                ruling = Ruling(request.verdict, item.survivor_id, request.note, request.reason, request.bulk_id)
                self._deciding.decide(session, case, ruling, caller, self._store.now(session))
                return _result(item, BulkOutcome.decided, case.version), True
        except CaseNotFound:
            return _result(item, BulkOutcome.gone), False
        except CaseJoined:
            return _result(item, BulkOutcome.changed), False
        except CaseStateConflict:
            return _result(item, BulkOutcome.conflict), False

    def _trouble(self, session: Session, case: DuplicateCase, item: wire.BulkItem, caller: Caller) -> BulkOutcome | None:
        if case.version != item.version or case.state != wire.CaseState.open:
            return BulkOutcome.changed
        found = self._survivor(session, case, caller)
        if found is LeftOutReason.held:
            return BulkOutcome.held
        if found is LeftOutReason.needs_second_review:
            return BulkOutcome.needs_second_review
        return None if found == item.survivor_id else BulkOutcome.changed

    def _was_decided(self, session: Session, case: DuplicateCase, bulk_id: str) -> bool:
        stands = Decision.verdict != "undo", col(Decision.undone_by).is_(None)
        query = select(Decision.id).where(Decision.case_id == case.id, Decision.bulk_id == bulk_id, *stands)
        return session.exec(query).first() is not None

    # --- taking back ----------------------------------------------------------------------------------------------

    def undo(self, bulk_id: str, caller: Caller) -> tuple[wire.BulkUndone, int]:
        """What became of each decision, and how many this very request took back. Sent again, it tries the rest again.

        Raises BulkNotFound.
        """
        with self._store.read() as session:
            row = session.get(BulkReview, bulk_id)
            if row is None or row.gallery_id != self._store.gallery_id:
                raise BulkNotFound()
            said = select(Decision.id).where(Decision.bulk_id == bulk_id, Decision.verdict != "undo")
            ids = session.exec(said.order_by(col(Decision.id).desc())).all()
        done = [(decision_id, *self._undo(bulk_id, decision_id, caller)) for decision_id in ids]
        with self._store.read() as session:  # only now: what is open again may have been joined with an older case
            cases = dict(session.exec(select(Decision.id, Decision.case_id).where(Decision.bulk_id == bulk_id)).all())
        results = [wire.UndoneResult(case_id=cases[one], outcome=outcome) for one, outcome, _ in reversed(done)]
        return wire.BulkUndone(bulk_id=bulk_id, results=results), sum(now for _, _, now in done)

    def _undo(self, bulk_id: str, decision_id: str, caller: Caller) -> tuple[UndoneOutcome, bool]:
        """What became of it, and whether it was taken back just now."""
        try:
            with self._store.write() as session:
                decision = session.get_one(Decision, decision_id)
                case = session.get_one(DuplicateCase, decision.case_id)
                outcome = self._hindrance(session, decision, case, caller)
                if outcome is None:
                    self._deciding.undo(session, case, caller, self._store.now(session), note=None, bulk_id=bulk_id)
                return outcome or UndoneOutcome.undone, outcome is None
        except CaseStateConflict:
            return UndoneOutcome.rested_on, False

    def _hindrance(self, session: Session, decision: Decision, case: DuplicateCase, caller: Caller) -> UndoneOutcome | None:
        if decision.undone_by is not None:
            by = session.get(Decision, decision.undone_by)
            ours = by is not None and by.bulk_id == decision.bulk_id
            return UndoneOutcome.undone if ours else UndoneOutcome.undone_before
        if standing(session, case.id)[-1].id != decision.id:
            return UndoneOutcome.not_last
        if not open_pairs(session, case.id):
            return UndoneOutcome.gone
        try:
            must_be_free(self._store, session, case, caller)
        except LeaseHeld:
            return UndoneOutcome.held
        return None


def _result(item: wire.BulkItem, outcome: BulkOutcome, version: int | None = None) -> wire.BulkResult:
    return wire.BulkResult(case_id=item.case_id, outcome=outcome, version=version)


def _answer(row: BulkReview) -> wire.Bulk | None:
    if row.results is None:
        return None
    return wire.Bulk(bulk_id=row.id, results=[wire.BulkResult.model_validate(result) for result in row.results])
