"""A verification with photographs that are known: two of one person must match, those of two people must not.

It shows what no health check does: that the model, the threshold and the whole way to them still decide rightly.
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from monitor import wire
from monitor.clock import Clock, utc_now
from monitor.fleet import Synthetic
from monitor.probe.call import call
from monitor.probe.connection import Target, TrustStore
from monitor.probe.outcome import Reason
from monitor.secret import SecretMissing, read_key
from monitor.wire import SyntheticPair

EXPECTED = {SyntheticPair.genuine: "match", SyntheticPair.impostor: "non_match"}
WRONG = {
    SyntheticPair.genuine: Reason("APP.FALSE_NON_MATCH", "two photographs of one person do not match"),
    SyntheticPair.impostor: Reason("APP.FALSE_MATCH", "photographs of two people match"),
}


class _Verification(BaseModel):
    """What matters here of the backend's documented answer."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    score: float
    threshold: float
    decision: Literal["match", "non_match"]
    model_id: str


@dataclass(frozen=True)
class Through:
    """Which way the pair goes: a backend by its own address, or the balancer."""

    name: str
    target: Target


async def verify(
    pair: SyntheticPair, through: Through, settings: Synthetic, trust: TrustStore, *, base: Path, now: Clock = utc_now
) -> wire.SyntheticResult:
    """Never raises. `base` is the folder below which the key's file stands."""
    at = now()
    try:
        key = read_key(settings.key, base=base) if settings.key else None
        body = await asyncio.to_thread(_body, settings.genuine if pair is SyntheticPair.genuine else settings.impostor)
    except SecretMissing as error:
        return _failed(pair, through, Reason("MON.KEY", str(error)), at)
    except OSError as error:
        return _failed(pair, through, Reason("MON.PHOTOGRAPHS", f"a photograph cannot be read: {error.strerror}"), at)
    got = await call("/v1/verify", through.target, trust, key=key, body=body, deadline_s=settings.deadline_s)
    took_ms = round((now() - at).total_seconds() * 1000, 1)
    if isinstance(got, Reason):
        return _failed(pair, through, got, at)
    served_by = got.headers.get("x-served-by")
    if got.status != 200:
        return _failed(pair, through, Reason(f"APP.STATUS.{got.status}", f"/v1/verify answers {got.status}"), at, served_by)
    try:
        answer = _Verification.model_validate_json(got.body)
    except ValidationError:
        return _failed(
            pair, through, Reason("APP.BODY", "/v1/verify gives something else than its documented answer"), at, served_by
        )
    wrong = WRONG[pair] if answer.decision != EXPECTED[pair] else None
    return wire.SyntheticResult(
        through=through.name,
        pair=pair,
        passed=wrong is None,
        reason=wrong.code if wrong else None,
        detail=wrong.detail if wrong else None,
        decision=answer.decision,
        score=answer.score,
        threshold=answer.threshold,
        model_id=answer.model_id,
        served_by=served_by,
        took_ms=took_ms,
        at=at,
    )


def _body(photographs: tuple[Path, Path]) -> dict[str, str]:
    probe, reference = (base64.b64encode(path.read_bytes()).decode() for path in photographs)
    return {"image": probe, "reference_image": reference}


def _failed(
    pair: SyntheticPair, through: Through, reason: Reason, at: datetime, served_by: str | None = None
) -> wire.SyntheticResult:
    """`passed` null where the fault is the monitor's own."""
    return wire.SyntheticResult(
        through=through.name,
        pair=pair,
        passed=None if reason.is_ours else False,
        reason=reason.code,
        detail=reason.detail,
        served_by=served_by,
        at=at,
    )
