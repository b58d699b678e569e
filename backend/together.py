"""Putting records before reviewers that no search put together: a case like any other, which nobody has decided yet."""

from __future__ import annotations

from functools import partial

from sqlmodel import Session

from backend import wire
from backend.circumstances import circumstances_of
from backend.errors import Forbidden, ModelMismatch
from backend.evidence import Evidence
from backend.faces.engine import ModelCard
from backend.gallery.candidates import best_comparison
from backend.recognition import Thresholds
from backend.store import asked
from backend.store.asked import Asking, People
from backend.store.audit import Audit
from backend.store.caller import Caller
from backend.store.clusters import Placed
from backend.store.database import Store
from backend.store.tables import DistinctPair, DuplicateCase


class Together:
    def __init__(self, store: Store, evidence: Evidence, card: ModelCard, thresholds: Thresholds) -> None:
        self._store, self._evidence, self._card, self._thresholds = store, evidence, card, thresholds
        self._audit = Audit(store)

    def ask(self, request: wire.TogetherRequest, caller: Caller) -> tuple[wire.Case, bool]:
        """The case in which they are now, and whether this request put them there: one that is sent again changes nothing.

        Raises:
            Forbidden: only a supervisor asks again about people who were decided to be different.
            SubjectNotFound: erased, unknown, or still being enrolled. NotComparable: rejected, or without an active sample.
            SamePerson, DecidedDifferent.
            ModelMismatch: this replica's model is not the gallery's.
        """
        if request.override_different and not caller.supervises:
            raise Forbidden("Only a supervisor asks again about people who were decided to be different")
        with self._store.write() as session:
            if self._store.gallery(session).model_id != self._card.model_id:
                raise ModelMismatch()
            people = asked.people_of(self._store, session, request.subject_ids)
            case = asked.case_of_all(session, people, gallery_id=self._store.gallery_id)
            answered = asked.asked_again(session, case)
            differ = asked.differing(session, people, gallery_id=self._store.gallery_id)
            barring = [row for row in differ if people.two(row) not in answered]
            if barring and not request.override_different:
                asked.refuse(session, barring[0])
            if case is not None and not barring:
                return self._evidence.view(session, case), False
            return self._evidence.view(session, self._put(session, people, barring, request, caller)), True

    def _put(
        self, session: Session, people: People, barring: list[DistinctPair], request: wire.TogetherRequest, caller: Caller
    ) -> DuplicateCase:
        found = asked.found_pairs(
            self._store,
            session,
            people,
            compare=partial(best_comparison, self._card.metric),
            model_id=self._card.model_id,
            certain_threshold=self._thresholds.certain,
        )
        review = self._thresholds.at(self._store.gallery(session).active_templates).review
        now_in_force = circumstances_of(self._store, session, self._card, threshold=review, source="manual")
        asking = Asking(caller, request.note, people, {people.two(row) for row in barring})
        placed = asked.put(self._store, session, found, now_in_force, asking)
        self._tell(session, placed, people, barring, caller)
        return placed.case

    def _tell(self, session: Session, placed: Placed, people: People, barring: list[DistinctPair], caller: Caller) -> None:
        detail = {
            "subjects": list(people.tops),
            "opened": placed.case.id in placed.opened,
            "reopened": placed.reopened,
            "joined": sorted(placed.joined),
            "overrides": sorted({row.decision_id for row in barring}),
        }
        self._audit.append(session, caller, "case.ask", placed.case.id, detail)
