"""What the monitor's HTTP API says: pydantic models only. Every number carries the time it was taken."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Generic, Literal, Self, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

Item = TypeVar("Item")


class Asked(BaseModel):
    """What a caller sends: an unknown field is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    drain_since: AwareDatetime | None = Field(None, description="since when an operator wants it out of service")


class BalancerServer(Answer):
    """One backend as the balancer sees it: its opinion and the traffic that it really sent there; null = it does not say."""

    name: str
    source: Literal["nginx_log", "haproxy_csv"]
    opinion: str | None = Field(None, description="up, down, drain, maint; open-source nginx has none to show")
    connections: int | None = None
    window_s: float = Field(description="how much time the counts cover; 0 before the second look")
    requests: int | None = Field(None, description="attempts, so that a repeated request counts for each backend that it reached")
    share: float | None = None
    errors: int | None = Field(None, description="5xx, and attempts without an answer in nginx' log")
    error_ratio: float | None = None
    failed_attempts: int | None = Field(
        None, description="nginx: repeated elsewhere; HAProxy: failed connections, broken answers"
    )
    mean_ms: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


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
    servers: list[BalancerServer] = Field([], description="one per backend where the balancer's log or statistics can be read")
    traffic_reason: str | None = Field(None, description="why its log or statistics say nothing of the backends")


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
    fail_open: str | None = Field(None, description="one sentence where traffic is sent although nobody is ready for it")
    fleet_error: str | None = Field(None, description="why the present fleet.yaml was refused; the old fleet stays watched")
    interval_s: float
    fall: int
    rise: int
    at: AwareDatetime
    lateness_ms: float | None = None


class FindingKind(StrEnum):
    unfair_share = "unfair_share"
    errors = "errors"
    sinkhole = "sinkhole"
    latency = "latency"
    decision_mix = "decision_mix"
    fleet_share = "fleet_share"
    fleet_errors = "fleet_errors"
    fleet_latency = "fleet_latency"
    fleet_mix = "fleet_mix"


class LoadFinding(Answer):
    """Something wrong with the load's distribution, held over two windows or overwhelming in one."""

    kind: FindingKind
    backend: str | None = Field(description="null: the fleet as a whole, no single backend is to blame")
    sentence: str = Field(description="what, by which figures, and what to look at next")
    figures: dict[str, float] = {}
    since: AwareDatetime = Field(description="end of the window in which it was first suspected")
    at: AwareDatetime = Field(description="end of the window that last showed it")


class LoadView(Answer):
    """`GET /v1/load?window_s=60`."""

    window_s: float
    total_requests: int
    shares: dict[str, Load]
    fairness: Fairness
    at: AwareDatetime
    findings: list[LoadFinding] = Field([], description="of the last whole window of 60 s, whatever `window_s` asks for")
    findings_at: AwareDatetime | None = Field(None, description="end of that window; null before the first one")
    decisions: dict[str, dict[str, dict[str, int]]] = Field(
        {}, description="of that window, by backend, operation and decision: on evenly spread traffic they should agree"
    )


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
    """One bucket of a backend's history. Percentiles are read off merged histograms; null where nothing was measured."""

    at: AwareDatetime
    state: State = Field(description="the worst in it")
    up_ratio: float | None = Field(description="of the probes")
    latency_p95_ms: float | None = Field(description="of /live, as probed")
    requests: int | None
    errors: int | None
    coverage: float | None = Field(None, description="the part of its time that was watched")
    availability: float | None = Field(None, description="the part of the watched time in which it was UP")
    seconds: dict[State, float] = Field({}, description="how long each state stood")
    probe_p50_ms: float | None = None
    probe_p99_ms: float | None = None
    request_p50_ms: float | None = None
    request_p95_ms: float | None = None
    request_p99_ms: float | None = None
    in_flight_p50: float | None = None
    in_flight_p95: float | None = None


class HistoryView(Page[HistoryPoint]):
    """`GET /v1/backends/{name}/history`: oldest first. A bucket that was never watched is left out: a gap, not a zero."""

    since: AwareDatetime | None = Field(None, description="where the first bucket begins")
    until: AwareDatetime | None = None
    step_s: int | None = Field(None, description="seconds per point: no finer than what is kept of that age")
    whole: HistoryPoint | None = Field(None, description="the span as one point; null when nothing of it was watched")


class StageFigure(Answer):
    """One stage of client requests: decode, detect, embed (with its alignment), search, commit."""

    stage: str
    runs: int = Field(description="a request may run it several times, or not at all")
    mean_ms: float | None
    p95_ms: float | None


class RouteFigure(Answer):
    route: str = Field(description='method and route template, e.g. "POST /v1/verify"')
    requests: int
    errors: int = Field(description="answers of status 5xx")
    refused: int = Field(description="answers of status 422: mostly no usable face")
    mean_ms: float | None
    p95_ms: float | None


