"""Every error leaves as an RFC 9457 problem document that explains itself and repeats nothing of what was sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from backend import wire
from backend.errors import (
    BadRequest,
    BodyTooLarge,
    CaseJoined,
    FaceAuthError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    QualityTooLow,
    RateLimited,
    Unauthenticated,
    Unavailable,
)

MEDIA_TYPE = "application/problem+json"
LONGEST_NAME = 64
PRIVATE_KEYS = frozenset({"metadata"})
"""Fields whose keys are the caller's own data, so that an error may not name them."""


def answer(error: FaceAuthError, *, request_id: str | None) -> JSONResponse:
    """The HTTP answer for `error`."""
    content = document(error, request_id=request_id)
    return JSONResponse(content, status_code=error.status, headers=_headers(error), media_type=MEDIA_TYPE)


def document(error: FaceAuthError, *, request_id: str | None) -> dict[str, Any]:
    """The problem document, as it is sent."""
    found: dict[str, Any] = problem(error, request_id=request_id).model_dump(exclude_none=True)
    return found | ({"into": error.into} if isinstance(error, CaseJoined) else {})


def problem(error: FaceAuthError, *, request_id: str | None = None) -> wire.Problem:
    return wire.Problem(
        type=f"urn:face-auth:problem:{error.code()}",
        title=type(error).title,
        status=error.status,
        detail=error.detail,
        code=error.code(),
        instance=request_id,
        errors=error.errors if isinstance(error, InvalidRequest | QualityTooLow) else None,
    )


def _headers(error: FaceAuthError) -> dict[str, str]:
    if isinstance(error, Unavailable | RateLimited):
        return {"Retry-After": str(error.retry_after_s)}
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, BodyTooLarge):
        return {"Connection": "close"}  # or the server would read the rest of the body first
    return {}


def form_errors(errors: Sequence[Mapping[str, Any]]) -> InvalidRequest:
    """Pydantic's findings, less the input, its context and any name that the caller chose as data."""
    return InvalidRequest([{"field": _field(found["loc"]), "problem": _said(found), "type": found["type"]} for found in errors])


def _said(found: Mapping[str, Any]) -> str:
    """Without pydantic's word for a sentence of our own."""
    return str(found["msg"]).removeprefix("Value error, ")


def _field(location: Sequence[int | str]) -> str:
    names: list[str] = []
    for part in location:
        names.append(str(part)[:LONGEST_NAME])
        if part in PRIVATE_KEYS:
            break
    return ".".join(names)


def from_http(status: int) -> FaceAuthError:
    """What the framework itself refuses, in our own words."""
    if status == 404:
        return NotFound()
    if status == 405:
        return MethodNotAllowed()
    return BadRequest() if 400 <= status < 500 else FaceAuthError()


def install(app: FastAPI) -> None:
    """Make `app` answer every error with a problem document."""

    # All of these are coroutines: Starlette would send a plain function to the thread pool that work may have filled.
    async def ours(request: Request, error: FaceAuthError) -> JSONResponse:
        return answer(error, request_id=_request_id(request))

    async def framework(request: Request, error: HTTPException) -> JSONResponse:
        response = answer(from_http(error.status_code), request_id=_request_id(request))
        response.headers.update(error.headers or {})
        return response

    async def form(request: Request, error: RequestValidationError) -> JSONResponse:
        return answer(form_errors(error.errors()), request_id=_request_id(request))

    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        return answer(FaceAuthError(), request_id=_request_id(request))

    handlers: dict[type[Exception], Any] = {
        FaceAuthError: ours,
        HTTPException: framework,
        RequestValidationError: form,
        Exception: unexpected,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _request_id(request: Request) -> str | None:
    return getattr(request.state, "request_id", None)
