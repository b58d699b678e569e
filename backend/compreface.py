"""Reading an Exadel CompreFace server through its REST API: whose faces it has, and the images that it was given of them.

Its embeddings are not read: they mean nothing to another model. The key travels in a header alone, and what the server says of
an error is not repeated, as it repeats the key.

    CompreFaceError
    ├── KeyRefused       it knows no recognition service of this key
    ├── NotCompreFace    something else answers there
    └── Silent           it cannot be reached, or fails, however often it is asked
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

import httpx
from pydantic import BaseModel, ValidationError

API = "/api/v1/recognition"
PAGE = 100
WAITS_S = (0.5, 1.0, 2.0)
"""between tries"""
REFUSALS = frozenset({400, 401, 403, 404})
LARGEST_IMAGE_BYTES = 32 * 1024 * 1024
"""more than it takes itself (5 MB unless it is configured otherwise)"""
Read = TypeVar("Read", bound=BaseModel)


class CompreFaceError(Exception):
    """Root of what reading raises."""


class KeyRefused(CompreFaceError):
    def __init__(self) -> None:
        super().__init__("CompreFace refuses the key: give that of a recognition service, as its user interface shows it")


class NotCompreFace(CompreFaceError):
    def __init__(self, why: str) -> None:
        super().__init__(f"what answers there is no CompreFace of 0.6 or later ({why}): give the address of its user interface")


class Silent(CompreFaceError):
    def __init__(self, why: str) -> None:
        super().__init__(f"CompreFace does not answer ({why}), tried {len(WAITS_S) + 1} times")


class Subjects(BaseModel):
    subjects: list[str]


class Face(BaseModel):
    image_id: UUID
    subject: str


class Faces(BaseModel):
    faces: list[Face]
    page_number: int
    page_size: int
    total_pages: int
    total_elements: int


class _Refusal(BaseModel):
    """How it says that something is wrong."""

    message: str
    code: int


@dataclass(frozen=True)
class Answer:
    status: int
    content: bytes


class CompreFace:
    """One connection pool for one recognition service; `ca_file` is trusted beside the system's roots, `timeout` in seconds."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        ca_file: Path | None = None,
        timeout: float = 30.0,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Raises `NotCompreFace` where `url` is no address."""
        trust = ssl.create_default_context()
        if ca_file is not None:
            trust.load_verify_locations(cafile=str(ca_file))
        if not url.startswith(("http://", "https://")):
            raise NotCompreFace("the address is no http:// or https:// one")
        self._sleep = sleep
        self._http = httpx.Client(
            base_url=url.rstrip("/") + API, verify=trust, timeout=timeout, headers={"x-api-key": key}, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._http.close()

    def subjects(self) -> list[str]:
        """Everybody's name, those without an image too."""
        return self._read("/subjects/", {}, Subjects).subjects

    def faces(self, subject: str | None = None) -> Iterator[Face]:
        """Each image once, of `subject` or of all. A server that does not know the parameter lists everybody: it is looked at."""
        seen: set[UUID] = set()  # what is added meanwhile moves the pages
        page, pages = 0, 1
        while page < pages:
            asked = {"page": page, "size": PAGE} | ({} if subject is None else {"subject": subject})
            answer = self._read("/faces", asked, Faces)
            for face in answer.faces:
                if face.image_id not in seen and subject in (None, face.subject):
                    seen.add(face.image_id)
                    yield face
            page, pages = page + 1, answer.total_pages if answer.faces else 0

    def image(self, image_id: UUID) -> bytes:
        """The file as it was uploaded; no bytes where it is gone."""
        answer = self._get(f"/faces/{image_id}/img", {})
        if answer.status == 404:
            self.subjects()  # it raises, where the key is what is not known any more
            return b""
        return self._good(answer)

    def _read(self, path: str, asked: Mapping[str, Any], model: type[Read]) -> Read:
        content = self._good(self._get(path, asked))
        try:
            return model.model_validate_json(content)
        except ValidationError:
            raise NotCompreFace("its answer has another form") from None

    def _good(self, answer: Answer) -> bytes:
        if answer.status == 200:
            return answer.content
        if answer.status in REFUSALS and (answer.status in (401, 403) or _explains(answer.content)):
            raise KeyRefused
        raise NotCompreFace(f"status {answer.status}")

    def _get(self, path: str, asked: Mapping[str, Any]) -> Answer:
        """The first answer that is no failure of the server's."""
        why = ""
        for wait_s in (*WAITS_S, None):
            try:
                answer = self._once(path, asked)
            except httpx.TransportError as error:
                why = type(error).__name__
            else:
                if answer.status < 500 and answer.status != 429:
                    return answer
                why = f"status {answer.status}"
            if wait_s is not None:
                self._sleep(wait_s)
        raise Silent(why)

    def _once(self, path: str, asked: Mapping[str, Any]) -> Answer:
        content = bytearray()
        with self._http.stream("GET", path, params=dict(asked)) as response:
            for piece in response.iter_bytes():
                content += piece
                if len(content) > LARGEST_IMAGE_BYTES:
                    raise NotCompreFace(f"more than {LARGEST_IMAGE_BYTES} bytes in one answer")
            return Answer(response.status_code, bytes(content))


def _explains(content: bytes) -> bool:
    try:
        _Refusal.model_validate_json(content)
    except ValidationError:
        return False
    return True
