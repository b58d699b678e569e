"""Detection, verification (1:1) and identification (1:N)."""

from __future__ import annotations

from fastapi import APIRouter

from backend import wire
from backend.errors import GalleryBehind, InvalidThreshold, NoFace, SeqUnknown, SubjectNotFound
from backend.openapi import refuses, takes
from backend.refusals import OF_IMAGES
from backend.routes.deps import CountDecision, DetectBody, IdentifyBody, MayRecognise, TheParts, VerifyBody

router = APIRouter(prefix="/v1", tags=["recognition"])
BAD_IMAGE = refuses(*OF_IMAGES)


@router.post("/detect", response_model=wire.Detection, responses=BAD_IMAGE, openapi_extra=takes(wire.DetectRequest, forms=True))
async def detect(caller: MayRecognise, body: DetectBody, parts: TheParts) -> wire.Detection:
    """The faces of an image, largest first, with landmarks and quality; none is an answer too."""
    return await parts.intake.detect(body.content)


@router.post(
    "/verify",
    response_model=wire.Verification,
    responses=refuses(*OF_IMAGES, NoFace, InvalidThreshold, SubjectNotFound),
    openapi_extra=takes(wire.VerifyRequest, forms=True),
)
async def verify(caller: MayRecognise, body: VerifyBody, parts: TheParts, decided: CountDecision) -> wire.Verification:
    """Whether an image shows a subject, or the person of another image; the largest face counts."""
    answer = await parts.intake.verify(body.content)
    decided("verify", answer.decision)
    return answer


@router.post(
    "/identify",
    response_model=wire.Identification,
    responses=refuses(*OF_IMAGES, NoFace, InvalidThreshold, SeqUnknown, GalleryBehind),
    openapi_extra=takes(wire.IdentifyRequest, forms=True),
)
async def identify(caller: MayRecognise, body: IdentifyBody, parts: TheParts, decided: CountDecision) -> wire.Identification:
    """Who is in an image: candidates at or above the threshold, for each of its faces."""
    answer = await parts.intake.identify(body.content)
    decided("identify", "candidates" if any(face.candidates for face in answer.faces) else "nobody")
    return answer
