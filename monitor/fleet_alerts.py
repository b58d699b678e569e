"""The schema of the section `alerts:` of `fleet.yaml`: routes, thresholds, reminders, SLO. Pydantic, and judged addresses.

It holds no secret. Most addresses of notification services *are* one (a token in the path), so a URL stands here as ``env:NAME``
or ``file:PATH``, and literally only where its kind carries none and this one neither.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from monitor.addresses import refuse

# Kinds of Apprise URLs that name a receiver of one's own: everything else carries its token somewhere in the URL.
SCHEMES_WITHOUT_TOKEN = frozenset({"json", "jsons", "xml", "xmls", "form", "forms", "syslog"})
REFERENCES = ("env:", "file:")
# Beyond these a figure is a slip of the keyboard: a year, and more than any fleet has of anything.
LONGEST_S, MOST = 366 * 86_400, 1_000_000_000


class Severity(StrEnum):
    info = "info"
    warning = "warning"
    critical = "critical"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


class RouteKind(StrEnum):
    apprise = "apprise"
    alertmanager = "alertmanager"


def is_reference(url: str) -> bool:
    return url.startswith(REFERENCES) and len(url) > len("file:")


def _of_apprise(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme.lower() not in SCHEMES_WITHOUT_TOKEN:
        raise ValueError("the URL of such a service is a credential: give env:NAME or file:PATH")
    _has_no_credential(url)


def _has_no_credential(url: str) -> None:
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("a URL here carries no credential and no query: give env:NAME or file:PATH")


def _of_http(url: str) -> str:
    if not is_reference(url):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("give an http:// or https:// URL, env:NAME or file:PATH")
        _has_no_credential(url)
    return url


def _only_referenced(url: str) -> str:
    if not is_reference(url):
        raise ValueError("the URL of a heartbeat is a credential: give env:NAME or file:PATH")
    return url


Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Seconds = Annotated[float, Field(ge=0, le=86_400)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Route(Part):
    """Where notifications go: a URL as Apprise reads it, or an Alertmanager's."""

    name: Name
    kind: RouteKind = RouteKind.apprise
    url: str = Field(description="env:NAME, file:PATH, or a literal one without a credential, e.g. jsons://hooks.example.com/a")
    min_severity: Severity = Severity.warning

    @model_validator(mode="after")
    def _without_literal_credential(self, info: ValidationInfo) -> Self:
        if not is_reference(self.url):
            refuse(urlsplit(self.url).hostname or "", allowed=info.context or ())
        if self.kind is RouteKind.alertmanager:
            _of_http(self.url)
        elif not is_reference(self.url):
            _of_apprise(self.url)
        return self


class Heartbeat(Part):
    """A POST outwards while this monitor is well, so that somebody else notices a dead one."""

    url: Annotated[str, AfterValidator(_only_referenced)]
    every_s: float = Field(60.0, ge=1, le=3600)


class Reminders(Part):
    """While an alert fires and nobody acknowledged it: after `first_s`, then at growing distances."""

    first_s: float = Field(3600.0, gt=0, le=LONGEST_S)
    factor: float = Field(2.0, ge=1, le=10)
    most_s: float = Field(86_400.0, gt=0, le=LONGEST_S)


class Slo(Part):
    """Availability that is promised, as a share of requests that do not end in 5xx; burn rates are measured against it."""

    availability: float = Field(0.999, gt=0, lt=1)


class Thresholds(Part):
    """From where on a figure is worth an alert. Ratios 0 to 1, times in the unit of their name, over a window of 5 minutes."""

    error_ratio: float = Field(0.05, gt=0, le=1, description="5xx of a backend, and of the whole fleet")
    client_error_ratio: float = Field(0.5, gt=0, le=1, description="4xx: usually a caller that does something wrong")
    latency_p95_ms: float = Field(2000.0, gt=0, le=MOST)
    least_requests: int = Field(30, ge=1, le=MOST, description="in the window, before a ratio or a p95 says anything")
    connections: int = Field(500, ge=1, le=MOST, description="open at one backend")
    in_flight: float = Field(32.0, gt=0, le=MOST, description="mean requests in flight at one backend")
    gone_after_requests: int = Field(100, ge=1, le=MOST, description="in the hour before, for silence to be remarkable")
    least_up_ratio: float = Field(0.5, gt=0, le=1, description="of the fleet, without backends in maintenance")
    balancer_cpu_percent: float = Field(90.0, gt=0, le=100_000)
    balancer_memory_mb: float = Field(2048.0, gt=0, le=MOST)
    lateness_s: float = Field(2.0, gt=0, le=LONGEST_S, description="of the monitor's own schedule")
    together: int = Field(
        2, ge=2, le=10_000, description="so many backends at least make one alert of the fleet, if they are most of it"
    )


class Alerts(Part):
    routes: list[Route] = []
    thresholds: Thresholds = Thresholds()
    for_s: dict[str, Seconds] = Field({}, description="by rule: how long a condition must hold before it fires")
    disabled: list[str] = Field([], description="rules that are not applied here")
    reminders: Reminders = Reminders()
    slo: Slo = Slo()
    heartbeat: Heartbeat | None = None
    runbook_url: Annotated[str, AfterValidator(_of_http)] | None = Field(None, description="where docs/alerts.md is served")

    @model_validator(mode="after")
    def _known_and_unique(self) -> Self:
        names = [route.name for route in self.routes]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two routes have the same name: {', '.join(twice)}")
        unknown = sorted({*self.for_s, *self.disabled} - set(RULE_NAMES))
        if unknown:
            raise ValueError(f"no such rule: {', '.join(unknown)}; docs/alerts.md lists them")
        return self

    def route(self, name: str) -> Route | None:
        return next((route for route in self.routes if route.name == name), None)


# The catalogue in `monitor/alerts` says what each is; this module imports nothing of it, so the names stand here too.
RULE_NAMES = (
    "BackendDown",
    "BackendDegraded",
    "BackendStale",
    "BackendFlapping",
    "BackendDraining",
    "BackendWarning",
    "BackendDisagreement",
    "BackendErrorRatioHigh",
    "BackendClientErrorsHigh",
    "BackendLatencyHigh",
    "BackendConnectionsHigh",
    "BackendSaturated",
    "FleetDown",
    "FleetFault",
    "FleetCapacityLow",
    "FleetErrorRatioHigh",
    "FleetLatencyHigh",
    "FleetTrafficGone",
    "FleetBudgetBurning",
    "BalancerDown",
    "BalancerStatsUnreadable",
    "BalancerCpuHigh",
    "BalancerMemoryHigh",
    "CertificateExpired",
    "CertificateInvalid",
    "CertificateExpiring",
    "CertificateUnknown",
    "CertificateRotationHalfDone",
    "ModelDisagreement",
    "ThresholdDisagreement",
    "VersionDisagreement",
    "GalleryBehind",
    "GalleryDisagreement",
    "ScoresDisagreement",
    "SyntheticFailing",
    "LoadUneven",
    "LoadSinkhole",
    "LoadOutlier",
    "MonitorStoreFailing",
    "MonitorLate",
    "MonitorDutyFailing",
    "MonitorFleetFileRefused",
    "MonitorBlind",
    "MonitorDeliveryFailing",
)
