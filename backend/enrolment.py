"""Enrolment without a missed duplicate: two short transactions under the ledger lock, a search between them.

T1 writes the newcomer into the log; the search looks at everything with a smaller `seq`; T2 decides. So of two that race
the later one sees the earlier, whichever replica either is on. Whoever finds an enrolment between its two transactions
(a repeated request, a sweep) does the remaining steps and gets the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeVar

from sqlmodel import Session

from backend import findings, wire
from backend.errors import FaceAuthError, ModelMismatch, NotReady
from backend.faces.capture import CapturedFace
from backend.findings import Outcome, Search, Work
from backend.fitness import Fitness
from backend.recognition import Thresholds, quality_of
from backend.sides import Side, Sides
from backend.store import admission, answers, readmission, scrubbing
from backend.store.admission import NewSample, Terms
from backend.store.answers import Idempotency
from backend.store.caller import Caller
from backend.store.conclusion import Findings, SearchOutdated, conclude
from backend.store.database import Store
from backend.store.sealing import Profile, SampleDetails
from backend.store.tables import Enrolment
from backend.sweep import Sweep

__all__ = ["Enrolments", "Idempotency", "Outcome", "Thresholds"]

Result = Outcome | FaceAuthError
"""of one among several: a refusal concerns that one alone"""
T = TypeVar("T")
MOST_TURNS = 5
"""Changes of the gallery's model that one enrolment may meet."""


@dataclass(frozen=True)
class Newcomer:
    """A new subject, from one or more captures of one person."""

    faces: Sequence[CapturedFace]
    external_id: str | None = None
    metadata: wire.Metadata = field(default_factory=dict)
    on_duplicate: wire.OnDuplicate = wire.OnDuplicate.flag
    retain_until: datetime | None = None
    idempotency: Idempotency | None = None


@dataclass(frozen=True)
class _Admitted:
    enrolment_id: str
    work: Work | None
    """what is left, where it was by this very transaction; None where it was by an earlier request of the same key"""


