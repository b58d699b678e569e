"""Enrolment without a missed duplicate: two short transactions under the ledger lock, a search between them.

T1 writes the newcomer into the log; the search looks at everything with a smaller `seq`; T2 decides. So of two that race
the later one sees the earlier, whichever replica either is on. Whoever finds an enrolment between its two transactions
(a repeated request, a sweep) does the remaining steps and gets the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session

from backend import findings, wire
from backend.errors import ModelMismatch
from backend.faces.capture import CapturedFace
from backend.faces.engine import ModelCard
from backend.findings import Outcome, Search
from backend.gallery.replica import Replica
from backend.recognition import Thresholds, quality_of
from backend.store import admission, answers, scrubbing
from backend.store.admission import NewSample, Terms
from backend.store.answers import Idempotency
from backend.store.caller import Caller
from backend.store.conclusion import conclude
from backend.store.database import Store
from backend.store.sealing import Profile, SampleDetails
from backend.store.tables import Enrolment
from backend.sweep import Sweep

__all__ = ["Enrolments", "Idempotency", "Outcome", "StoredAnswer", "Thresholds"]

StoredAnswer = Outcome


class Enrolments:
    def __init__(
        self,
        store: Store,
        replica: Replica,
        card: ModelCard,
        thresholds: Thresholds,
        instance: str,
        lease_s: float,
        store_images: bool,
        pending_wait_s: float | None = None,
    ) -> None:
        """`pending_wait_s`: how long a candidate that is pending is waited for; default: `findings.pending_wait_s`."""
        self._store = store
        self._card = card
        self._thresholds = thresholds
        self._instance = instance
        self._lease_s = lease_s
        self._store_images = store_images
        sweep = Sweep(store, self._finish, holder=instance, lease_s=lease_s)
        self.sweep = sweep.run
        wait_s = findings.pending_wait_s(lease_s) if pending_wait_s is None else pending_wait_s
        self.search = Search(store, replica, card, rescue=sweep.rescue, pending_wait_s=wait_s)

    def replay(self, caller: Caller, key: str, body_sha256: str) -> StoredAnswer | None:
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
        profile, samples = Profile(external_id, metadata or {}), self._samples(faces)
        with self._store.write() as session:
            enrolment_id = self._earlier(session, caller, idempotency)
            if enrolment_id is None:
                terms = self._terms(caller, on_duplicate)
                made = admission.admit_subject(self._store, session, profile, samples, terms=terms, retain_until=retain_until)
                enrolment_id = self._remember(session, made, caller, idempotency)
        return self._finish(enrolment_id)

    def add_samples(
        self, subject_id: str, faces: Sequence[CapturedFace], *, caller: Caller, idempotency: Idempotency | None = None
    ) -> Outcome:
        """Further images of a known subject; one that does not match it goes to review and counts for nothing until then.

        Raises as `enrol`, and SubjectNotFound.
        """
        samples = self._samples(faces)
        with self._store.write() as session:
            enrolment_id = self._earlier(session, caller, idempotency)
            if enrolment_id is None:
                terms = self._terms(caller, wire.OnDuplicate.flag)
                made = admission.admit_samples(self._store, session, subject_id, samples, terms=terms)
                enrolment_id = self._remember(session, made, caller, idempotency)
        return self._finish(enrolment_id)

    # --- T1 -------------------------------------------------------------------------------------------------------

    def _samples(self, faces: Sequence[CapturedFace]) -> list[NewSample]:
        if any(face.model_id != self._card.model_id for face in faces):
            raise ModelMismatch()
        return [
            NewSample(
                crop=face.crop if self._store_images else None,
                details=SampleDetails(landmarks=face.landmarks.tolist(), quality=quality_of(face.quality).model_dump()),
                vector=face.vector,
            )
            for face in faces
        ]

    def _terms(self, caller: Caller, policy: wire.OnDuplicate) -> Terms:
        return Terms(
            model_id=self._card.model_id,
            policy=policy,
            verification_threshold=self._thresholds.verification,
            review_threshold=self._thresholds.review,
            certain_threshold=self._thresholds.certain,
            caller=caller,
            lease_holder=self._instance,
            lease_s=self._lease_s,
        )

    def _earlier(self, session: Session, caller: Caller, idempotency: Idempotency | None) -> str | None:
        return None if idempotency is None else answers.earlier(self._store, session, caller, idempotency)

    def _remember(self, session: Session, made: Enrolment, caller: Caller, idempotency: Idempotency | None) -> str:
        if idempotency is not None:
            answers.remember(session, made, caller, idempotency)
        return made.id

    # --- search and T2 --------------------------------------------------------------------------------------------

    def _finish(self, enrolment_id: str) -> Outcome:
        """The remaining steps, or the answer where there are none left. Harmless to do twice, also at the same time."""
        with self._store.read() as session:
            work = self.search.load(session, enrolment_id)
        if isinstance(work, Outcome):
            return work
        (found,) = self.search.findings([work])
        with self._store.write() as session:
            status, answer = conclude(self._store, session, enrolment_id, found)
        if answer.state is wire.SubjectState.rejected:
            scrubbing.settle(self._store)
        return Outcome(status, answer)
