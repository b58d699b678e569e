"""`multipart/form-data` beside JSON: the same fields by the same names, images as the bytes of files.

The body was counted and lies in memory already, so nothing is spooled anywhere. Names and content types of files are the
client's to choose and are not looked at.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from backend.errors import InvalidForm, InvalidRequest

MEDIA_TYPE = "multipart/form-data"
MAX_PARTS = 64
IMAGES = frozenset({"images", "image", "reference_image"})
MANY = frozenset({"images"})
AS_JSON = frozenset({"metadata"})
_PIECE = 64 * 1024
_A_FILE = "(the bytes of a photograph)"


def fields_of(body: bytes | bytearray, content_type: str) -> tuple[dict[str, Any], str]:
    """What pydantic is to validate, and a SHA-256 that does not depend on the boundary, which differs when a form is sent again.

    Raises `InvalidForm`, and `InvalidRequest` for a field that is there twice or whose text is not what it must be.
    """
    parts = _parts(body, content_type)
    digest = hashlib.sha256()
    fields: dict[str, Any] = {}
    for name, content in parts:
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
        value = _value(name, content)
        if name in MANY:
            fields.setdefault(name, []).append(value)
        elif name in fields:
            raise _wrong(name, "Give this field once", "given_twice")
        else:
            fields[name] = value
    return fields, digest.hexdigest()


def schema_of(model: type[BaseModel], *, ref_template: str) -> dict[str, Any]:
    """JSON Schema of the form that stands for `model`."""
    schema = model.model_json_schema(ref_template=ref_template)
    schema.pop("$defs", None)
    file = {"type": "string", "contentMediaType": "application/octet-stream", "description": "A file's bytes."}
    for name in IMAGES & schema["properties"].keys():
        schema["properties"][name] = {"type": "array", "items": file, "minItems": 1} if name in MANY else file
    for name in AS_JSON & schema["properties"].keys():
        schema["properties"][name] = {"type": "string", "contentMediaType": "application/json", "description": "A JSON object."}
    return schema


def as_form(body: Mapping[str, Any]) -> dict[str, Any]:
    """An example of a JSON body as the same form: files by what stands for their bytes."""
    return {name: _shown(name, value) for name, value in body.items()}


def _shown(name: str, value: Any) -> Any:
    if name in IMAGES:
        return [_A_FILE] * len(value) if name in MANY else _A_FILE
    return json.dumps(value) if name in AS_JSON else value


def _value(name: str, content: bytearray) -> Any:
    if name in IMAGES:
        return b64encode(content)  # the wire's models take images so; what they say to too long ones holds for both forms
    try:
        return from_json(bytes(content)) if name in AS_JSON else content.decode("utf-8")
    except UnicodeDecodeError:
        raise _wrong(name, "Send text as UTF-8", "string_unicode") from None
    except ValueError:
        raise _wrong(name, "Send a JSON object", "json_invalid") from None


def _wrong(name: str, problem: str, kind: str) -> InvalidRequest:
    return InvalidRequest([{"field": name[:64], "problem": problem, "type": kind}])


def _parts(body: bytes | bytearray, content_type: str) -> list[tuple[str, bytearray]]:
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise InvalidForm("The form's Content-Type names no boundary")
    reading = _Reading()
    try:
        parser = MultipartParser(boundary, reading.callbacks())
        with memoryview(body) as whole:  # in pieces: the parser wants bytes, and a copy of it all would be as large as it all
            for start in range(0, len(whole), _PIECE):
                parser.write(bytes(whole[start : start + _PIECE]))
    except (FormParserError, UnicodeDecodeError):
        raise InvalidForm from None
    if not reading.complete:
        raise InvalidForm("The form ends before its last boundary: send it whole")
    return reading.parts


class _Reading:
    """The parser's callbacks, and what they have found."""

    def __init__(self) -> None:
        self.parts: list[tuple[str, bytearray]] = []
        self.complete = False
        self._headers: dict[bytes, bytes] = {}
        self._name, self._content = bytearray(), bytearray()

    def callbacks(self) -> Any:
        found: Mapping[str, Any] = {
            "on_part_begin": self._begin,
            "on_header_begin": self._name.clear,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": self._header,
            "on_headers_finished": self._named,
            "on_part_data": lambda data, start, end: self._content.extend(data[start:end]),
            "on_end": self._end,
        }
        return found

    def _begin(self) -> None:
        if len(self.parts) == MAX_PARTS:
            raise InvalidForm(f"The form has more than {MAX_PARTS} parts")
        self._headers = {}

    def _header(self, data: bytes, start: int, end: int) -> None:
        name = bytes(self._name).lower()
        self._headers[name] = self._headers.get(name, b"") + data[start:end]

    def _named(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b"").decode("latin-1"))
        name = options.get(b"name", b"").decode("utf-8")
        if kind != b"form-data" or not name:
            raise InvalidForm("A part of the form has no name: give each `Content-Disposition: form-data; name=…`")
        if b"content-transfer-encoding" in self._headers:
            raise InvalidForm("A part of the form is encoded: send its bytes as they are (RFC 7578)")
        self._content = bytearray()
        self.parts.append((name, self._content))

    def _end(self) -> None:
        self.complete = True
