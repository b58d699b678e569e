"""What the monitor's HTTP API says: pydantic models only. Every number carries the time it was taken."""

from __future__ import annotations

from enum import StrEnum
from typing import Generic, Literal, Self, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

Item = TypeVar("Item")


class Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Page(Answer, Generic[Item]):
    items: list[Item]
    next: str | None = None
    total: int
    total_is: Literal["exact", "at_least"] = "exact"


class Problem(Answer):
    """RFC 9457 problem document (`application/problem+json`); `detail` says what to change."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str | None = Field(None, description="The request's id (X-Request-ID).")


class State(StrEnum):
    unknown = "UNKNOWN"
    starting = "STARTING"
    up = "UP"
    degraded = "DEGRADED"
    down = "DOWN"


class AdminState(StrEnum):
    active = "ACTIVE"
    draining = "DRAINING"
    maintenance = "MAINTENANCE"


class ProbeKind(StrEnum):
    live = "live"
    health = "health"
    ready = "ready"


class Probe(Answer):
    """The last outcome of one kind of probe and its health integer (up iff `health` >= `rise`)."""

    kind: ProbeKind
    up: bool | None = Field(description="null until the first outcome")
    health: int
    rise: int
    fall: int
    progress: str | None = Field(None, description='e.g. "2/3 before down"')
    reason: str | None = Field(
        None, description="owner-prefixed code of the last failure, e.g. NET.REFUSED; null when the last one passed"
    )
    detail: str | None = None
    status: int | None = Field(None, description="HTTP status, where one came")
    stage: Literal["dns", "connect", "tls", "request", "body"] | None = Field(None, description="where it failed")
    timings_ms: dict[str, float] = Field({}, description="by stage, as far as it got")
    at: AwareDatetime | None = None


class DriftKind(StrEnum):
    model = "model"
    version = "version"
    threshold = "threshold"
    gallery_size = "gallery_size"
    gallery_seq = "gallery_seq"
    scores = "scores"


class DriftFinding(Answer):
    """One thing in which the backends should be the same, and are not."""

    kind: DriftKind
    code: str = Field(description="APP.DRIFT.* code")
    sentence: str
    backends: list[str] = Field(description="who is not with the majority; everybody where there is none")
    since: AwareDatetime


class Load(Answer):
    """Of the last window; null where there is no figure, with `reason` saying why."""

    window_s: float
    requests: int
    rate: float | None
    share: float | None = Field(description="null with reason 'no traffic' when the fleet served no client request")
    expected_share: float | None
    errors: int = Field(description="answers of status 5xx")
    error_ratio: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    connections: int | None
    in_flight: float | None = Field(None, description="mean requests in flight (Little: rate × latency)")
    reason: str | None = Field(None, description="e.g. 'no traffic', 'not scraped yet'")
    at: AwareDatetime | None


class Identity(Answer):
    """What the backend says it is, from its metrics; compared across the fleet."""

    version: str | None = None
    model_id: str | None = None
    gallery_size: int | None = None
    seq: int | None = None
    review_threshold: float | None = None
    process_started_at: AwareDatetime | None = None


class Backend(Answer):
    name: str
    url: str
    region: str
    zone: str
    weight: int
    state: State
    stale: bool
    admin_state: AdminState
    since: AwareDatetime | None = Field(description="when it came into this state")
    reason: str | None = Field(description="code; null when UP without warning")
    detail: str | None = Field(description="one sentence for a person")
    verdicts: dict[str, str | None] = Field(
        description="probes, balancer, readiness, traffic: what each says ('up', 'down', 'no traffic', null = does not know)"
    )
    disagreement: str | None = Field(None, description="one sentence where the four verdicts disagree")
    flapping: bool = Field(False, description="whether its state changes too often to be believed (Nagios' measure)")
    monitor_fault: str | None = Field(
        None, description="MON.* code where the last round failed on the monitor's own side: no verdict"
    )
    probes: list[Probe]
    load: Load | None
    identity: Identity
    certificate_days_left: float | None = None
    last_sample_at: AwareDatetime | None


class BalancerView(Answer):
    kind: str
    strategy: str
    url: str | None
    state: State
    reason: str | None
    connections: int | None = None
    cpu_percent: float | None = None
    memory_bytes: int | None = None
    at: AwareDatetime | None = None


class Fairness(Answer):
    """How evenly the load is spread, judged by the balancer's policy, with the noise floor below which nothing is flagged."""

    policy: str
    measure: Literal["requests_per_weight", "in_flight_per_weight", "report_only"]
    jain: float | None
    cv: float | None
    noise_floor_cv: float | None
    flagged: bool
    sentence: str


class FleetView(Page[Backend]):
    """`GET /v1/fleet`."""

    sentence: str = Field(description="the whole in one sentence")
    balancer: BalancerView | None
    drift: list[str] = Field([], description="sentences on what differs across the fleet: model, version, gallery")
    drift_findings: list[DriftFinding] = Field([], description="the same as values, with who and since when")
    fleet_error: str | None = Field(None, description="why the present fleet.yaml was refused; the old fleet stays watched")
    interval_s: float
    fall: int
    rise: int
    at: AwareDatetime
    lateness_ms: float | None = None


class LoadView(Answer):
    """`GET /v1/load?window_s=60`."""

    window_s: float
    total_requests: int
    shares: dict[str, Load]
    fairness: Fairness
    at: AwareDatetime


class LoadPoint(Answer):
    at: AwareDatetime
    backend: str
    requests: int
    errors: int
    p95_ms: float | None


class CertificateState(StrEnum):
    ok = "ok"
    warning = "warning"
    critical = "critical"
    expired = "expired"
    invalid = "invalid"
    unknown = "unknown"


