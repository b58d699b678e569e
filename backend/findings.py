"""Between the two transactions of an enrolment: what is left to do and what the search finds, for one or for several together."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

from sqlmodel import Session

from backend import deadline, wire
from backend.calibrations import calibration_row
from backend.errors import NotReady, SubjectNotFound
from backend.faces.calibration import expected_fpir, why_unknown
from backend.gallery.candidates import Match, Wanted, matches
from backend.gallery.one_person import strays
from backend.sides import Side, Sides
from backend.store import answers, templates
from backend.store.conclusion import Evidence, Findings, Held
from backend.store.database import Store
from backend.store.forest import roots, tree
from backend.store.tables import Enrolment, EnrolmentKind, EnrolmentState, SampleState
from backend.store.templates import StoredTemplate

GALLERY_WAIT_S = 10.0
DOUBT_WAIT_S = 1.0
"""before anything is begun: what is in doubt for longer is for another replica"""
PENDING_LOOK_S = 0.02
LEAST_PENDING_WAIT_S = 5.0
PENDING_WAIT_LEASES = 1.5
CONCLUDING_S = 2.0
"""what is left of a request's time for the second transaction, where it waited for others"""


def pending_wait_s(lease_s: float) -> float:
    """Longer than a lease: whoever died with it is finished by who waits, so that only what hangs is given up."""
    return max(LEAST_PENDING_WAIT_S, PENDING_WAIT_LEASES * lease_s)


@dataclass(frozen=True)
class Outcome:
    """201, or 409 for a rejected duplicate."""

    status: int
    answer: wire.Enrolment


@dataclass(frozen=True)
class Work:
    """A pending enrolment: T1 is done, the search and T2 are left."""

    enrolment: Enrolment
    epoch: str
    """of the gallery that the enrolment's numbers belong to"""
    gallery_size: int
    new: list[StoredTemplate]
    own: list[StoredTemplate]
    """what the person has already, for further samples"""


class Search:
    """`rescue` finishes those of the given enrolments whose process left them."""

    def __init__(
        self,
        store: Store,
        sides: Sides,
        *,
        rescue: Callable[[Collection[str]], None],
        pending_wait_s: float,
    ) -> None:
        self._store, self._sides = store, sides
        self._rescue, self._pending_wait_s = rescue, pending_wait_s

    def refuse_in_doubt(self) -> None:
        """Raise GalleryBehind where nothing could be searched: what is begun then is left to others, and begun again."""
        self._sides.in_force().replica.wait_for(0, timeout_s=DOUBT_WAIT_S)

    def load(self, session: Session, enrolment_id: str) -> Work | Outcome:
        """What is left of an enrolment, or its answer where nothing is; raises SubjectNotFound where it is gone."""
        gallery, keyring = self._store.gallery_id, self._store.keyring
        enrolment = session.get(Enrolment, enrolment_id)
        if enrolment is None:
            raise SubjectNotFound()
        if enrolment.state != EnrolmentState.pending:
            return Outcome(*answers.read(self._store, session, enrolment))
        stands = self._store.gallery(session)
        new = templates.of_enrolment(session, keyring, gallery_id=gallery, enrolment_id=enrolment_id, model_id=enrolment.model_id)
        own: list[StoredTemplate] = []
        if enrolment.kind == EnrolmentKind.samples:
            records = tree(session, roots(session, [enrolment.subject_id])[enrolment.subject_id])
            own = templates.of_subjects(session, keyring, gallery_id=gallery, subject_ids=records, model_id=enrolment.model_id)
        active = [template for template in own if template.sample_state == SampleState.active]
        return Work(enrolment, stands.epoch, stands.active_templates, new, active)

    def findings(self, works: Sequence[Work]) -> list[Findings]:
        """For each, in order; they are to be concluded together, by ascending seq, in one transaction. All are of one model.

        Raises:
            GalleryBehind: this replica does not catch up with them in time.
            NotReady: it has not loaded their model.
        """
        last = max(works, key=lambda work: work.enrolment.last_seq)
        side = self._side(last)
        side.replica.wait_for(last.enrolment.last_seq, timeout_s=GALLERY_WAIT_S, epoch=last.epoch)
        found = self._matches(side, works)
        calibration = side.card.calibration
        return [
            Findings(
                evidence=[
                    Evidence(m.new.sample_id, m.old.seq, m.old.sample_id, m.old.subject_id, m.score)
                    for m in found[work.enrolment.id]
                    if m.old.enrolment_id != work.enrolment.id
                ],
                held=self._held(side, work),
                searched_as=(work.enrolment.model_id, work.enrolment.first_seq),
                calibration_id=None if calibration is None else calibration.id,
                calibration=partial(calibration_row, side.card, self._store.gallery_id),
                expected_fpir=expected_fpir(calibration, work.enrolment.review_threshold, work.gallery_size),
                expected_fpir_reason=why_unknown(calibration, work.enrolment.review_threshold),
            )
            for work in works
        ]

    def _side(self, work: Work) -> Side:
        side = self._sides.of(work.enrolment.model_id)
        if side is None:
            raise NotReady(f"This replica has not loaded {work.enrolment.model_id}")
        return side

    def _matches(self, side: Side, works: Sequence[Work]) -> dict[str, list[Match]]:
        """By enrolment. Waits for candidates that are pending, but not for those of `works`: they are concluded together.

        What is waited for has a smaller `seq` than all of `works` (one T1 numbered them), so nobody waits in a circle.
        Those still pending at the end, or when the request must be answered, are among the matches: their pairs count.
        """
        until = time.monotonic() + min(self._pending_wait_s, deadline.left_s() - CONCLUDING_S)
        together = {work.enrolment.id for work in works}
        found: dict[str, list[Match]] = {}
        waiting = list(works)
        while True:
            for work, matching in zip(waiting, self._search(side, waiting), strict=True):
                found[work.enrolment.id] = matching
            pending = {work.enrolment.id: _pending(found[work.enrolment.id]) - together for work in waiting}
            waiting = [work for work in waiting if pending[work.enrolment.id]]
            if not waiting or time.monotonic() >= until:
                return found
            self._rescue(set().union(*pending.values()))
            time.sleep(PENDING_LOOK_S)

    def _search(self, side: Side, works: Sequence[Work]) -> list[list[Match]]:
        wanted = [Wanted(work.new, work.enrolment.first_seq, work.enrolment.review_threshold) for work in works]
        return matches(self._store, side.replica, side.card.metric, wanted)

    def _held(self, side: Side, work: Work) -> list[Held]:
        found = strays(side.card.metric, work.new, work.own, threshold=work.enrolment.verification_threshold)
        return [Held(match.new.sample_id, best_sample_id=match.old.sample_id, score=match.score) for match in found]


def _pending(found: Sequence[Match]) -> set[str]:
    return {match.old.enrolment_id for match in found if match.old.sample_state == SampleState.pending}
