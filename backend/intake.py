"""From images to answers: the order in which the faces and the ledger are asked. Routes call this; it knows no HTTP.

Inference runs in the bounded pool, everything else in threads; nothing here blocks the event loop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from backend import wire
from backend.body import Body
from backend.enrolment import Enrolments, Idempotency, Outcome
from backend.errors import NoFace, TooManyImages
from backend.faces.capture import CapturedFace, Detected, Probe, capture, detect, probe
from backend.faces.engine import Engine
from backend.faces.gate import OPEN, Gate
from backend.faces.image import ImageLimits
from backend.faces.liveness import LivenessCheck
from backend.faces.pool import InferencePool
from backend.recognition import Recognition, detected_face
from backend.store.caller import Caller
from backend.threads import Threads


@dataclass(frozen=True)
class ImageRules:
    limits: ImageLimits
    max_images: int
    min_face_px: int
    gate: Gate = OPEN


class Faces:
    """The engine behind its pool: images in, faces out."""

    def __init__(self, engine: Engine, pool: InferencePool, rules: ImageRules, liveness: LivenessCheck | None = None) -> None:
        self._engine, self._pool, self._rules, self._liveness = engine, pool, rules, liveness

    async def captures(self, images: Sequence[bytes], choose: wire.FaceChoice) -> list[CapturedFace]:
        if len(images) > self._rules.max_images:
            raise TooManyImages(f"At most {self._rules.max_images} images in one request")
        return await self._pool.run(lambda: [self._capture(image, choose) for image in images])

    async def probe(self, image: bytes) -> Probe:
        """Every face of one image. Raises `NoFace`."""
        return await self._pool.run(lambda: self._probe(image, largest_only=False))

    async def largest(self, *images: bytes) -> list[Probe]:
        """The largest face of each image, the first one's liveness too: it is who stands there. Raises `NoFace`."""
        return await self._pool.run(
            lambda: [self._probe(image, largest_only=True, live=place == 0) for place, image in enumerate(images)]
        )

    async def detect(self, image: bytes) -> Detected:
        return await self._pool.run(lambda: detect(self._engine, image, limits=self._rules.limits, liveness=self._liveness))

    def _capture(self, image: bytes, choose: wire.FaceChoice) -> CapturedFace:
        rules = self._rules
        return capture(
            self._engine,
            image,
            limits=rules.limits,
            choose=choose.value,
            min_face_px=rules.min_face_px,
            gate=rules.gate,
        )

    def _probe(self, image: bytes, *, largest_only: bool, live: bool = True) -> Probe:
        found = probe(
            self._engine,
            image,
            limits=self._rules.limits,
            largest_only=largest_only,
            liveness=self._liveness if live else None,
        )
        if not found.faces:
            raise NoFace
        return found


class Intake:
    def __init__(
        self, *, faces: Faces, enrolments: Enrolments, recognition: Recognition, model_id: str, threads: Threads
    ) -> None:
        self._faces, self._enrolments, self._recognition = faces, enrolments, recognition
        self._model_id, self._threads = model_id, threads

    async def enrol(self, body: Body[wire.EnrolRequest], *, caller: Caller, key: str | None) -> Outcome:
        """Enrol one person; an earlier answer to the same `key` is given again without inference."""
        digest = _digest("enrol", body.sha256)
        if earlier := await self._replay(caller, key, digest):
            return earlier
        request = body.content
        faces = await self._faces.captures(request.images, request.face)
        return await self._threads.enrolment(
            self._enrolments.enrol,
            faces,
            caller=caller,
            external_id=request.external_id,
            metadata=request.metadata,
            on_duplicate=request.on_duplicate,
            retain_until=request.retain_until,
            idempotency=Idempotency(key, digest) if key else None,
        )

    async def add_samples(
        self, subject_id: str, body: Body[wire.AddSampleRequest], *, caller: Caller, key: str | None
    ) -> Outcome:
        digest = _digest(f"samples of {subject_id}", body.sha256)
        if earlier := await self._replay(caller, key, digest):
            return earlier
        faces = await self._faces.captures(body.content.images, body.content.face)
        idempotency = Idempotency(key, digest) if key else None
        return await self._threads.enrolment(
            self._enrolments.add_samples, subject_id, faces, caller=caller, idempotency=idempotency
        )

    async def verify(self, request: wire.VerifyRequest) -> wire.Verification:
        images = [image for image in (request.image, request.reference_image) if image is not None]
        shown, *reference = await self._faces.largest(*images)
        if request.subject_id is not None:
            return await self._threads.ledger(
                self._recognition.verify_subject,
                request.subject_id,
                shown.faces[0],
                threshold=request.threshold,
                faces_in_image=shown.faces_found,
            )
        return await self._threads.ledger(
            self._recognition.verify_images,
            shown.faces[0],
            reference[0].faces[0],
            threshold=request.threshold,
            faces_in_image=shown.faces_found,
            faces_in_reference=reference[0].faces_found,
        )

    async def identify(self, request: wire.IdentifyRequest) -> wire.Identification:
        shown = await self._faces.probe(request.image)
        return await self._threads.ledger(
            self._recognition.identify,
            shown.faces,
            threshold=request.threshold,
            limit=request.limit,
            min_seq=request.min_seq,
        )

    async def detect(self, request: wire.DetectRequest) -> wire.Detection:
        found = await self._faces.detect(request.image)
        return wire.Detection(
            faces=[detected_face(seen) for seen in found.faces],
            width=found.width,
            height=found.height,
            model_id=self._model_id,
        )

    async def _replay(self, caller: Caller, key: str | None, sha256: str) -> Outcome | None:
        if key is None:
            return None
        return await self._threads.enrolment(self._enrolments.replay, caller, key, sha256)


def _digest(operation: str, body_sha256: str) -> str:
    """What an idempotency key stands for: the same bytes sent to another subject are another request."""
    return hashlib.sha256(f"{operation}\0{body_sha256}".encode()).hexdigest()
