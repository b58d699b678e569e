"""What routes ask for, as aliases, so that their signatures read as sentences. Every dependency is a coroutine: a plain function
would be sent to the thread pool that work may have filled.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar, cast

from fastapi import Depends, Header, Query, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from backend import body, wire
from backend.body import Body
from backend.errors import BadRequest, PreconditionFailed
from backend.metrics import MARK
from backend.parts import Parts
from backend.permissions import Action, require
from backend.store.caller import Caller

Model = TypeVar("Model", bound=BaseModel)

_bearer = HTTPBearer(auto_error=False, description="An API key (`fa_…`) or a person's token from the dashboard.")


async def _parts(request: Request) -> Parts:
    return cast(Parts, request.state.parts)


TheParts = Annotated[Parts, Depends(_parts)]


@dataclass(frozen=True)
class May:
    """The caller of a route that does `action`, once it is known that they may, and that their key is not over its limit."""

    action: Action

    async def __call__(
        self, request: Request, parts: TheParts, given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
    ) -> Caller:
        if len(request.headers.getlist("authorization")) > 1:
            raise BadRequest("Send one Authorization header")  # or a proxy might have checked another one than is used here
        found = await parts.identity.caller(given.credentials if given else None)
        request.state.caller = found
        allowance = request.state.allowance = parts.rates.count(found, marked=MARK in request.headers)
        if allowance is not None:
            allowance.require()
        require(found, self.action)
        return found


MayEnrol = Annotated[Caller, Depends(May(Action.enrol))]
MayRecognise = Annotated[Caller, Depends(May(Action.recognise))]
MayReadSubjects = Annotated[Caller, Depends(May(Action.read_subjects))]
MayChangeSubject = Annotated[Caller, Depends(May(Action.change_subject))]
MayEraseSubject = Annotated[Caller, Depends(May(Action.erase_subject))]
MayExportSubject = Annotated[Caller, Depends(May(Action.export_subject))]
MaySeeImage = Annotated[Caller, Depends(May(Action.see_image))]
MayReadCases = Annotated[Caller, Depends(May(Action.read_cases))]
Reviewer = Annotated[Caller, Depends(May(Action.work_cases))]
Supervisor = Annotated[Caller, Depends(May(Action.take_over))]
MayReadReviewNumbers = Annotated[Caller, Depends(May(Action.read_review_numbers))]
MayWatch = Annotated[Caller, Depends(May(Action.watch))]
MayDrain = Annotated[Caller, Depends(May(Action.drain))]
MayManageKeys = Annotated[Caller, Depends(May(Action.manage_keys))]
MayScan = Annotated[Caller, Depends(May(Action.scan))]
MayReadScans = Annotated[Caller, Depends(May(Action.read_scans))]
MaySimulate = Annotated[Caller, Depends(May(Action.simulate))]
MayReadAudit = Annotated[Caller, Depends(May(Action.read_audit))]


def _body(model: type[Model], *, images: int | None, forms: bool = False) -> Callable[..., AsyncIterator[Body[Model]]]:
    async def content(request: Request, parts: TheParts) -> AsyncIterator[Body[Model]]:
        async with parts.bodies.read(request, images=images, forms=forms) as raw:
            kind = body.content_type(request)
            if len(raw) <= body.PARSED_AT_ONCE:
                parsed = body.parse(raw, model, kind)
            else:
                parsed = await parts.threads.parse(body.parse, raw, model, kind)
            del raw
            yield parsed

    return content


# Declared after the caller in each signature: nobody's body is read before it is known who sends it.
EnrolBody = Annotated[Body[wire.EnrolRequest], Depends(_body(wire.EnrolRequest, images=None, forms=True))]
BatchBody = Annotated[Body[wire.EnrolBatchRequest], Depends(_body(wire.EnrolBatchRequest, images=None))]
SamplesBody = Annotated[Body[wire.AddSampleRequest], Depends(_body(wire.AddSampleRequest, images=None, forms=True))]
PatchBody = Annotated[Body[wire.SubjectPatch], Depends(_body(wire.SubjectPatch, images=0))]
DetectBody = Annotated[Body[wire.DetectRequest], Depends(_body(wire.DetectRequest, images=1, forms=True))]
VerifyBody = Annotated[Body[wire.VerifyRequest], Depends(_body(wire.VerifyRequest, images=2, forms=True))]
IdentifyBody = Annotated[Body[wire.IdentifyRequest], Depends(_body(wire.IdentifyRequest, images=1, forms=True))]
ClaimBody = Annotated[Body[wire.ClaimRequest], Depends(_body(wire.ClaimRequest, images=0))]
DecideBody = Annotated[Body[wire.DecideRequest], Depends(_body(wire.DecideRequest, images=0))]
TogetherBody = Annotated[Body[wire.TogetherRequest], Depends(_body(wire.TogetherRequest, images=0))]
BulkPreviewBody = Annotated[Body[wire.BulkPreviewRequest], Depends(_body(wire.BulkPreviewRequest, images=0))]
BulkBody = Annotated[Body[wire.BulkRequest], Depends(_body(wire.BulkRequest, images=0))]
UndoBody = Annotated[Body[wire.UndoRequest], Depends(_body(wire.UndoRequest, images=0))]
ScanBody = Annotated[Body[wire.ScanRequest], Depends(_body(wire.ScanRequest, images=0))]
SimulateBody = Annotated[Body[wire.SimulateRequest], Depends(_body(wire.SimulateRequest, images=0))]
KeyChangeBody = Annotated[Body[wire.KeyChange], Depends(_body(wire.KeyChange, images=0))]
KeyBody = Annotated[Body[wire.KeyRequest], Depends(_body(wire.KeyRequest, images=0))]

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="Repeating a request with the same key and the same body gives the first answer again, for 24 hours.",
    ),
]
Cursor = Annotated[str | None, Query(max_length=500, description="`next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=200)]


async def _if_match(
    if_match: Annotated[
        str | None, Header(alias="If-Match", description="The ETag that was read: change only that version.")
    ] = None,
) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    version = re.fullmatch(r'"(\d{1,9})"', if_match.strip())
    if version is None:
        raise PreconditionFailed
    return int(version[1])


IfMatch = Annotated[int | None, Depends(_if_match)]


class Decided:
    """Counts this request's decision, unless it is marked demo traffic."""

    def __init__(self, parts: Parts, *, synthetic: bool) -> None:
        self._parts, self._synthetic = parts, synthetic

    def __call__(self, operation: str, decision: str) -> None:
        if not self._synthetic:
            self._parts.metrics.decided(operation, decision)


async def _decided(request: Request, parts: TheParts) -> Decided:
    return Decided(parts, synthetic=MARK in request.headers)


CountDecision = Annotated[Decided, Depends(_decided)]
