"""Enrolment without a missed duplicate: two short transactions under the ledger lock, a search between them.

T1 writes the newcomer into the log; the search looks at everything with a smaller `seq`; T2 decides. So of two that race
the later one sees the earlier, whichever replica either is on. Whoever finds an enrolment between its two transactions
(a repeated request, a sweep) does the remaining steps and gets the same answer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, delete, select, update

from backend import wire
from backend.calibrations import calibration_row
from backend.errors import FaceAuthError, ModelMismatch, SubjectNotFound
from backend.faces.calibration import expected_fpir
from backend.faces.capture import CapturedFace
from backend.faces.engine import ModelCard
from backend.gallery.candidates import Match, matches, scored
from backend.gallery.replica import Replica
from backend.recognition import Thresholds, quality_of
from backend.store import admission, answers, job_leases, scrubbing, templates
from backend.store.admission import NewSample, Terms
from backend.store.answers import Idempotency
from backend.store.caller import Caller
from backend.store.conclusion import Evidence, Findings, Held, conclude
from backend.store.database import Store
from backend.store.forest import roots, tree
from backend.store.sealing import Profile, SampleDetails
from backend.store.tables import Enrolment, EnrolmentKind, EnrolmentState, Outbox, SampleState
from backend.store.templates import StoredTemplate

__all__ = ["Enrolments", "Idempotency", "Outcome", "StoredAnswer", "Thresholds"]

log = logging.getLogger(__name__)

GALLERY_WAIT_S = 10.0
PENDING_WAIT_S = 5.0
PENDING_LOOK_S = 0.02
RETENTION_EVERY = timedelta(minutes=10)


@dataclass(frozen=True)
class Outcome:
    """201, or 409 for a rejected duplicate."""

    status: int
    answer: wire.Enrolment


StoredAnswer = Outcome


@dataclass(frozen=True)
class _Work:
    enrolment: Enrolment
    epoch: str
    """of the gallery that the enrolment's numbers belong to"""
    new: list[StoredTemplate]
    own: list[StoredTemplate]
    """what the person has already, for further samples"""


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
        pending_wait_s: float = PENDING_WAIT_S,
    ) -> None:
        self._store = store
        self._replica = replica
        self._card = card
        self._thresholds = thresholds
        self._instance = instance
        self._lease_s = lease_s
        self._store_images = store_images
        self._pending_wait_s = pending_wait_s

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
        """A new subject from one or more captures of one person.

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

    def sweep(self) -> int:
        """Finish enrolments whose lease ran out, whoever began them; how many. Then the housekeeping that is due."""
        finished = 0
        for enrolment_id in self._abandoned():
            finished += self._rescue(enrolment_id)
        self._keep_house()
        return finished

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
        work = self._load(enrolment_id)
        if isinstance(work, Outcome):
            return work
        self._replica.wait_for(work.enrolment.last_seq, timeout_s=GALLERY_WAIT_S, epoch=work.epoch)
        findings = self._findings(work)
        with self._store.write() as session:
            status, answer = conclude(self._store, session, enrolment_id, findings)
        if answer.state is wire.SubjectState.rejected:
            scrubbing.settle(self._store)
        return Outcome(status, answer)

    def _load(self, enrolment_id: str) -> _Work | Outcome:
        gallery, keyring = self._store.gallery_id, self._store.keyring
        with self._store.read() as session:
            enrolment = session.get(Enrolment, enrolment_id)
            if enrolment is None:
                raise SubjectNotFound()
            if enrolment.state != EnrolmentState.pending:
                return Outcome(*answers.read(self._store, session, enrolment))
            epoch = self._store.gallery(session).epoch
            new = templates.of_enrolment(session, keyring, gallery_id=gallery, enrolment_id=enrolment_id)
            own: list[StoredTemplate] = []
            if enrolment.kind == EnrolmentKind.samples:
                records = tree(session, roots(session, [enrolment.subject_id])[enrolment.subject_id])
                own = templates.of_subjects(
                    session, keyring, gallery_id=gallery, subject_ids=records, model_id=enrolment.model_id
                )
        return _Work(enrolment, epoch, new, [template for template in own if template.sample_state == SampleState.active])

    def _findings(self, work: _Work) -> Findings:
        found = self._matches(work)
        calibration = self._card.calibration
        with self._store.read() as session:
            size = self._store.gallery(session).active_templates
            now = self._store.now(session)
        return Findings(
            evidence=[
                Evidence(m.new.sample_id, m.old.seq, m.old.sample_id, m.old.subject_id, m.score)
                for m in found
                if m.old.enrolment_id != work.enrolment.id
            ],
            held=self._held(work),
            calibration=calibration_row(self._card, self._store.gallery_id, now),
            expected_fpir=expected_fpir(calibration, work.enrolment.review_threshold, size),
        )

    def _matches(self, work: _Work) -> list[Match]:
        """Waits for candidates that are pending themselves: their `seq` is smaller, so nobody waits in a circle."""
        deadline = time.monotonic() + self._pending_wait_s
        while True:
            found = matches(
                self._store,
                self._replica,
                self._card.metric,
                work.new,
                before_seq=work.enrolment.first_seq,
                threshold=work.enrolment.review_threshold,
            )
            pending = {m.old.enrolment_id for m in found if m.old.sample_state == SampleState.pending}
            if not pending or time.monotonic() >= deadline:
                return found
            for enrolment_id in sorted(pending & set(self._abandoned())):
                self._rescue(enrolment_id)
            time.sleep(PENDING_LOOK_S)

    def _held(self, work: _Work) -> list[Held]:
        """Rekognition's guard: a further sample must match the person whom it is said to show."""
        held = []
        for template in work.new if work.own else ():
            best = max(scored(self._card.metric, [template], work.own), key=lambda match: match.score)
            if best.score < work.enrolment.verification_threshold:
                held.append(Held(sample_id=template.sample_id, best_sample_id=best.old.sample_id, score=best.score))
        return held

    # --- the sweep ------------------------------------------------------------------------------------------------

    def _abandoned(self) -> list[str]:
        """Pending enrolments whose lease ran out by the database's clock, oldest first."""
        with self._store.read() as session:
            query = select(Enrolment.id).where(
                Enrolment.gallery_id == self._store.gallery_id,
                Enrolment.state == EnrolmentState.pending,
                col(Enrolment.lease_until) <= self._store.now(session),
            )
            return list(session.exec(query.order_by(col(Enrolment.first_seq)).limit(100)))

    def _rescue(self, enrolment_id: str) -> bool:
        """Take the lease and finish it; False where somebody else took it, or it cannot be finished now."""
        with self._store.write() as session:
            now = self._store.now(session)
            taken = session.exec(
                update(Enrolment)
                .where(
                    col(Enrolment.id) == enrolment_id,
                    col(Enrolment.state) == EnrolmentState.pending,
                    col(Enrolment.lease_until) <= now,
                )
                .values(lease_holder=self._instance, lease_until=now + timedelta(seconds=self._lease_s))
            )
            if taken.rowcount == 0:
                return False
        try:
            self._finish(enrolment_id)
        except FaceAuthError as error:
            log.warning("enrolment not finished", extra={"fields": {"enrolment": enrolment_id, "code": error.code()}})
            return False
        return True

    def _keep_house(self) -> None:
        """Retention, by one replica at a time; and what an erasure left to be done."""
        scrubbing.settle(self._store)
        if not job_leases.is_free(self._store, "retention"):
            return
        with self._store.write() as session:
            now = self._store.now(session)
            if job_leases.take(self._store, session, "retention", holder=self._instance, until=now + RETENTION_EVERY):
                answers.forget_old(self._store, session, now=now)
                old = col(Outbox.created_at) < now - answers.KEPT_FOR
                session.exec(delete(Outbox).where(old, col(Outbox.topic) != scrubbing.SCRUB))
