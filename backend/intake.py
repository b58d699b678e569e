"""From images to answers: the order in which the faces and the ledger are asked. Routes call this; it knows no HTTP.

Inference runs in the bounded pool, everything else in threads; nothing here blocks the event loop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from backend import wire
from backend.body import Body
from backend.enrolment import Enrolments, Idempotency, Outcome
from backend.errors import NoFace, TooManyImages
from backend.faces.capture import CapturedFace, Detected, Probe, capture, detect, embedded_again, probe
from backend.faces.engine import Engine
from backend.faces.gate import OPEN, Gate
from backend.faces.image import ImageLimits
from backend.faces.liveness import LivenessCheck
from backend.faces.pool import InferencePool
from backend.model_parts import ModelParts, Models
from backend.recognition import detected_face
from backend.store.caller import Caller
from backend.threads import Threads


@dataclass(frozen=True)
class ImageRules:
    limits: ImageLimits
    max_images: int
    min_face_px: int
    gate: Gate = OPEN


class Faces:
    """Engines behind their pool: images in, faces out."""

    def __init__(
        self,
        engines: Callable[[], tuple[Engine, Engine | None]],
        pool: InferencePool,
        rules: ImageRules,
        liveness: LivenessCheck | None = None,
    ) -> None:
        """`engines`: by which is enrolled, and by which beside it while a change of model is open; it may raise NotReady."""
        self._engines, self._pool, self._rules, self._liveness = engines, pool, rules, liveness

    async def captures(self, images: Sequence[bytes], choose: wire.FaceChoice) -> list[CapturedFace]:
        if len(images) > self._rules.max_images:
            raise TooManyImages(f"At most {self._rules.max_images} images in one request")
        engine, beside = self._engines()
        return await self._pool.run(lambda: [self._capture(engine, beside, image, choose) for image in images])

    async def probe(self, engine: Engine, image: bytes) -> Probe:
        """Every face of one image. Raises `NoFace`."""
        return await self._pool.run(lambda: self._probe(engine, image, largest_only=False))

    async def largest(self, engine: Engine, *images: bytes) -> list[Probe]:
        """The largest face of each image, the first one's liveness too: it is who stands there. Raises `NoFace`."""
        return await self._pool.run(
            lambda: [self._probe(engine, image, largest_only=True, live=place == 0) for place, image in enumerate(images)]
        )

    async def detect(self, engine: Engine, image: bytes) -> Detected:
        return await self._pool.run(lambda: detect(engine, image, limits=self._rules.limits, liveness=self._liveness))

    def _capture(self, engine: Engine, beside: Engine | None, image: bytes, choose: wire.FaceChoice) -> CapturedFace:
        rules = self._rules
        face = capture(
            engine,
            image,
            limits=rules.limits,
            choose=choose.value,
            min_face_px=rules.min_face_px,
            gate=rules.gate,
        )
        vector = None if beside is None else embedded_again(beside, face.crop)
        return face if beside is None or vector is None else replace(face, others={beside.card.model_id: vector})

    def _probe(self, engine: Engine, image: bytes, *, largest_only: bool, live: bool = True) -> Probe:
        found = probe(
            engine,
            image,
            limits=self._rules.limits,
            largest_only=largest_only,
            liveness=self._liveness if live else None,
        )
        if not found.faces:
            raise NoFace
        return found


class Intake:
    def __init__(self, *, faces: Faces, enrolments: Enrolments, models: Models, threads: Threads) -> None:
        self._faces, self._enrolments = faces, enrolments
        self._models, self._threads = models, threads

    async def enrol(self, body: Body[wire.EnrolRequest], *, caller: Caller, key: str | None) -> Outcome:
        """Enrol one person; an earlier answer to the same `key` is given again without inference."""
        digest = _digest("enrol", body.sha256)
        if earlier := await self._replay(caller, key, digest):
            return earlier
        return await self._models.answered(lambda _: self._enrolled(body.content, caller, _idempotency(key, digest)))

    async def _enrolled(self, request: wire.EnrolRequest, caller: Caller, idempotency: Idempotency | None) -> Outcome:
        faces = await self._faces.captures(request.images, request.face)
        return await self._threads.enrolment(
            self._enrolments.enrol,
            faces,
            caller=caller,
            external_id=request.external_id,
            metadata=request.metadata,
            on_duplicate=request.on_duplicate,
            retain_until=request.retain_until,
            idempotency=idempotency,
        )

    async def add_samples(
        self, subject_id: str, body: Body[wire.AddSampleRequest], *, caller: Caller, key: str | None
    ) -> Outcome:
        digest = _digest(f"samples of {subject_id}", body.sha256)
        if earlier := await self._replay(caller, key, digest):
            return earlier
        return await self._models.answered(lambda _: self._added(subject_id, body.content, caller, _idempotency(key, digest)))

    async def _added(
        self, subject_id: str, request: wire.AddSampleRequest, caller: Caller, idempotency: Idempotency | None
    ) -> Outcome:
        faces = await self._faces.captures(request.images, request.face)
        return await self._threads.enrolment(
            self._enrolments.add_samples, subject_id, faces, caller=caller, idempotency=idempotency
        )

    async def verify(self, request: wire.VerifyRequest) -> wire.Verification:
        return await self._models.answered(lambda it: self._verified(it, request))

    async def _verified(self, it: ModelParts, request: wire.VerifyRequest) -> wire.Verification:
        images = [image for image in (request.image, request.reference_image) if image is not None]
        shown, *reference = await self._faces.largest(it.engine, *images)
        if request.subject_id is not None:
            return await self._threads.ledger(
                it.recognition.verify_subject,
                request.subject_id,
                shown.faces[0],
                threshold=request.threshold,
                faces_in_image=shown.faces_found,
            )
        return await self._threads.ledger(
            it.recognition.verify_images,
            shown.faces[0],
            reference[0].faces[0],
            threshold=request.threshold,
            faces_in_image=shown.faces_found,
            faces_in_reference=reference[0].faces_found,
        )

    async def identify(self, request: wire.IdentifyRequest) -> wire.Identification:
        return await self._models.answered(lambda it: self._identified(it, request))

    async def _identified(self, it: ModelParts, request: wire.IdentifyRequest) -> wire.Identification:
        shown = await self._faces.probe(it.engine, request.image)
        return await self._threads.ledger(
            it.recognition.identify,
            shown.faces,
            threshold=request.threshold,
            limit=request.limit,
            min_seq=request.min_seq,
        )

    async def detect(self, request: wire.DetectRequest) -> wire.Detection:
        it = self._models.shown
        found = await self._faces.detect(it.engine, request.image)
        return wire.Detection(
            faces=[detected_face(seen) for seen in found.faces],
            width=found.width,
            height=found.height,
            model_id=it.side.card.model_id,
        )

    async def _replay(self, caller: Caller, key: str | None, sha256: str) -> Outcome | None:
        if key is None:
            return None
        return await self._threads.enrolment(self._enrolments.replay, caller, key, sha256)


def _idempotency(key: str | None, digest: str) -> Idempotency | None:
    return Idempotency(key, digest) if key else None


def _digest(operation: str, body_sha256: str) -> str:
    """What an idempotency key stands for: the same bytes sent to another subject are another request."""
    return hashlib.sha256(f"{operation}\0{body_sha256}".encode()).hexdigest()
