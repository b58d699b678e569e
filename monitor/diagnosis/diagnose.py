"""What stands between the monitor and one target: each step from the name to the last probe, and what to look at where one fails.

The guide's troubleshooting as a program. A step that cannot be tried because one before it failed is `skipped`.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime

from monitor import reason_codes, wire
from monitor.certificates.judgement import Limits
from monitor.certificates.watch import Watched, look
from monitor.clock import Clock, utc_now
from monitor.diagnosis import clock, reach
from monitor.diagnosis.handshake import Agreed, shake_hands
from monitor.probe.connection import BodyTooLarge, StageClock, Target, TrustFileUnreadable, TrustStore, connection
from monitor.probe.outcome import Reason, Result, Round
from monitor.probe.reasons import of_exception, of_timeout
from monitor.probe.round import MAX_ANSWER_BYTES, Plan, probe_once, probe_round
from monitor.wire import CertificateState, ProbeKind

LATER: tuple[wire.StepName, ...] = ("tcp", "tls", "certificate", "http", "live", "health", "ready", "metrics", "clock")
CERTIFICATE_STATUS = {CertificateState.ok: "ok", CertificateState.warning: "warn", CertificateState.unknown: "warn"}


@dataclass(frozen=True)
class Subject:
    """What is diagnosed: `url` as a person writes it, `service` the name that its /health must give."""

    url: str
    target: Target
    service: str = "face-auth-system"
    limits: Limits = field(default_factory=Limits)
    balancer: bool = False
    """A balancer lets its clients ask /health alone: the other answers are each backend's own."""


@dataclass
class _Found:
    """What the steps add up to."""

    steps: list[wire.DiagnosisStep] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    agreed: Agreed = field(default_factory=Agreed)
    certificate: wire.Certificate | None = None
    skew_s: float | None = None


async def diagnose(subject: Subject, trust: TrustStore, *, deadline_s: float = 5.0, now: Clock = utc_now) -> wire.Diagnosis:
    """Try everything, each step within `deadline_s`; never raises."""
    start, at = time.monotonic(), now()
    found = _Found()
    await _try_all(subject, trust, found, deadline_s, now)
    skipped = [wire.DiagnosisStep(name=name, status="skipped", detail="not tried") for name in _not_tried(subject, found.steps)]
    return wire.Diagnosis(
        url=subject.url,
        address=subject.target.address,
        server_name=subject.target.server_name,
        sentence=_sentence(subject, found.steps),
        steps=found.steps + skipped,
        addresses=found.addresses,
        tls_version=found.agreed.version,
        cipher=found.agreed.cipher,
        certificate=found.certificate,
        clock_skew_s=found.skew_s,
        took_ms=round((time.monotonic() - start) * 1000, 1),
        at=at,
    )


def _not_tried(subject: Subject, steps: list[wire.DiagnosisStep]) -> list[wire.StepName]:
    tried = {step.name for step in steps}
    never = set() if subject.target.tls else {"tls", "certificate"}
    never |= {"live", "ready", "metrics"} if subject.balancer else set()
    return [name for name in LATER if name not in tried | never]


async def _try_all(subject: Subject, trust: TrustStore, found: _Found, deadline_s: float, now: Clock) -> None:
    target = subject.target
    found.addresses, named = await reach.look_up(target, allowed=trust.allowed, deadline_s=deadline_s)
    found.steps.append(_step(subject, "name", named))
    if not found.addresses:
        return
    reached, tried = await reach.connect(found.addresses, target.port, deadline_s=deadline_s)
    found.steps.append(_connected(subject, found.addresses, tried))
    if reached is None:
        return
    if target.tls and not await _try_tls(subject, trust, found, reached, deadline_s, now):
        return
    if not await _ask(subject, trust, found, deadline_s, now):
        return
    plan = Plan(target.address, target, subject.service, deadline_s, scrape=not subject.balancer)
    if subject.balancer:
        found.steps.append(_probe(subject, await probe_once(ProbeKind.health, plan, trust, now=now)))
    else:
        found.steps += _probed(subject, await probe_round(plan, trust, now=now))


async def _try_tls(subject: Subject, trust: TrustStore, found: _Found, address: str, deadline_s: float, now: Clock) -> bool:
    """Handshake, then the chain as sent, which is shown even where it does not verify."""
    target = subject.target
    try:
        context = trust.context(target.ca_file)
    except TrustFileUnreadable as error:
        found.steps.append(_step(subject, "tls", reach.Tried(Reason("MON.TRUST", str(error)), 0.0)))
        return False
    found.agreed, tried = await asyncio.to_thread(
        shake_hands, address, target.port, target.server_name, context, deadline_s=deadline_s
    )
    found.steps.append(_step(subject, "tls", tried))
    if tried.reason is None or tried.reason.code.startswith("TLS."):
        start = time.monotonic()
        watched = Watched(subject.target.server_name, target)
        found.certificate = await look(watched, trust, limits=subject.limits, deadline_s=deadline_s, now=now)
        found.steps.append(_certificate(subject, found.certificate, (time.monotonic() - start) * 1000))
    return tried.reason is None


