"""Enrolment, and the people who are enrolled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse, StreamingResponse

from backend import examples, problems, wire
from backend.enrolment import Outcome, Result
from backend.errors import (
    ExternalIdTaken,
    FaceAuthError,
    FaceTooSmall,
    GalleryBehind,
    LastSample,
    ModelMismatch,
    NoFace,
    QualityTooLow,
    RetainUntilPast,
    SampleNotFound,
    SeveralFaces,
    SubjectNotFound,
    TooManyImages,
    TooManySubjects,
)
from backend.export_format import SubjectExport
from backend.openapi import refuses, takes
from backend.refusals import OF_IMAGES
from backend.routes.deps import (
    BatchBody,
    CountDecision,
    Cursor,
    EnrolBody,
    IdempotencyKey,
    IfMatch,
    Limit,
    MayChangeSubject,
    MayEnrol,
    MayEraseSubject,
    MayExportSubject,
    MayReadSubjects,
    MaySeeImage,
    PatchBody,
    SamplesBody,
    TheParts,
)

router = APIRouter(prefix="/v1/subjects", tags=["subjects"])
TAGGED: dict[int | str, dict[str, Any]] = {
    200: {"headers": {"ETag": {"schema": {"type": "string"}, "description": "Its version, to be given as If-Match"}}}
}
TO_ENROL = (*OF_IMAGES, QualityTooLow, TooManyImages, NoFace, SeveralFaces, FaceTooSmall, ModelMismatch, GalleryBehind)


def _rejected(*errors: type[FaceAuthError]) -> dict[int | str, dict[str, Any]]:
    """Of 409: an enrolment that was rejected, and the problems with this status."""
    content = {
        "application/json": {"examples": examples.named(examples.REJECTED)},
        **refuses(*errors).get(409, {}).get("content", {}),
    }
    return {409: {"model": wire.Enrolment, "description": "Rejected as a certain duplicate, or in conflict", "content": content}}


@router.post(
    "",
    status_code=201,
    response_model=wire.Enrolment,
    responses=refuses(*TO_ENROL, RetainUntilPast) | _rejected(ExternalIdTaken),
    openapi_extra=takes(wire.EnrolRequest, forms=True),
)
async def enrol(
    caller: MayEnrol, body: EnrolBody, parts: TheParts, decided: CountDecision, idempotency_key: IdempotencyKey = None
) -> Response:
    """Enrol one person from one or more images; possible duplicates of people enrolled before go to review."""
    outcome = await parts.intake.enrol(body, caller=caller, key=idempotency_key)
    decided("enrol", _decision(outcome))
    return _enrolled(outcome)


@router.post(
    "/batch",
    response_model=wire.EnrolBatch,
    responses=refuses(TooManyImages, TooManySubjects, ModelMismatch, GalleryBehind),
    openapi_extra=takes(wire.EnrolBatchRequest),
)
async def enrol_batch(
    caller: MayEnrol, body: BatchBody, parts: TheParts, decided: CountDecision, idempotency_key: IdempotencyKey = None
) -> wire.EnrolBatch:
    """Enrol several people at once, each with an answer of its own: what is wrong with one photograph concerns that one alone.

    They are enrolled in their order, so two of one batch are duplicates as any two others. A request that is malformed anywhere
    is refused whole. `status` 503 of a result: send that subject again, with the same key.
    """
    results = await parts.batches.enrol(body.content.subjects, caller=caller, key=idempotency_key)
    for result in results:
        if isinstance(result, Outcome):
            decided("enrol", _decision(result))
    return wire.EnrolBatch(results=[_result(result) for result in results])


@router.post(
    "/{subject_id}/samples",
    status_code=201,
    response_model=wire.Enrolment,
    responses=refuses(*TO_ENROL, SubjectNotFound) | _rejected(),
    openapi_extra=takes(wire.AddSampleRequest, forms=True),
)
async def add_samples(
    subject_id: str,
    caller: MayEnrol,
    body: SamplesBody,
    parts: TheParts,
    decided: CountDecision,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """More images of a known person: an enrolment too, with the same search for duplicates."""
    outcome = await parts.intake.add_samples(subject_id, body, caller=caller, key=idempotency_key)
    decided("add_samples", _decision(outcome))
    return _enrolled(outcome)


@router.get("", response_model=wire.Page[wire.Subject], responses=refuses())
async def list_subjects(
    caller: MayReadSubjects,
    parts: TheParts,
    cursor: Cursor = None,
    limit: Limit = 50,
    external_id: Annotated[str | None, Query(max_length=200)] = None,
    query: Annotated[
        str | None, Query(max_length=200, description="A whole external id, or the beginning of an id of ours.")
    ] = None,
    state: wire.SubjectState | None = None,
) -> wire.Page[wire.Subject]:
    """Newest first."""
    return await parts.threads.ledger(
        parts.subjects.list, cursor=cursor, limit=limit, external_id=external_id, query=query, state=state
    )


@router.get("/{subject_id}", response_model=wire.Subject, responses=refuses(SubjectNotFound) | TAGGED)
async def read_subject(subject_id: str, caller: MayReadSubjects, parts: TheParts, response: Response) -> wire.Subject:
    """One person; the ETag is the version to give as If-Match."""
    return _tagged(await parts.threads.ledger(parts.subjects.get, subject_id), response)


@router.patch(
    "/{subject_id}",
    response_model=wire.Subject,
    responses=refuses(SubjectNotFound, ExternalIdTaken, RetainUntilPast) | TAGGED,
    openapi_extra=takes(wire.SubjectPatch),
)
async def change_subject(
    subject_id: str, caller: MayChangeSubject, body: PatchBody, if_match: IfMatch, parts: TheParts, response: Response
) -> wire.Subject:
    """Change external_id, metadata or retain_until; what the body does not name stays."""
    changed = await parts.threads.ledger(parts.subjects.patch, subject_id, body.content, if_match=if_match, caller=caller)
    return _tagged(changed, response)


@router.delete("/{subject_id}", status_code=204, responses=refuses(SubjectNotFound))
async def erase_subject(subject_id: str, caller: MayEraseSubject, if_match: IfMatch, parts: TheParts) -> None:
    """Erase a person: samples, templates, metadata and the key they were encrypted with."""
    await parts.threads.ledger(parts.subjects.erase, subject_id, if_match=if_match, caller=caller)


@router.get(
    "/{subject_id}/export",
    response_class=StreamingResponse,
    responses=refuses(SubjectNotFound) | {200: {"model": SubjectExport, "description": "One JSON document, sent as it is made"}},
)
async def export_subject(subject_id: str, caller: MayExportSubject, parts: TheParts) -> StreamingResponse:
    """All that is held on a person and on everybody merged into it: profile, pictures, templates, enrolments, pairs, cases,
    decisions, audit events. Other people occur by id alone. Each export is audited. A document that breaks off is not whole JSON.
    """
    export = await parts.threads.ledger(parts.exports.export, subject_id, caller=caller)

    async def pieces() -> AsyncIterator[bytes]:
        while (piece := await parts.threads.ledger(lambda: next(export.pieces, None))) is not None:
            yield piece

    headers = {
        "ETag": f'"{export.version}"',
        "Cache-Control": "no-store",
        "Content-Disposition": 'attachment; filename="export.json"',
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(pieces(), media_type="application/json", headers=headers)


@router.delete(
    "/{subject_id}/samples/{sample_id}", status_code=204, responses=refuses(SubjectNotFound, SampleNotFound, LastSample)
)
async def erase_sample(subject_id: str, sample_id: str, caller: MayEraseSubject, if_match: IfMatch, parts: TheParts) -> None:
    """Erase one picture and its template; the only active one of a subject is refused (409): erase the subject then."""
    await parts.threads.ledger(parts.subjects.erase_sample, subject_id, sample_id, if_match=if_match, caller=caller)


@router.get(
    "/{subject_id}/samples/{sample_id}/image",
    response_class=Response,
    responses=refuses(SubjectNotFound, SampleNotFound)
    | {200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}, "description": "The face crop"}},
)
async def sample_image(subject_id: str, sample_id: str, caller: MaySeeImage, parts: TheParts) -> Response:
    """The face crop, for reviewers; each look is audited."""
    image = await parts.threads.ledger(parts.subjects.sample_image, subject_id, sample_id, caller)
    return Response(image, media_type="image/jpeg", headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})


def _enrolled(outcome: Outcome) -> JSONResponse:
    return JSONResponse(
        outcome.answer.model_dump(mode="json"),
        status_code=outcome.status,
        headers={"Location": f"/v1/subjects/{outcome.answer.subject_id}"} if outcome.status == 201 else None,
    )


def _result(result: Result) -> wire.EnrolResult:
    if isinstance(result, Outcome):
        return wire.EnrolResult(status=result.status, enrolment=result.answer)
    return wire.EnrolResult(status=result.status, problem=problems.problem(result))


def _decision(outcome: Outcome) -> str:
    if outcome.status != 201:
        return "rejected"
    return "flagged" if outcome.answer.duplicates else "clear"


def _tagged(subject: wire.Subject, response: Response) -> wire.Subject:
    response.headers["ETag"] = f'"{subject.version}"'
    return subject
