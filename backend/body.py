"""Request bodies, JSON or forms: counted while they arrive, kept in memory only (never a temporary file), parsed in a thread."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from backend import form, problems
from backend.errors import BodyTooLarge, InvalidJson, Overloaded, UnsupportedMediaType

Model = TypeVar("Model", bound=BaseModel)

JSON = "application/json"
SLACK_BYTES = 64 * 1024
"""room for everything in a body that is not an image"""
PARSED_AT_ONCE = 128 * 1024
"""A body of up to that many bytes is parsed where it arrived, within half a millisecond: another thread would begin no sooner."""
BODIES_AT_ONCE = 4
"""how many bodies of the largest size may be held in memory together"""


@dataclass(frozen=True)
class Body(Generic[Model]):
    content: Model
    sha256: str
    """of the body as sent, of a form less its boundary: an Idempotency-Key belongs to exactly these bytes"""


class BodyReader:
    """Bounds one body by what its route may carry, and all bodies together by what memory should hold."""

    def __init__(self, *, max_image_bytes: int, max_images: int) -> None:
        self._max_image_bytes = max_image_bytes
        self._max_images = max_images
        self._room = BODIES_AT_ONCE * self.limit(max_images)

    def limit(self, images: int | None) -> int:
        """Bytes of a body with that many images in base64; None = as many as an enrolment may have."""
        count = self._max_images if images is None else images
        return count * -(-self._max_image_bytes * 4 // 3) + SLACK_BYTES

    @asynccontextmanager
    async def read(self, request: Request, *, images: int | None, forms: bool = False) -> AsyncIterator[bytearray]:
        """The body. Its room is given back when the block ends: stay in it for as long as its images are in memory.

        Raises:
            UnsupportedMediaType: something else than JSON or, where `forms` are taken, multipart/form-data.
            BodyTooLarge: more bytes than the route takes; the rest is not read.
            Overloaded: too many bodies are held already.
        """
        limit = self.limit(images)
        _check_head(request, limit, forms=forms)
        body = bytearray()  # grows where it lies: joining the pieces of a large body would hold up the event loop
        held = 0
        try:
            async for chunk in request.stream():
                if held + len(chunk) > limit:
                    raise BodyTooLarge
                if len(chunk) > self._room:
                    raise Overloaded("Too many requests with large bodies at once")
                self._room -= len(chunk)
                held += len(chunk)
                body += chunk
            yield body
        finally:
            self._room += held


def content_type(request: Request) -> str:
    return request.headers.get("content-type", JSON)


def _check_head(request: Request, limit: int, *, forms: bool) -> None:
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise BodyTooLarge
    if _kind(content_type(request)) not in ({JSON, form.MEDIA_TYPE} if forms else {JSON}):
        raise UnsupportedMediaType


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def parse(body: bytes | bytearray, model: type[Model], content_type: str = JSON) -> Body[Model]:
    """Blocks for as long as a large body takes.

    Raises `InvalidJson`, `InvalidForm`, `InvalidRequest`; none repeats the input.
    """
    try:
        if _kind(content_type) == form.MEDIA_TYPE:
            fields, sha256 = form.fields_of(body, content_type)
            return Body(model.model_validate(fields), sha256)
        content = model.model_validate_json(body or b"{}")
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        if any(one["type"] == "json_invalid" for one in found):
            raise InvalidJson from None
        raise problems.form_errors(found) from None
    return Body(content, hashlib.sha256(body).hexdigest())