class Resources(Answer):
    """What its process takes at one moment; null where it does not say."""

    at: AwareDatetime
    cpu_percent: float | None = Field(description="of one core, since the scrape before")
    memory_bytes: int | None = Field(description="resident")
    in_flight: int | None
    connections: int | None
    inference_busy: int | None
    inference_waiting: int | None
    gallery_size: int | None
    gallery_memory_bytes: int | None
    gallery_memory_limit_bytes: int | None
    seq: int | None
    lag_s: float | None = Field(description="how far it is behind the log of the gallery")


class Left(Answer):
    """Who would serve without a backend: what the guard of a drain counts."""

    names: list[str]
    total: int
    sentence: str = Field(description='e.g. "1 of 4 would be left: b2."')
    refused: bool = Field(description="whether a drain that names no `accept_left` is refused")


class Figures(Answer):
    """`GET /v1/backends/{name}/figures?window_s=300`: what one backend is busy with. Client requests only."""

    backend: str
    window_s: float = Field(description="of stages, routes and decisions")
    stages: list[StageFigure] = Field(description="in the order in which a request passes them; empty: none was timed")
    routes: list[RouteFigure]
    decisions: dict[str, dict[str, int]] = Field(description="by operation and decision")
    resources: list[Resources] = Field(description="of the last hour, a minute apart, oldest first; the last one is the present")
    without_it: Left
    drain_since: AwareDatetime | None = Field(None, description="since when an operator wants it out of service")
    reason: str | None = Field(None, description="code: why its metrics cannot be read now")
    at: AwareDatetime | None = Field(description="when its metrics were last read; null: never")


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


class DrainRequest(Asked):
    """`POST /v1/backends/{name}/drain`."""

    accept_left: int | None = Field(
        None, ge=0, le=10_000, strict=True, description="the fewest that may be left; where it is not given, half of the fleet"
    )


class Drained(Answer):
    """What came of a drain or a return."""

    backend: str
    admin_state: AdminState
    told: bool = Field(description="whether the backend itself was told; `next` says what follows where it was not")
    left: list[str] = Field(description="who serves now, without it")
    total: int
    sentence: str = Field(description='e.g. "2 of 3 would be left: b2, b3."')
    next: str = Field(description="what else there is to do, by the kind of balancer")
    since: AwareDatetime | None = None


class DiagnosisRequest(Asked):
    """`POST /v1/diagnoses`: either a `target` of the fleet file (a backend's name, `balancer`) or a `url`."""

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


class DistributionCheckRequest(Asked):
    """`POST /v1/distribution-checks`."""

    requests: int = Field(100, ge=10, le=500, strict=True, description="how many are sent through the balancer, 40 a second")


class ShareVerdict(StrEnum):
    as_expected = "as_expected"
    more = "more"
    fewer = "fewer"
    absent = "absent"
    not_judged = "not_judged"
    not_in_service = "not_in_service"
    not_in_fleet = "not_in_fleet"


class DistributionVerdict(StrEnum):
    even = "even"
    uneven = "uneven"
    sticky = "sticky"
    too_few = "too_few"
    nothing_to_compare = "nothing_to_compare"
    failed = "failed"


class DistributionShare(Answer):
    """What one backend served of a check. `deviation` and `limit` are relative to the expected share: −0.6 is 40 % of it."""

    backend: str = Field(description="as the fleet file, or else the answer itself (X-Served-By), names it")
    requests: int
    share: float | None
    expected_share: float | None = Field(description="null where the strategy promises none; 0 for one out of service")
    deviation: float | None
    limit: float | None = Field(description="what chance alone explains of a deviation, and below which nothing is flagged")
    verdict: ShareVerdict
    p50_ms: float | None


class DistributionCheck(Answer):
    """`GET /v1/distribution-checks/{id}`: who served the requests that the monitor sent through the balancer."""

    id: str
    state: Literal["running", "done", "stopped"] = Field(description="stopped: its time ran out, or the monitor ended")
    strategy: str
    requests: int
    sent: int
    answered: int = Field(description="by a backend that named itself")
    failures: dict[str, int] = Field(description="by reason code; an error that a backend answered is among `answered` too")
    shares: list[DistributionShare]
    verdict: DistributionVerdict | None = Field(description="null while it runs")
    sentence: str | None
    cv: float | None
    noise_floor_cv: float | None
    started_at: AwareDatetime
    finished_at: AwareDatetime | None
    estimated_s: float | None = Field(description="seconds left; null after its end")
    at: AwareDatetime


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


# --- alerts -----------------------------------------------------------------------------------------------------------


class AlertState(StrEnum):
    pending = "pending"
    firing = "firing"
    resolved = "resolved"


class Alert(Answer):
    """Something that is, or was, wrong. `quiet` holds back what is told of it, never what it is."""

    id: str
    key: str = Field(description="the same as long as it is the same thing that is wrong")
    rule: str = Field(description="its entry in docs/alerts.md")
    severity: Literal["info", "warning", "critical"]
    state: AlertState
    sentence: str
    reason: str = Field(description="owner-prefixed code, e.g. DEP.DATABASE")
    owner: str = Field(description="whose fault: MON NET TLS APP DEP LB")
    labels: dict[str, str]
    since: AwareDatetime = Field(description="when it came into this state")
    starts_at: AwareDatetime | None = Field(description="when it began to fire")
    ends_at: AwareDatetime | None
    stale: bool = Field(description="no evidence at the moment: the last state stands")
    quiet: Literal["silenced", "maintenance", "flapping"] | None = Field(description="why nothing is told of it now")
    told: str | None = Field(description="the severity last told; null when nothing was, or its end was")
    told_at: AwareDatetime | None
    acknowledged_by: str | None = None
    acknowledged_at: AwareDatetime | None = None
    runbook: str


