"""Errors of the monitor's API as RFC 9457 documents.

MonitorError
├── BadRequest 400            BadCursor
├── Unauthenticated 401
├── Forbidden 403
├── NotFound 404              BackendNotFound, TargetNotFound, AlertNotFound, RouteNotFound,
│                             DistributionCheckNotFound
├── Conflict 409              DrainRefused, DrainImpossible, DistributionCheckUnderWay, NoBalancerToCheck
├── TargetRefused 422
└── Unavailable 503           StoreAway
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import ClassVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from monitor import wire

MEDIA_TYPE = "application/problem+json"


class MonitorError(Exception):
    status: ClassVar[int] = 500
    title: ClassVar[str] = "The monitor failed"

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or self.title)

    @classmethod
    def code(cls) -> str:
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


class BadRequest(MonitorError):
    status, title = 400, "The request cannot be understood"


class BadCursor(BadRequest):
    title = "The cursor is not one of ours: start again without `cursor`"


class Unauthenticated(MonitorError):
    status, title = 401, "Send `Authorization: Bearer` with a valid API key or token"


class Forbidden(MonitorError):
    status, title = 403, "This key or person may not read the fleet"


class NotFound(MonitorError):
    status, title = 404, "There is nothing here"


class BackendNotFound(NotFound):
    title = "No such backend in the fleet file"


class TargetNotFound(NotFound):
    title = "Nothing in the fleet file has this name"


class AlertNotFound(NotFound):
    title = "No such alert; one that never fired leaves nothing behind"


class RouteNotFound(NotFound):
    title = "No such alert route in the fleet file"


class DistributionCheckNotFound(NotFound):
    title = "No such check; the last twenty are kept until the monitor is restarted"


class Conflict(MonitorError):
    status, title = 409, "This is not possible as things are"


class DrainRefused(Conflict):
    title = "Too few backends would be left"


class DrainImpossible(Conflict):
    title = "The backend cannot be asked to drain"


class DistributionCheckUnderWay(Conflict):
    title = "Another check of the distribution is under way: wait for its end"


class NoBalancerToCheck(Conflict):
    title = "The fleet file has no balancer: clients call the backends themselves"


class TargetRefused(MonitorError):
    status, title = 422, "The monitor does not connect there"


class Unavailable(MonitorError):
    status, title = 503, "The monitor cannot answer at the moment"


class StoreAway(Unavailable):
    title = "The monitor's own database does not answer; the present state (/v1/fleet) is still served"


def install(app: FastAPI) -> None:
    """Answer every error with a problem document."""
    app.add_exception_handler(MonitorError, _of_ours)
    app.add_exception_handler(SQLAlchemyError, _of_store)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)


def _of_ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MonitorError)  # noqa: S101 - the handler's registration says so
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "2"}}.get(error.status, {})
    return document(error.status, error.code(), error.title, str(error), headers=headers)


def _of_store(request: Request, error: Exception) -> JSONResponse:
    return _of_ours(request, StoreAway())


def _of_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    wrong = "; ".join(f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors())
    return document(422, "invalid_request", "The request's form is wrong", wrong)


def _of_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    phrase = HTTPStatus(error.status_code).phrase
    return document(error.status_code, phrase.lower().replace(" ", "_"), phrase, str(error.detail))


def document(status: int, code: str, title: str, detail: str, *, headers: dict[str, str] | None = None) -> JSONResponse:
    body = wire.Problem(type=f"urn:face-auth:problem:{code}", title=title, status=status, detail=detail, code=code)
    return JSONResponse(body.model_dump(mode="json"), status, headers=headers, media_type=MEDIA_TYPE)