async def _ask(subject: Subject, trust: TrustStore, found: _Found, deadline_s: float, now: Clock) -> bool:
    """One request: does anything answer that is HTTP, and what does its clock say?"""
    path = "/health" if subject.balancer else "/live"
    stages, start = StageClock(), time.monotonic()
    asked_at = now()
    try:
        async with connection(subject.target, trust) as opened, asyncio.timeout(deadline_s):
            answer = await opened.ask("GET", path, clock=stages, max_bytes=MAX_ANSWER_BYTES)
    except TimeoutError:
        tried = reach.Tried(of_timeout(stages.stage, deadline_s), _ms(start))
    except BodyTooLarge as error:
        tried = reach.Tried(Reason("APP.BODY", str(error)), _ms(start))
    except Exception as error:  # whatever a server can do to a client becomes a step that failed
        tried = reach.Tried(of_exception(error, stages.stage), _ms(start))
    else:
        answered_at = now()
        tried = reach.Tried(None, _ms(start), f"answers with status {answer.status}")
        found.steps.append(_step(subject, "http", tried, stages))
        said, fineness_s = clock.told(answer.body, answer.headers.get("date"))
        if said is not None:
            found.skew_s = clock.skew_s(said, fineness_s, asked_at=asked_at, answered_at=answered_at)
        found.steps.append(_clock(subject, said, found.skew_s))
        return True
    found.steps.append(_step(subject, "http", tried, stages))
    return False


def _probed(subject: Subject, heard: Round) -> list[wire.DiagnosisStep]:
    steps = [_probe(subject, heard.results[kind]) for kind in ProbeKind]
    if heard.scrape is not None or heard.scrape_reason is not None:
        said = "can be read" if heard.scrape is not None else ""
        steps.append(_step(subject, "metrics", reach.Tried(heard.scrape_reason, 0.0, said), warn=True))
    return steps


def _probe(subject: Subject, result: Result) -> wire.DiagnosisStep:
    warning = result.readiness.warning if result.readiness else None
    if result.reason is None and warning is not None and result.readiness is not None:
        reason = Reason(warning, result.readiness.warning_detail or "warns")
        return _step(subject, result.kind, reach.Tried(reason, result.latency_ms), warn=True)
    step = _step(subject, result.kind, reach.Tried(result.reason, round(result.latency_ms, 2), f"/{result.kind} is right"))
    return step.model_copy(update={"timings_ms": dict(result.timings_ms)})


def _step(
    subject: Subject, name: str, tried: reach.Tried, stages: StageClock | None = None, *, warn: bool = False
) -> wire.DiagnosisStep:
    reason = tried.reason
    if stages is not None:
        stages.leave()
    return wire.DiagnosisStep.model_validate(
        {
            "name": name,
            "status": "ok" if reason is None else "warn" if warn else "fail",
            "code": reason.code if reason else None,
            "detail": reason.detail if reason else tried.said,
            "look": advice(reason.code, subject) if reason else None,
            "took_ms": tried.took_ms,
            "timings_ms": {stage: round(ms, 2) for stage, ms in stages.timings_ms.items()} if stages else {},
        }
    )


def _connected(subject: Subject, addresses: list[str], tried: list[reach.Tried]) -> wire.DiagnosisStep:
    """One step for all addresses: it fails where none took the connection, and warns where only some did."""
    failed = [(address, one) for address, one in zip(addresses, tried, strict=True) if one.reason is not None]
    worst = failed[0][1] if failed else tried[0]
    said = "; ".join(f"{a}: {one.reason.detail if one.reason else 'connected'}" for a, one in zip(addresses, tried, strict=True))
    if len(failed) < len(tried):
        reason = Reason(worst.reason.code, said) if worst.reason else None
        return _step(subject, "tcp", reach.Tried(reason, min(one.took_ms for one in tried), tried[0].said), warn=True)
    reason = worst.reason and Reason(worst.reason.code, said if len(tried) > 1 else worst.reason.detail)
    return _step(subject, "tcp", reach.Tried(reason, sum(one.took_ms for one in tried)))


def _certificate(subject: Subject, found: wire.Certificate, took_ms: float) -> wire.DiagnosisStep:
    status = CERTIFICATE_STATUS.get(found.state, "fail" if found.state is not CertificateState.critical else "warn")
    said = "; ".join([found.detail or found.state, *found.notes])
    return wire.DiagnosisStep.model_validate(
        {
            "name": "certificate",
            "status": "warn" if status == "ok" and found.notes else status,
            "code": found.reason,
            "detail": said,
            "look": advice(found.reason, subject) if found.reason else None,
            "took_ms": round(took_ms, 2),
        }
    )


def _clock(subject: Subject, said: datetime | None, skew_s: float | None) -> wire.DiagnosisStep:
    if said is None or skew_s is None:
        return _step(subject, "clock", reach.Tried(None, 0.0, "it does not say what time it has"))
    if abs(skew_s) < clock.NOTABLE_S:
        return _step(subject, "clock", reach.Tried(None, 0.0, "agrees with the monitor's"))
    reason = Reason("APP.CLOCK", f"its clock is {abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} the monitor's")
    return _step(subject, "clock", reach.Tried(reason, 0.0), warn=abs(skew_s) < clock.HARMFUL_S)


def advice(code: str, subject: Subject) -> str | None:
    """What to look at next, with the target's own words in it."""
    known = reason_codes.lookup(code)
    if known is None:
        return None
    words = {
        "ADDRESS": subject.target.address,
        "HOST": subject.target.host,
        "PORT": str(subject.target.port),
        "NAME": subject.target.server_name,
        "URL": subject.url,
    }
    return reason_codes.filled(known.look, words)


def _sentence(subject: Subject, steps: list[wire.DiagnosisStep]) -> str:
    failed = next((step for step in steps if step.status == "fail"), None)
    if failed is not None:
        return f"{subject.url} fails at {failed.name}: {failed.detail} ({failed.code})."
    warned = [step.name for step in steps if step.status == "warn"]
    if warned:
        return f"{subject.url} answers as it should, with a warning at {', '.join(warned)}."
    return f"{subject.url} answers as it should."


def _ms(start: float) -> float:
    return round((time.monotonic() - start) * 1000, 2)