class AlertStep(Answer):
    at: AwareDatetime
    what: str
    severity: str
    reason: str
    actor: str | None = None


class Delivery(Answer):
    """One notification through one route."""

    id: int
    alert_id: str
    route: str
    kind: Literal["firing", "reminder", "resolved"]
    severity: str
    idempotency_key: str
    state: Literal["waiting", "sent", "given_up"]
    created_at: AwareDatetime
    due_at: AwareDatetime
    sent_at: AwareDatetime | None
    attempts: int
    answer: str | None = Field(description="what came of the last attempt")
    title: str | None = Field(None, description="as it is sent")
    text: str | None = Field(None, description="as it is sent")


class AlertDetail(Alert):
    """`GET /v1/alerts/{id}`: with its history and what was told, oldest first."""

    history: list[AlertStep]
    deliveries: list[Delivery]


Comment = Annotated[str, Field(min_length=1, max_length=500, description="for people; not repeated in the audit trail")]


class NewSilence(Asked):
    """`matchers`: label → pattern (`*`, `?`); all must fit. Labels: the alert's own, and `rule`, `severity`, `owner`."""

    matchers: dict[str, Annotated[str, Field(min_length=1, max_length=200)]] = Field(min_length=1, max_length=10)
    ends_at: AwareDatetime
    starts_at: AwareDatetime | None = Field(None, description="default: now")
    comment: Comment


class Silence(Answer):
    id: str
    matchers: dict[str, str]
    author: str
    comment: str
    created_at: AwareDatetime
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    lifted_by: str | None = None


class NewMaintenance(Asked):
    """Of the named backends; with none named, of the whole fleet."""

    backends: list[str] = Field([], max_length=100)
    ends_at: AwareDatetime
    starts_at: AwareDatetime | None = Field(None, description="default: now")
    comment: Comment


class Maintenance(Answer):
    id: str
    backends: list[str]
    author: str
    comment: str
    created_at: AwareDatetime
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    lifted_by: str | None = None


class AlertRoute(Answer):
    """Where notifications of `min_severity` and worse go. Its URL is a secret and stands in no answer."""

    name: str
    kind: Literal["apprise", "alertmanager"]
    min_severity: Literal["info", "warning", "critical"]


class RouteTest(Answer):
    """`POST /v1/alert-routes/{name}/test`: what the receiver made of a notification that says it is a test."""

    route: str
    delivered: bool
    answer: str
    took_ms: float
    idempotency_key: str


class Action(Answer):
    """`GET /v1/audit`: what somebody did."""

    id: int
    at: AwareDatetime
    actor: str
    action: str
    target: str
    outcome: str


# --- the fleet file ---------------------------------------------------------------------------------------------------


class FleetFileMistake(Answer):
    line: int
    field: str
    reason: str


class FleetFileBackend(Answer):
    name: str
    url: str
    address: str
    server_name: str
    ca_file: str | None
    region: str
    zone: str
    weight: int


class FleetFileBalancer(Answer):
    kind: str
    strategy: str
    url: str | None = Field(description="what clients call")
    listen: str
    server_name: str
    zone: str | None
    rate_per_client: int = Field(description="requests per second that one client address may send")


class FleetFileProbes(Answer):
    interval_s: float
    fast_interval_s: float
    down_interval_s: float
    deadline_s: float
    fall: int
    rise: int
    start_budget_s: float


class FleetFileView(Answer):
    """`GET /v1/fleet-file`: the fleet that is watched, as the file says; with no secret and no place of one."""

    path: str
    read_at: AwareDatetime = Field(description="when the fleet that is watched was read")
    looked_at: AwareDatetime = Field(description="when the file was last looked at")
    refused_at: AwareDatetime | None = Field(description="since when the file on disk is refused; the old fleet stays watched")
    mistakes: list[FleetFileMistake] = Field(description="why it is refused")
    service: str
    balancer: FleetFileBalancer | None
    backends: list[FleetFileBackend]
    probes: FleetFileProbes
    dashboard_url: str | None
    certificates_check_interval_s: float
    certificates_watched: list[str] = Field(description="beside those of the backends and the balancer")
    alert_routes: list[AlertRoute]
    disabled_rules: list[str]
    slo_availability: float = Field(description="promised share of requests that do not end in 5xx")
    slo_least_requests: int = Field(description="in the short window, before a burn rate says anything")
    runbook_url: str | None = Field(description="where docs/alerts.md is served, if it is")
    heartbeat_every_s: float | None
    synthetic_interval_s: float | None
    drain_key_named: bool = Field(description="whether the file names a key with which the monitor may drain")
