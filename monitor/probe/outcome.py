"""What a probe and a round of probes give back: values, never exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from monitor.probe.scrape import Scrape
from monitor.verdict import Outcome, Readiness
from monitor.wire import ProbeKind

Stage = Literal["dns", "connect", "tls", "request", "body"]


@dataclass(frozen=True)
class Reason:
    """Why a probe failed: an owner-prefixed code (`NET.`, `TLS.`, `APP.`, `DEP.`, `MON.`) and a sentence for a person."""

    code: str
    detail: str

    @property
    def is_ours(self) -> bool:
        """A fault of the monitor itself: it says nothing about the backend."""
        return self.code.startswith("MON.")

    @property
    def without_answer(self) -> bool:
        """Nothing came back that is HTTP: asking the other paths at once would only fail the same way."""
        return self.code.startswith(("MON.", "NET.", "TLS."))


@dataclass(frozen=True)
class Result:
    """One probe. `stage` is where it failed; `timings_ms` holds each stage that it finished or was in."""

    kind: ProbeKind
    at: datetime
    reason: Reason | None = None
    status: int | None = None
    stage: Stage | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    readiness: Readiness | None = None

    @property
    def outcome(self) -> Outcome:
        if self.reason is None:
            return Outcome(passed=True)
        return Outcome(None if self.reason.is_ours else False, self.reason.code, self.reason.detail)

    @property
    def latency_ms(self) -> float:
        return sum(self.timings_ms.values())


@dataclass(frozen=True)
class Round:
    """All that one fresh connection to a backend told; `scrape` is None where it was not due or failed."""

    backend: str
    at: datetime
    results: Mapping[ProbeKind, Result]
    scrape: Scrape | None = None
    scrape_reason: Reason | None = None

    @property
    def failed_without_answer(self) -> bool:
        reason = self.results[ProbeKind.live].reason
        return reason is not None and reason.without_answer

    @property
    def monitor_fault(self) -> Reason | None:
        return next((r.reason for r in self.results.values() if r.reason is not None and r.reason.is_ours), None)
