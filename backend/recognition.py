"""Verification (1:1) and identification (1:N). Scores are on the engine's scale, always from vectors that SQL holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from backend import wire
from backend.errors import InvalidThreshold, ModelMismatch, SubjectNotFound
from backend.faces.calibration import expected_fmr, expected_fpir, why_unknown
from backend.faces.capture import ProbeFace, SeenFace
from backend.faces.engine import Metric, ModelCard, Vector
from backend.faces.liveness import Liveness
from backend.faces.quality import Quality
from backend.faces.score import scores
from backend.faces.target import ReviewTarget
from backend.gallery.candidates import MARGIN
from backend.gallery.replica import Replica
from backend.store import templates
from backend.store.database import Store
from backend.store.forest import roots, tree
from backend.store.sealing import key_of, open_profile
from backend.store.tables import SampleState, Subject
from backend.store.templates import StoredTemplate
from backend.wire import SubjectState

LEAST_FETCHED = 32
OVER_FETCH = 4
"""Hits asked of the index for each candidate wanted: several samples of one person, and what SQL drops."""
SEEN = (SubjectState.active, SubjectState.merged)
WAIT_S = 5.0
_PLACE = select(Subject.state, Subject.merged_into).where(
    Subject.id == bindparam("id"), Subject.gallery_id == bindparam("gallery_id")
)
_THESE = select(Subject).where(col(Subject.id).in_(bindparam("ids", expanding=True)))


@dataclass(frozen=True)
class Thresholds:
    """On the engine's scale. From `review` on a pair goes to a reviewer; from `certain` on `on_duplicate=reject` rejects.

    With a `target`, what is in force depends on how large the gallery is: ask `at`, and take `review` from its answer.
    """

    verification: float
    review: float
    certain: float
    target: ReviewTarget | None = None

    def at(self, size: int) -> Thresholds:
        """Those in force with `size` active templates."""
        if self.target is None:
            return self
        return replace(self, review=self.target.at(size, certain=self.certain).threshold)

    def by_kind(self) -> dict[str, float]:
        """Those that are the same whatever the size, so that replicas may be compared by them."""
        fixed = {"verification": self.verification, "certain": self.certain}
        return fixed if self.target else {**fixed, "review": self.review}


class Recognition:
    def __init__(self, store: Store, replica: Replica, card: ModelCard, thresholds: Thresholds) -> None:
        self._store = store
        self._replica = replica
        self._card = card
        self._thresholds = thresholds

    def verify_subject(
        self, subject_id: str, probe: ProbeFace, *, threshold: float | None = None, faces_in_image: int = 1
    ) -> wire.Verification:
        """Against all samples of the person, whichever of their records is named; the best counts.

        Raises:
            SubjectNotFound: none, or nothing of this model to compare with.
            InvalidThreshold: not on the engine's scale.
            ModelMismatch: the gallery is of another model by now.
        """
        used = self._threshold(threshold)
        references = self._references(subject_id)
        table = scores(self._card.metric, probe.vector[None, :], np.stack([reference.vector for reference in references]))
        best = int(table[0].argmax())
        found = self._verification(float(table[0, best]), used, probe, faces_in_image=faces_in_image)
        compared = len(references)
        of_all = expected_fpir(self._card.calibration, used, compared)
        return found.model_copy(
            update={"sample_id": references[best].sample_id, "samples_compared": compared, "expected_fmr_of_all": of_all}
        )

    def verify_images(
        self,
        probe: ProbeFace,
        reference: ProbeFace,
        *,
        threshold: float | None = None,
        faces_in_image: int = 1,
        faces_in_reference: int = 1,
    ) -> wire.Verification:
        """One image against another; nothing is stored."""
        used = self._threshold(threshold)
        score = float(scores(self._card.metric, probe.vector[None, :], reference.vector[None, :])[0, 0])
        return self._verification(score, used, probe, faces_in_image=faces_in_image, faces_in_reference=faces_in_reference)

    def identify(
        self, faces: Sequence[ProbeFace], *, threshold: float | None = None, limit: int = 10, min_seq: int | None = None
    ) -> wire.Identification:
        """Candidates per face: people (survivors of merges), each with the best of their samples.

        Raises:
            GalleryBehind: this replica has not reached `min_seq` in time.
            SeqUnknown: nobody has reached it.
            InvalidThreshold: not on the engine's scale.
            ModelMismatch: the gallery is of another model by now.
        """
        used = self._threshold(threshold)
        if min_seq is not None:
            self._replica.wait_for(min_seq, timeout_s=WAIT_S)
        seq = self._replica.seq
        found = [self._candidates(probe.vector, used, limit) for probe in faces]
        with self._store.read() as session:
            size = self._size(session)
            answers = [self._ranked(session, best, limit) for best in found]
        return wire.Identification(
            faces=[
                wire.FaceCandidates(face=detected_face(probe), candidates=candidates)
                for probe, candidates in zip(faces, answers, strict=True)
            ],
            threshold=used,
            expected_fpir=expected_fpir(self._card.calibration, used, size),
            expected_fpir_reason=why_unknown(self._card.calibration, used),
            gallery_size=size,
            seq=seq,
            model_id=self._card.model_id,
        )

    def _size(self, session: Session) -> int:
        """Read after the search: what was searched is an answer only while its model is in force."""
        gallery = self._store.gallery(session)
        if gallery.model_id != self._card.model_id:
            raise ModelMismatch()
        return gallery.active_templates

    def _threshold(self, asked: float | None) -> float:
        if asked is None:
            return self._thresholds.verification
        must_be_on_scale(self._card.metric, asked)
        return asked

    def _references(self, subject_id: str) -> list[StoredTemplate]:
        with self._store.read() as session:
            place = session.exec(_PLACE, params={"id": subject_id, "gallery_id": self._store.gallery_id}).one_or_none()
            state, merged_into = place or (None, None)
            if state not in SEEN:
                raise SubjectNotFound()
            self._size(session)
            root = subject_id if merged_into is None else roots(session, [subject_id])[subject_id]
            everyone = tree(session, root)
            found = templates.of_subjects(
                session,
                self._store.keyring,
                gallery_id=self._store.gallery_id,
                subject_ids=everyone,
                model_id=self._card.model_id,
            )
        active = [template for template in found if template.sample_state == SampleState.active]
        if not active:
            raise SubjectNotFound("The subject has no sample of this gallery's model to compare with")
        return active

    def _verification(
        self,
        score: float,
        threshold: float,
        probe: ProbeFace,
        *,
        faces_in_image: int,
        faces_in_reference: int | None = None,
    ) -> wire.Verification:
        return wire.Verification(
            score=score,
            threshold=threshold,
            decision="match" if score >= threshold else "non_match",
            expected_fmr=expected_fmr(self._card.calibration, threshold),
            expected_fmr_reason=why_unknown(self._card.calibration, threshold),
            faces_in_image=faces_in_image,
            faces_in_reference=faces_in_reference,
            model_id=self._card.model_id,
            quality=quality_of(probe.quality),
            liveness=liveness_of(probe.liveness),
        )

    def _candidates(self, vector: Vector, threshold: float, limit: int) -> dict[str, tuple[float, str]]:
        """As `_people`: fetches more and more until nobody who was not fetched can be among the best `limit`, or reach the
        threshold. The index's own scores are MARGIN off at most.
        """
        wanted = max(LEAST_FETCHED, limit * OVER_FETCH)
        while True:
            hits = self._replica.nearest(vector, wanted)
            near = hits.ids[hits.scores >= threshold - MARGIN]  # the rest of what was fetched need not be read and opened
            best = self._people(vector, near.tolist(), threshold)
            beyond = float(hits.scores[-1]) + MARGIN if len(hits.ids) == wanted else -math.inf  # what the others may score
            ranked = sorted((score for score, _ in best.values()), reverse=True)
            if beyond < threshold or (len(ranked) >= limit and ranked[limit - 1] > beyond):
                return best
            wanted *= OVER_FETCH

    def _people(self, vector: Vector, seqs: Sequence[int], threshold: float) -> dict[str, tuple[float, str]]:
        """root → (score, sample) of the best sample that really is in the gallery now."""
        if not seqs:
            return {}
        with self._store.read() as session:
            found = templates.by_seqs(session, self._store.keyring, gallery_id=self._store.gallery_id, seqs=seqs)
            merged = {template.subject_id for template in found if template.subject_state == SubjectState.merged}
            root = roots(session, merged)  # everybody else is one
        seen = [t for t in found if t.sample_state == SampleState.active and t.subject_state in SEEN]
        if not seen:
            return {}
        table = scores(self._card.metric, vector[None, :], np.stack([template.vector for template in seen]))[0]
        best: dict[str, tuple[float, str]] = {}
        for template, score in sorted(zip(seen, table.tolist(), strict=True), key=lambda pair: -pair[1]):
            if score >= threshold:
                best.setdefault(root.get(template.subject_id, template.subject_id), (score, template.sample_id))
        return best

    def _ranked(self, session: Session, best: dict[str, tuple[float, str]], limit: int) -> list[wire.Candidate]:
        top = sorted(best.items(), key=lambda item: (-item[1][0], item[0]))[:limit]
        listed = session.exec(_THESE, params={"ids": [subject_id for subject_id, _ in top]}) if top else ()
        people = {subject.id: subject for subject in listed}
        return [
            wire.Candidate(
                subject_id=subject_id,
                external_id=self._external_id(people.get(subject_id)),
                sample_id=sample,
                score=score,
                rank=rank,
            )
            for rank, (subject_id, (score, sample)) in enumerate(top, start=1)
        ]

    def _external_id(self, subject: Subject | None) -> str | None:
        return None if subject is None else open_profile(key_of(self._store.keyring, subject), subject).external_id


def must_be_on_scale(metric: Metric, threshold: float) -> None:
    """Raise InvalidThreshold for what no two templates could be asked to score."""
    lowest = -1.0 if metric is Metric.cosine else -3.0
    if not (math.isfinite(threshold) and lowest <= threshold <= 1.0):
        raise InvalidThreshold()


def detected_face(seen: ProbeFace | SeenFace) -> wire.DetectedFace:
    face = seen.face
    x, y, width, height = (float(value) for value in face.box)
    return wire.DetectedFace(
        box=wire.Box(x=x, y=y, width=width, height=height),
        landmarks=[(float(px), float(py)) for px, py in face.landmarks],
        confidence=float(face.confidence),
        quality=quality_of(seen.quality),
        liveness=liveness_of(seen.liveness),
    )


def liveness_of(found: Liveness | None) -> wire.Liveness | None:
    if found is None:
        return None
    return wire.Liveness(
        status=found.status,
        score=found.score,
        threshold=found.threshold,
        live=found.live,
        advice=found.advice,
        model_id=found.model_id,
    )


def quality_of(quality: Quality) -> wire.Quality:
    return wire.Quality(
        overall=quality.overall,
        components=dict(quality.components),
        reasons=[wire.QualityReason(code=reason.code, advice=reason.advice) for reason in quality.reasons],
    )
