"""Logs: `access.log` with one line "Request completed" per request, `app.log` with everything else, or standard error.

No line holds an image, a name, an external id, metadata or a path: requests are named by their route, errors by their type and
the places they came through. An exception's own message is left out, for it may quote what was sent (a validation error quotes
its input, a database error its parameters).
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import queue
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal

ACCESS = "face_auth.access"
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class _Plain(logging.Formatter):
    """`2026-01-31T12:00:00.000000Z INFO backend.app message key=value …`"""

    def format(self, record: logging.LogRecord) -> str:
        words = [f"{name}={value}" for name, value in _fields(record).items()]
        line = " ".join([_time(record), record.levelname, record.name, record.getMessage(), *words])
        trace = _trace(record)
        return f"{line}\n{trace}" if trace else line


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        head = {"time": _time(record), "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        trace = _trace(record)
        return json.dumps({**head, **_fields(record), **({"trace": trace} if trace else {})}, default=str)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """What the caller gave as `extra={"fields": {...}}`, and the request's id."""
    fields: dict[str, object] = dict(getattr(record, "fields", {}))
    known = getattr(record, "request_id", None)
    return {**fields, "request_id": known} if known and "request_id" not in fields else fields


def _trace(record: logging.LogRecord) -> str:
    return str(getattr(record, "trace", ""))


def _places(info: _ExcInfo) -> str:
    """Types and places of an exception and what caused it, outermost last; never a message."""
    parts: list[str] = []
    error, seen = info[1], set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        frames = traceback.extract_tb(error.__traceback__)
        parts.append(f"{type(error).__name__} at " + " > ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(f"  {part}" for part in parts)


class _Enqueue(logging.handlers.QueueHandler):
    """Takes the record's facts in the caller's thread; writing happens in another, so that a slow disk blocks no request."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        record.request_id = request_id.get()
        if record.exc_info:
            record.trace = _places(record.exc_info)
        record.msg, record.args, record.exc_info, record.exc_text = record.getMessage(), None, None, None
        return record


def _sink(path: Path | None, formatter: logging.Formatter) -> logging.Handler:
    # WatchedFileHandler notices that log rotation moved the file away.
    handler: logging.Handler = logging.StreamHandler(sys.stderr) if path is None else logging.handlers.WatchedFileHandler(path)
    handler.setFormatter(formatter)
    return handler


@contextmanager
def logging_to(folder: Path | None, *, level: str, form: Literal["plain", "json"]) -> Iterator[None]:
    """Log into `folder`, or to standard error where it is None, until the block ends. Raises OSError for a folder of no use."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    formatter = _Json() if form == "json" else _Plain()
    app = _sink(folder and folder / "app.log", formatter)
    access = _sink(folder and folder / "access.log", formatter)
    app.addFilter(lambda record: record.name != ACCESS)
    access.addFilter(lambda record: record.name == ACCESS)
    lines: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    entrance = _Enqueue(lines)
    listener = logging.handlers.QueueListener(lines, app, access)
    root = logging.getLogger()
    before = root.level
    root.setLevel(level)
    root.addHandler(entrance)
    _quiet_libraries()
    listener.start()
    try:
        yield
    finally:
        root.removeHandler(entrance)
        root.setLevel(before)
        listener.stop()
        app.close()
        access.close()


def _quiet_libraries() -> None:
    """Libraries that log addresses, parameters or paths at the lower levels."""
    for name in ("httpx", "httpcore", "PIL", "sqlalchemy.engine", "multipart"):
        logging.getLogger(name).setLevel(logging.WARNING)
