"""What FastAPI cannot see by itself: request bodies (they are read by `backend.body`), errors, examples, what follows what."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from backend import examples, form, links, refusals, wire
from backend.errors import FaceAuthError
from backend.refusals import REFERENCE

FRAMEWORKS_OWN = ("HTTPValidationError", "ValidationError")
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
    wire.SimulateRequest,
)


def takes(model: type[BaseModel], *, required: bool = True, forms: bool = False) -> dict[str, Any]:
    """`openapi_extra` of a route whose body is `model`, with `forms` also as multipart/form-data."""
    schema = {"$ref": REFERENCE.format(model=model.__name__)}
    bodies = examples.REQUESTS.get(model.__name__, {})
    content: dict[str, Any] = {"application/json": {"schema": schema, "examples": examples.named(bodies)}}
    if forms:
        told = examples.named({name: form.as_form(body) for name, body in bodies.items()})
        content[form.MEDIA_TYPE] = {"schema": form.schema_of(model, ref_template=REFERENCE), "examples": told}
    return {"requestBody": {"required": required, "content": content}}


def refuses(*errors: type[FaceAuthError] | int) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route: what it may be refused with, beside what follows from its form (`refusals.derived`)."""
    responses: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        refusals.add(responses, error, key=int)
    return responses


def describe(app: FastAPI) -> None:
    """Complete the schema that `app` publishes at /openapi.json."""
    generate = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(generate())
        return app.openapi_schema

    app.openapi = complete  # type: ignore[method-assign]


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    _, ours = models_json_schema(
        [(model, "validation") for model in BODIES] + [(wire.Problem, "serialization")], ref_template=REFERENCE
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(ours["$defs"])
    for name in FRAMEWORKS_OWN:
        schemas.pop(name, None)
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    ids = {call: operation["operationId"] for call, operation in operations.items()}
    for call, operation in operations.items():
        _refusals(operation)
        for response in (response for status, response in operation["responses"].items() if status.startswith("2")):
            _answers(response)
            if call in links.LINKS:
                response["links"] = links.documented(links.LINKS[call], ids)
    return document


def _refusals(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]  # FastAPI's form of it, which we never send
    for error in refusals.derived(operation):
        refusals.add(responses, error)


def _answers(response: dict[str, Any]) -> None:
    for content in response.get("content", {}).values():
        name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        if name in examples.ANSWERS:
            content.setdefault("example", examples.ANSWERS[name])
