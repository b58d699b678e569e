"""What a backend's three health endpoints say, read by the monitor's own small models, and the reasons that follow from it.

The monitor imports nothing of the backend: these are the parts of its documented answers that matter here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from monitor.probe.outcome import Reason
from monitor.verdict import DRAINING, Readiness
from monitor.wire import ProbeKind

CODE_OF_CHECK = {
    "database": "DEP.DATABASE",
    "schema": "DEP.SCHEMA",
    "model": "APP.MODEL",
    "gallery": "APP.GALLERY",
    "inference": "APP.INFERENCE_STUCK",
    "resources": "APP.RESOURCES",
    "draining": DRAINING,
}


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Live(_Answer):
    status: Literal["alive"]


class _Health(_Answer):
    status: Literal["healthy", "unhealthy"]
    service: str


class _Check(_Answer):
    status: Literal["ok", "warn", "fail"]
    detail: str = ""


class _Ready(_Answer):
    status: Literal["ready", "not_ready"]
    ever_ready: bool | None = None
    checks: dict[str, _Check] = {}


@dataclass(frozen=True)
class Reading:
    """`reason` None: the probe passed."""

    reason: Reason | None
    readiness: Readiness | None = None


def read(kind: ProbeKind, status: int, body: bytes, *, service: str) -> Reading:
    """What an HTTP answer means. A 200 that carries something else than the documented answer is a failure: APP.BODY."""
    if status not in (200, 503) or (status == 503 and kind is ProbeKind.live):
        return Reading(Reason(f"APP.STATUS.{status}", f"/{kind} answers {status}"))
    try:
        if kind is ProbeKind.live:
            _Live.model_validate_json(body)
            return Reading(None)
        if kind is ProbeKind.health:
            return _health(status, _Health.model_validate_json(body), service)
        return _ready(status, _Ready.model_validate_json(body))
    except ValidationError as error:
        return Reading(_unreadable(kind, status, body, error))


def _health(status: int, answer: _Health, service: str) -> Reading:
    if answer.service != service:
        return Reading(Reason("APP.BODY", f"another service answers here: {answer.service[:60]!r} instead of {service!r}"))
    if status == 503 or answer.status == "unhealthy":
        return Reading(Reason("DEP.DATABASE", "/health says that its database does not answer"))
    return Reading(None)


def _ready(status: int, answer: _Ready) -> Reading:
    failing = _first(answer, "fail")
    warning = _first(answer, "warn")
    readiness = Readiness(answer.ever_ready, warning.code if warning else None, warning.detail if warning else None)
    if status == 200 and answer.status == "ready":
        return Reading(None, readiness)
    return Reading(failing or Reason("APP.NOT_READY", "/ready says not ready and names no check"), readiness)


def _first(answer: _Ready, status: Literal["warn", "fail"]) -> Reason | None:
    """In the order of `CODE_OF_CHECK`: draining comes last, so that a real failure is not hidden behind it."""
    names = [name for name, check in answer.checks.items() if check.status == status]
    if not names:
        return None
    known = [name for name in CODE_OF_CHECK if name in names]
    name = known[0] if known else names[0]
    code = CODE_OF_CHECK.get(name) or f"APP.CHECK.{''.join(c for c in name.upper() if c.isalnum() or c == '_')[:40]}"
    return Reason(code, f"{name}: {answer.checks[name].detail[:300]}")


def _unreadable(kind: ProbeKind, status: int, body: bytes, error: ValidationError) -> Reason:
    if status != 200:
        return Reason(f"APP.STATUS.{status}", f"/{kind} answers {status} without its documented body")
    if body.lstrip()[:1] == b"<":
        return Reason("APP.BODY", f"/{kind} answers 200 with HTML: something else listens here")
    return Reason("APP.BODY", f"/{kind} answers 200 with something else than its documented body ({error.error_count()} errors)")
