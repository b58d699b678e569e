"""Which errors an operation may answer with, each with an example that is made of the error itself.

What follows from an operation's form (a body, a cursor, an Idempotency-Key) is derived; routes name the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from backend import problems, wire
from backend.errors import (
    AnimatedImage,
    BadCursor,
    BadRequest,
    BodyTooLarge,
    CaseJoined,
    CorruptImage,
    DatabaseAway,
    DeadlineExceeded,
    DecidedDifferent,
    EmptyImage,
    FaceAuthError,
    Forbidden,
    IdempotencyKeyReused,
    ImageTooLarge,
    InvalidForm,
    InvalidJson,
    InvalidRequest,
    LastSample,
    NotComparable,
    NotReady,
    NulInText,
    Overloaded,
    PoorQuality,
    PreconditionFailed,
    QualityTooLow,
    RateLimited,
    SamePerson,
    SecretGone,
    Shortfall,
    TooManyFaces,
    TooManyPixels,
    Unauthenticated,
    UnsupportedImage,
    UnsupportedMediaType,
)
from backend.examples import CASE, KEY, SUBJECT, TWIN

Errors = tuple[type[FaceAuthError], ...]

REFERENCE = "#/components/schemas/{model}"
REQUEST_ID = "4f6c2a1e9b8d4c7fa0b1c2d3e4f5a6b7"
ANYWHERE: Errors = (
    BadRequest,
    Unauthenticated,
    Forbidden,
    RateLimited,
    DatabaseAway,
    DeadlineExceeded,
    NotReady,
)
"""wherever a caller is asked who they are"""
OF_BODIES: Errors = (InvalidJson, NulInText, BodyTooLarge, UnsupportedMediaType, InvalidRequest, Overloaded)
OF_PARAMETERS: Errors = (InvalidRequest, NulInText)
OF_PARAMETER: Mapping[str, type[FaceAuthError]] = {
    "cursor": BadCursor,
    "Idempotency-Key": IdempotencyKeyReused,
    "If-Match": PreconditionFailed,
}
OF_IMAGES: Errors = (
    EmptyImage,
    CorruptImage,
    ImageTooLarge,
    TooManyPixels,
    UnsupportedImage,
    AnimatedImage,
    TooManyFaces,
    PoorQuality,
)
MEANING = {
    400: "The request or an image cannot be understood",
    401: "No valid API key or token",
    403: "Not allowed for this key or person",
    404: "Nothing here",
    409: "Conflicts with what is stored",
    412: "If-Match does not fit the present version",
    413: "Too many bytes, pixels or images",
    415: "Neither JSON nor (where images are sent) a form, or not an image that is read here",
    422: "Well-formed, but it cannot be carried out",
    429: "This key makes too many requests: see Retry-After",
    503: "Overloaded, not ready, or the database is away: see Retry-After",
}
HEADERS: Mapping[int, Mapping[str, Any]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "`Bearer`"}},
    429: {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds"}},
    503: {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds"}},
}
_INSTANCES: dict[type[FaceAuthError], FaceAuthError] = {
    type(error): error
    for error in (
        CaseJoined(CASE),
        LastSample(SUBJECT),
        SamePerson(SUBJECT, TWIN),
        DecidedDifferent(SUBJECT, TWIN, CASE),
        NotComparable(SUBJECT),
        SecretGone(KEY),
        QualityTooLow([Shortfall("Sharpness", 31, 50, "Hold still and let the camera focus on your face.")]),
        InvalidRequest([{"field": "limit", "problem": "Input should be less than or equal to 200", "type": "less_than_equal"}]),
    )
}
"""those that carry data; every other class makes its own sentence"""


def example(error: type[FaceAuthError]) -> dict[str, Any]:
    """The problem document of such an error."""
    return problems.document(_INSTANCES.get(error) or error(), request_id=REQUEST_ID)


def _of_body(kinds: Collection[str]) -> Errors:
    return (*OF_BODIES, InvalidForm) if len(kinds) > 1 else OF_BODIES


def derived(operation: Mapping[str, Any]) -> Iterator[type[FaceAuthError]]:
    """What an operation may be refused with because of its form; `operation` is as OpenAPI describes it."""
    if "security" in operation:
        yield from ANYWHERE
    if "requestBody" in operation:
        yield from _of_body(operation["requestBody"]["content"])
    parameters = [parameter["name"] for parameter in operation.get("parameters", ())]
    if parameters:
        yield from OF_PARAMETERS
    yield from (OF_PARAMETER[name] for name in parameters if name in OF_PARAMETER)


def add(responses: dict[Any, dict[str, Any]], error: type[FaceAuthError] | int, *, key: type[int] | type[str] = str) -> None:
    """Document that such an error may be the answer; a bare status has no example, which a test does not let pass."""
    status = error if isinstance(error, int) else error.status
    response = responses.setdefault(key(status), {"description": MEANING[status]})
    if status in HEADERS:
        response["headers"] = dict(HEADERS[status])
    content = response.setdefault("content", {}).setdefault(problems.MEDIA_TYPE, {})
    content.setdefault("schema", {"$ref": REFERENCE.format(model=wire.Problem.__name__)})
    if not isinstance(error, int):
        content.setdefault("examples", {})[error.code()] = {"summary": error.title, "value": example(error)}
