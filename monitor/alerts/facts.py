"""What the rules look at: plain values of one moment. None is *not known*, never *nothing*."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from monitor.fleet_alerts import Severity
from monitor.wire import AdminState, CertificateState, DriftKind, State, SyntheticPair


@dataclass(frozen=True)
class Traffic:
    """One backend over the window, client requests alone; `client_errors` None: not counted."""

    requests: int
    errors: int
    p95_ms: float | None
    client_errors: int | None = None


@dataclass(frozen=True)
class BackendFacts:
    name: str
    state: State
    stale: bool
    admin_state: AdminState = AdminState.active
    reason: str | None = None
    detail: str | None = None
    flapping: bool = False
    monitor_fault: str | None = None
    disagreement: str | None = None
    traffic: Traffic | None = None
    requests_before: int | None = None
    """in the hour before the window, for silence to mean something"""
    connections: int | None = None
    in_flight: float | None = None
    model_id: str | None = None
    version: str | None = None
    review_threshold: float | None = None
    behind: str | None = None
    """one sentence where its gallery lacks what another one had well before"""

    @property
    def known(self) -> bool:
        """Whether its state rests on a fresh sample."""
        return not self.stale and self.state is not State.unknown

    @property
    def counts(self) -> bool:
        """Whether it is one of those that should serve."""
        return self.admin_state is not AdminState.maintenance

    @property
    def failing(self) -> bool:
        draining = self.admin_state is AdminState.draining
        return self.state is State.down or (self.state is State.degraded and not draining)


@dataclass(frozen=True)
class CertificateFacts:
    name: str
    endpoint: str
    state: CertificateState
    reason: str | None
    detail: str | None
    fingerprint: str | None
    server_name: str | None = None
    is_backend: bool = False


@dataclass(frozen=True)
class BalancerFacts:
    """`failed` None: no verdict yet."""

    failed: bool | None
    reason: str | None = None
    detail: str | None = None
    stats_reason: str | None = None
    cpu_percent: float | None = None
    memory_mb: float | None = None


@dataclass(frozen=True)
class MonitorFacts:
    """Its own faults. `store_failed_at` and `duty_failed_at`: the last time."""

    lateness_s: float = 0.0
    store_failed_at: datetime | None = None
    duty_failed_at: datetime | None = None
    fleet_error: str | None = None
    undelivered: Mapping[str, int] | None = None
    """by route: how many attempts its oldest undelivered notification has failed; None: not known"""


class FindingKind(StrEnum):
    uneven = "uneven"
    sinkhole = "sinkhole"
    outlier = "outlier"


@dataclass(frozen=True)
class Finding:
    """What a detector of the load found. `subject`: a backend's name, or ``fleet``. `reason` carries its owner."""

    kind: FindingKind
    subject: str
    sentence: str
    reason: str
    severity: Severity | None = None


@dataclass(frozen=True)
class DriftFacts:
    """What differs across the fleet beside what each backend says of itself."""

    kind: DriftKind
    sentence: str
    reason: str


@dataclass(frozen=True)
class SyntheticFacts:
    """A known pair verified through a backend or the balancer. `passed` None: the fault was the monitor's own."""

    through: str
    pair: SyntheticPair
    passed: bool | None
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Burn:
    """Error ratios by window, in seconds; a window without enough requests is left out."""

    error_ratios: Mapping[int, float]
    requests: Mapping[int, int]


Section = Literal["backends", "balancer", "certificates", "monitor"]


@dataclass(frozen=True)
class Facts:
    backends: tuple[BackendFacts, ...]
    certificates: tuple[CertificateFacts, ...] = ()
    balancer: BalancerFacts | None = None
    monitor: MonitorFacts = MonitorFacts()
    findings: tuple[Finding, ...] | None = ()
    """None: the detectors had too little to judge"""
    drift: tuple[DriftFacts, ...] = ()
    synthetic: tuple[SyntheticFacts, ...] = ()
    burn: Burn | None = None
