"""What FastAPI cannot see by itself: request bodies (they are read by `backend.body`) and the problem documents."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from backend import form, problems, wire

REFERENCE = "#/components/schemas/{model}"
BODIES: tuple[type[BaseModel], ...] = (
    wire.EnrolRequest,
    wire.EnrolBatchRequest,
    wire.AddSampleRequest,
    wire.SubjectPatch,
    wire.DetectRequest,
    wire.VerifyRequest,
    wire.IdentifyRequest,
    wire.ClaimRequest,
    wire.DecideRequest,
    wire.UndoRequest,
    wire.TogetherRequest,
    wire.BulkPreviewRequest,
    wire.BulkRequest,
    wire.KeyRequest,
    wire.KeyChange,
    wire.ScanRequest,
)


def takes(model: type[BaseModel], *, required: bool = True, forms: bool = False) -> dict[str, Any]:
    """`openapi_extra` of a route whose body is `model`, with `forms` also as multipart/form-data."""
    content: dict[str, Any] = {"application/json": {"schema": {"$ref": REFERENCE.format(model=model.__name__)}}}
    if forms:
        content[form.MEDIA_TYPE] = {"schema": form.schema_of(model, ref_template=REFERENCE)}
    return {"requestBody": {"required": required, "content": content}}


def refuses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route: the problem documents that it may answer with."""
    schema = {"$ref": REFERENCE.format(model=wire.Problem.__name__)}
    content = {problems.MEDIA_TYPE: {"schema": schema}}
    return {status: {"description": _MEANING[status], "content": content} for status in (*statuses, 401, 403, 429, 503)}


_MEANING = {
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


def describe(app: FastAPI) -> None:
    """Complete the schema that `app` publishes at /openapi.json."""
    generate = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            _, ours = models_json_schema(
                [(model, "validation") for model in BODIES] + [(wire.Problem, "serialization")], ref_template=REFERENCE
            )
            document.setdefault("components", {}).setdefault("schemas", {}).update(ours["$defs"])
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = complete  # type: ignore[method-assign]