class Enrolments:
    def __init__(
        self,
        store: Store,
        sides: Sides,
        holder: str,
        lease_s: float,
        store_images: bool,
        pending_wait_s: float | None = None,
    ) -> None:
        """`pending_wait_s`: how long a candidate that is pending is waited for; default: `findings.pending_wait_s`."""
        self._store = store
        self._sides = sides
        self._holder = holder
        self._lease_s = lease_s
        self._store_images = store_images
        fitness = Fitness(store, lambda: sides.in_force().replica)
        sweep = Sweep(
            store,
            self._finish,
            is_fit_for=lambda seq: fitness.trouble(reaching=seq) is None,
            holder=holder,
            lease_s=lease_s,
        )
        self.sweep = sweep.run
        wait_s = findings.pending_wait_s(lease_s) if pending_wait_s is None else pending_wait_s
        self.search = Search(store, sides, rescue=sweep.rescue, pending_wait_s=wait_s)

    def replay_all(self, caller: Caller, repeats: Sequence[Idempotency | None]) -> list[Result | None]:
        """`replay` for each, in order; None for a new one, and for one without a key."""
        return [None if one is None else _attempt(partial(self.replay, caller, one.key, one.body_sha256)) for one in repeats]

    def replay(self, caller: Caller, key: str, body_sha256: str) -> Outcome | None:
        """The answer that this very request had within 24 h; None for a new one. Finishes it where only T1 was done.

        Raises:
            IdempotencyKeyReused: the key came with another body.
        """
        with self._store.read() as session:
            enrolment_id = answers.earlier(self._store, session, caller, Idempotency(key, body_sha256))
        return None if enrolment_id is None else self._finish(enrolment_id)

    def enrol(
        self,
        faces: Sequence[CapturedFace],
        *,
        caller: Caller,
        external_id: str | None = None,
        metadata: wire.Metadata | None = None,
        on_duplicate: wire.OnDuplicate = wire.OnDuplicate.flag,
        retain_until: datetime | None = None,
        idempotency: Idempotency | None = None,
    ) -> Outcome:
        """A new subject from one or more captures of one person; one that does not match the others goes to review.

        Raises:
            ExternalIdTaken, RetainUntilPast, IdempotencyKeyReused, ModelMismatch.
            GalleryBehind, DatabaseAway: it may be under way: the same request with its idempotency key gets the answer.
        """
        newcomer = Newcomer(faces, external_id, metadata or {}, on_duplicate, retain_until, idempotency)
        self.search.refuse_in_doubt()
        with self._store.write() as session:
            admitted = self._admit(session, newcomer, caller)
        return self._finish(admitted.enrolment_id, admitted.work)

    def enrol_all(self, newcomers: Sequence[Newcomer], *, caller: Caller) -> list[Result]:
        """Several new subjects, in order: one transaction that admits them, one search, one that decides.

        What `enrol` raises for one stands among the results, save for what concerns all of them: GalleryBehind and
        DatabaseAway are raised, and each may be under way.
        """
        self.search.refuse_in_doubt()
        with self._store.write() as session:
            admitted = [_attempt(partial(self._admit_apart, session, newcomer, caller)) for newcomer in newcomers]
        made = [one for one in admitted if isinstance(one, _Admitted)]
        new = {one.enrolment_id: one.work for one in made if one.work is not None}
        earlier = {one.enrolment_id for one in made} - new.keys()
        # Each by itself: somebody with a number between theirs and ours may wait for them, and ours for him.
        finished = {enrolment_id: _attempt(partial(self._finish, enrolment_id)) for enrolment_id in sorted(earlier)}
        finished |= zip(new, self._finish_together(list(new), list(new.values())), strict=True)
        return [finished[one.enrolment_id] if isinstance(one, _Admitted) else one for one in admitted]

    def add_samples(
        self, subject_id: str, faces: Sequence[CapturedFace], *, caller: Caller, idempotency: Idempotency | None = None
    ) -> Outcome:
        """Further images of a known subject; one that does not match it goes to review and counts for nothing until then.

        Raises as `enrol`, and SubjectNotFound.
        """
        self.search.refuse_in_doubt()
        with self._store.write() as session:
            enrolment_id = self._earlier(session, caller, idempotency)
            if enrolment_id is None:
                side = self._side(session)
                samples, terms = self._samples(faces, side), self._terms(session, side, caller, wire.OnDuplicate.flag)
                made = admission.admit_samples(self._store, session, subject_id, samples, terms=terms)
                enrolment_id = self._remember(session, made.enrolment, caller, idempotency)
        return self._finish(enrolment_id)

    # --- T1 -------------------------------------------------------------------------------------------------------

    def _admit(self, session: Session, newcomer: Newcomer, caller: Caller) -> _Admitted:
        if (enrolment_id := self._earlier(session, caller, newcomer.idempotency)) is not None:
            return _Admitted(enrolment_id, None)
        side = self._side(session)
        made = admission.admit_subject(
            self._store,
            session,
            Profile(newcomer.external_id, newcomer.metadata),
            self._samples(newcomer.faces, side),
            terms=self._terms(session, side, caller, newcomer.on_duplicate),
            retain_until=newcomer.retain_until,
        )
        self._remember(session, made.enrolment, caller, newcomer.idempotency)
        gallery = self._store.gallery(session)
        return _Admitted(made.enrolment.id, Work(made.enrolment, gallery.epoch, gallery.active_templates, made.new, own=[]))

    def _admit_apart(self, session: Session, newcomer: Newcomer, caller: Caller) -> _Admitted:
        """Nothing of one that is refused is written, whatever had been when it was."""
        with session.begin_nested():
            return self._admit(session, newcomer, caller)

    def _side(self, session: Session) -> Side:
        """That of the gallery's model at this very transaction. Raises ModelMismatch where this process has not loaded it."""
        side = self._sides.of(self._store.gallery(session).model_id)
        if side is None:
            raise ModelMismatch()
        return side

    def _samples(self, faces: Sequence[CapturedFace], side: Side) -> list[NewSample]:
        """Raises ModelMismatch for a face of which the side's model made no template."""
        model_id = side.card.model_id
        samples = []
        for face in faces:
            if (vector := face.by(model_id)) is None:
                raise ModelMismatch()
            details = SampleDetails(landmarks=face.landmarks.tolist(), quality=quality_of(face.quality).model_dump())
            others = {model: other for model, other in {face.model_id: face.vector, **face.others}.items() if model != model_id}
            samples.append(NewSample(face.crop if self._store_images else None, details, vector, others))
        return samples

    def _terms(self, session: Session, side: Side, caller: Caller, policy: wire.OnDuplicate) -> Terms:
        """By the gallery's size of this very transaction; they stay with the enrolment, whoever finishes it and when."""
        in_force = side.thresholds.at(self._store.gallery(session).active_templates)
        return Terms(
            model_id=side.card.model_id,
            policy=policy,
            verification_threshold=in_force.verification,
            review_threshold=in_force.review,
            certain_threshold=in_force.certain,
            caller=caller,
            lease_holder=self._holder,
            lease_s=self._lease_s,
        )

    def _earlier(self, session: Session, caller: Caller, idempotency: Idempotency | None) -> str | None:
        return None if idempotency is None else answers.earlier(self._store, session, caller, idempotency)

    def _remember(self, session: Session, made: Enrolment, caller: Caller, idempotency: Idempotency | None) -> str:
        if idempotency is not None:
            answers.remember(session, made, caller, idempotency)
        return made.id

    # --- search and T2 --------------------------------------------------------------------------------------------

    def _finish(self, enrolment_id: str, begun: Work | None = None) -> Outcome:
        """The remaining steps, or the answer where there are none left. Harmless to do twice, also at the same time."""
        (result,) = self._finish_together([enrolment_id], [] if begun is None else [begun])
        if isinstance(result, FaceAuthError):
            raise result
        return result

    def _finish_together(self, enrolment_ids: Sequence[str], begun: Sequence[Work] = ()) -> list[Result]:
        """As `_finish`, for several that one transaction numbered, in that order: each finds those before it decided.

        Decided is by the model in force then: where another one came into force since they began, they begin anew. `begun`:
        what is left of all of them, for whoever has just begun them; whatever became of it since is read under the ledger lock.
        """
        for _ in range(MOST_TURNS):
            results, begun = begun or self._left_of(enrolment_ids), ()
            if results is None:
                continue
            try:
                finished = self._searched_and_concluded([one for one in results if isinstance(one, Work)], results)
            except SearchOutdated:
                continue
            if any(isinstance(one, Outcome) and one.answer.state is wire.SubjectState.rejected for one in finished):
                scrubbing.settle_soon(self._store)
            return finished
        raise NotReady("The gallery's model is being changed")

    def _left_of(self, enrolment_ids: Sequence[str]) -> Sequence[Work | Result] | None:
        """None where some had to begin anew: then it is to be read again."""
        with self._store.read() as session:
            pinned = self._store.gallery(session).model_id
            results: list[Work | Result] = [_attempt(partial(self.search.load, session, one)) for one in enrolment_ids]
        outdated = [one.enrolment.id for one in results if isinstance(one, Work) and one.enrolment.model_id != pinned]
        if outdated:
            self._begin_anew(outdated)
        return None if outdated else results

    def _searched_and_concluded(self, works: Sequence[Work], results: Sequence[Work | Result]) -> list[Result]:
        if works:
            found = iter(self.search.findings(works))
            with self._store.write() as session:
                results = [self._concluded(session, one, next(found)) if isinstance(one, Work) else one for one in results]
        return [one for one in results if not isinstance(one, Work)]

    def _begin_anew(self, enrolment_ids: Sequence[str]) -> None:
        """Raises NotReady where this process has not loaded the model in force: another one finishes them."""
        with self._store.write() as session:
            side = self._sides.of(self._store.gallery(session).model_id)
            if side is None:
                raise NotReady("The gallery's model was changed, and this replica has not loaded the new one")
            in_force = side.thresholds.at(self._store.gallery(session).active_templates)
            for enrolment in map(partial(session.get, Enrolment), enrolment_ids):
                if enrolment is not None:
                    readmission.begin_anew(self._store, session, enrolment, model_id=side.card.model_id, thresholds=in_force)

    def _concluded(self, session: Session, work: Work, found: Findings) -> Result:
        return _attempt(lambda: Outcome(*conclude(self._store, session, work.enrolment.id, found)))


def _attempt(do: Callable[[], T]) -> T | FaceAuthError:
    """What it returns, or with what it refuses. Never for what makes a transaction unfit to go on."""
    try:
        return do()
    except FaceAuthError as error:
        return error
