"""The checks behind /health and /ready: each a function of values, so that what fails and what only warns can be read off.

A limit that a busy hour can reach only warns: else overload would take every replica out at once.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from backend.cgroup import OURS, ControlGroup
from backend.wire import Check, CheckStatus

STUCK_AFTER_S = 30.0
WARN_FACTOR = 5
"""free disk and memory warn below this many times the hard limit"""


@dataclass(frozen=True)
class Resources:
    disk_free: int
    """bytes free where the database and the logs are, the scarcer of the two"""
    memory_available: int
    """bytes that this process can still get, by the machine or by its container's limit"""


def read_resources(folders: list[Path], group: ControlGroup = OURS) -> Resources:
    """Touches the file system and /proc: call it in a thread."""
    free = min(shutil.disk_usage(folder).free for folder in folders)
    available: int = psutil.virtual_memory().available
    room = group.memory_room()
    return Resources(disk_free=free, memory_available=available if room is None else min(available, room))


def database(problem: str | None, latency_ms: float) -> Check:
    if problem is not None:
        return _fail(problem, latency_ms)
    return _ok("answers", latency_ms)


def schema(ok: bool, sentence: str) -> Check:
    return _ok(sentence) if ok else _fail(sentence)


def model(loaded: Sequence[str], pinned: str | None) -> Check:
    if pinned is None:
        return _fail("the gallery is not pinned to a model yet: run `python -m backend migrate`")
    if pinned not in loaded:
        return _fail(
            f"this replica has model {' and '.join(loaded)}, the gallery is pinned to {pinned}: name its pack in"
            " BACKEND_MODEL_PACK or BACKEND_NEXT_MODEL_PACK"
        )
    beside = [one for one in loaded if one != pinned]
    return _ok(f"model {pinned}" + (f"; {' and '.join(beside)} is loaded beside it" if beside else ""))


def gallery(problem: str | None, *, lag_s: float, max_lag_s: float, warning: str | None = None) -> Check:
    if problem is not None:
        return _fail(problem)
    if lag_s > max_lag_s:
        return _fail(f"{lag_s:.1f} s behind the log, more than {max_lag_s:g} s")
    if lag_s > max_lag_s / 2:
        return _warn(f"{lag_s:.1f} s behind the log")
    if warning is not None:
        return _warn(warning)
    return _ok(f"{lag_s:.1f} s behind the log")


def inference(*, stuck_for_s: float, busy: int, waiting: int, queue: int) -> Check:
    if stuck_for_s > STUCK_AFTER_S:
        return _fail(f"no image was begun or finished for {stuck_for_s:.0f} s: {busy} under way, {waiting} waiting")
    if queue and waiting * 2 >= queue:
        return _warn(f"{waiting} of {queue} places in the queue are taken")
    return _ok(f"{busy} busy, {waiting} waiting")


def resources(found: Resources | None, *, min_disk: int, min_memory: int) -> Check:
    if found is None:
        return _warn("disk and memory could not be read in time")
    sentence = f"{found.disk_free >> 20} MiB of disk free, {found.memory_available >> 20} MiB of memory available"
    if found.disk_free < min_disk or found.memory_available < min_memory:
        return _fail(sentence)
    if found.disk_free < WARN_FACTOR * min_disk or found.memory_available < WARN_FACTOR * min_memory:
        return _warn(sentence)
    return _ok(sentence)


def draining(is_draining: bool) -> Check:
    return _fail("draining: requests are still served, new ones should go elsewhere") if is_draining else _ok("in service")


def first_reason(checks: Mapping[str, Check]) -> str | None:
    """The name of the first check that fails, else of the first that warns."""
    for status in (CheckStatus.fail, CheckStatus.warn):
        for name, check in checks.items():
            if check.status is status:
                return name
    return None


def is_ready(checks: Mapping[str, Check]) -> bool:
    return all(check.status is not CheckStatus.fail for check in checks.values())


def timestamp(now: datetime | None = None) -> str:
    """RFC 3339, UTC, microseconds, `Z`."""
    return (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _ok(detail: str, latency_ms: float = 0.0) -> Check:
    return Check(status=CheckStatus.ok, latency_ms=latency_ms, detail=detail)


def _warn(detail: str) -> Check:
    return Check(status=CheckStatus.warn, latency_ms=0.0, detail=detail)


def _fail(detail: str, latency_ms: float = 0.0) -> Check:
    return Check(status=CheckStatus.fail, latency_ms=latency_ms, detail=detail)
