"""Where the time of a client's request goes: each stage is timed wherever it runs, and told to whoever began the request.

The listener travels in the context (threads inherit it), so that faces, gallery and store need not know of metrics, and work
that no client waits for (sweeps, scans, marked demo traffic) counts nowhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum


class Stage(StrEnum):
    decode = "decode"
    detect = "detect"
    embed = "embed"
    """its alignment included"""
    search = "search"
    """waiting for a shared pass over the gallery included"""
    commit = "commit"
    """a write transaction, waiting for the ledger lock included"""


Listener = Callable[[Stage, float], None]
_listener: ContextVar[Listener | None] = ContextVar("stages", default=None)


def listen(listener: Listener | None) -> None:
    """Of this request: who is told each stage and its seconds."""
    _listener.set(listener)


@contextmanager
def timed(stage: Stage) -> Iterator[None]:
    """One stage, told however it ends: a refusal takes its time too. As a decorator it times each call."""
    listener = _listener.get()
    if listener is None:
        yield
        return
    started = time.perf_counter()
    try:
        yield
    finally:
        listener(stage, time.perf_counter() - started)