class ChainLink(Answer):
    subject: str
    issuer: str
    serial: str
    not_before: AwareDatetime
    not_after: AwareDatetime


class Ocsp(Answer):
    """An OCSP answer that a server sent along (stapled)."""

    status: Literal["good", "revoked", "unknown", "unreadable"]
    produced_at: AwareDatetime | None = None
    next_update: AwareDatetime | None = None
    stale: bool = Field(False, description="whether its time is over: clients that insist on it refuse")


class Certificate(Answer):
    """`GET /v1/certificates`: one served (or lying) somewhere."""

    name: str
    endpoint: str
    server_name: str | None
    state: CertificateState
    reason: str | None = Field(description="TLS.* code")
    detail: str | None
    fingerprint_sha256: str | None
    subject: str | None
    issuer: str | None
    sans: list[str] = []
    key_type: str | None = None
    not_before: AwareDatetime | None = None
    not_after: AwareDatetime | None = None
    days_left: float | None = None
    lifetime_left: float | None = Field(None, description="what is left of its lifetime: 1 new, 0 expired, below 0 since")
    self_signed: bool | None = None
    chain_complete: bool | None = Field(None, description="whether every intermediate is sent; null where it cannot be told")
    ocsp: Ocsp | None = Field(None, description="the stapled answer, where one is sent")
    notes: list[str] = Field([], description="what else is wrong with the chain, a sentence each")
    chain: list[ChainLink] = []
    at: AwareDatetime


class Event(Answer):
    """A stored change of state."""

    id: int
    at: AwareDatetime
    backend: str
    old: State
    new: State
    reason: str | None
    detail: str | None


class HistoryPoint(Answer):
    """`GET /v1/backends/{name}/history`: one bucket."""

    at: AwareDatetime
    state: State
    up_ratio: float | None
    latency_p95_ms: float | None
    requests: int | None
    errors: int | None


class SyntheticPair(StrEnum):
    genuine = "genuine"
    impostor = "impostor"


class SyntheticResult(Answer):
    """`GET /v1/synthetic`: the last verification of a known pair through a backend or the balancer."""

    through: str = Field(description="a backend's name, or `balancer`")
    pair: SyntheticPair
    passed: bool | None = Field(description="null where the fault is the monitor's own")
    reason: str | None = Field(None, description="APP.FALSE_MATCH, APP.FALSE_NON_MATCH, or why there was no decision")
    detail: str | None = None
    decision: Literal["match", "non_match"] | None = None
    score: float | None = None
    threshold: float | None = None
    model_id: str | None = None
    served_by: str | None = Field(None, description="which replica answered (X-Served-By)")
    took_ms: float | None = None
    at: AwareDatetime


class DrainRequest(BaseModel):
    """`POST /v1/backends/{name}/drain`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    accept_left: int | None = Field(
        None, ge=0, le=10_000, strict=True, description="the fewest that may be left; where it is not given, half of the fleet"
    )


class Drained(Answer):
    """What came of a drain or a return."""

    backend: str
    admin_state: AdminState
    told: bool = Field(description="whether the backend itself was told; else it is as soon as it answers")
    left: list[str] = Field(description="who serves now, without it")
    total: int
    sentence: str = Field(description='e.g. "2 of 3 would be left: b2, b3."')
    next: str = Field(description="what else there is to do, by the kind of balancer")
    since: AwareDatetime | None = None


class DiagnosisRequest(BaseModel):
    """`POST /v1/diagnoses`: either a `target` of the fleet file (a backend's name, `balancer`) or a `url`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target: str | None = Field(None, max_length=80)
    url: str | None = Field(
        None, max_length=2000, description="scheme, host and port are used; no path is asked but the health paths"
    )
    server_name: str | None = Field(
        None, pattern=r"^[A-Za-z0-9._:-]{1,253}$", description="the name to verify, where it is not the URL's host"
    )

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if (self.target is None) == (self.url is None):
            raise ValueError("give either target or url")
        if self.target is not None and self.server_name is not None:
            raise ValueError("server_name goes with url: a target's stands in the fleet file")
        return self


StepName = Literal["name", "tcp", "tls", "certificate", "http", "live", "health", "ready", "metrics", "clock"]


class DiagnosisStep(Answer):
    """One thing that was tried. `look`: what to do next where it failed, with the target's own host, port and name."""

    name: StepName
    status: Literal["ok", "warn", "fail", "skipped"]
    code: str | None = None
    detail: str
    look: str | None = None
    took_ms: float | None = None
    timings_ms: dict[str, float] = {}


class Diagnosis(Answer):
    """What stands between the monitor and one target, from the name to the last probe."""

    url: str
    address: str
    server_name: str
    sentence: str
    steps: list[DiagnosisStep]
    addresses: list[str] = Field([], description="what the name resolved to")
    tls_version: str | None = None
    cipher: str | None = None
    certificate: Certificate | None = None
    clock_skew_s: float | None = Field(None, description="its clock less the monitor's")
    took_ms: float
    at: AwareDatetime

    @property
    def passed(self) -> bool:
        return all(step.status != "fail" for step in self.steps)


class Health(Answer):
    """`GET /health` of the monitor itself: its own database."""

    status: Literal["healthy", "unhealthy"]
    service: str
    version: str
    timestamp: AwareDatetime


class Live(Answer):
    status: Literal["alive"] = "alive"
    timestamp: AwareDatetime


class Check(Answer):
    status: Literal["ok", "warn", "fail"]
    detail: str


class Ready(Answer):
    """`GET /ready` of the monitor itself. `checks`: store, schedule, fleet."""

    status: Literal["ready", "not_ready"]
    version: str
    timestamp: AwareDatetime
    reason: str | None = None
    checks: dict[str, Check]
