"""The schema of `fleet.yaml`: one file describes the fleet; the monitor, `deploy render` and the dashboard read it.

Pydantic only (and the judgement of addresses, which needs nothing). Relative paths are relative to the file's folder. It
holds no secret: a credential stands as ``file:…`` or ``env:…``, a literal one is refused.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from monitor.addresses import refuse
from monitor.fleet_alerts import Alerts
from monitor.fleet_observability import Alertmanager, Prometheus, Systemd
from monitor.fleet_platforms import Aws, Kubernetes

LONGEST_PATH = 1000
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]


def _has_a_port(address: str) -> str:
    if not 1 <= int(address.rpartition(":")[2]) <= 65535:
        raise ValueError("a port is a number from 1 to 65535")
    return address


def _may_be_asked(place: str, info: ValidationInfo) -> str:
    """Refuse a target where nothing of a fleet can be; what the file itself allows comes as the validation's context."""
    host = (urlsplit(place).hostname or "") if "//" in place else place.rpartition(":")[0]
    refuse(host, allowed=info.context or ())
    return place


def _is_web(url: str) -> str:
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right or not url.isprintable() or " " in url:
        raise ValueError("give an http:// or https:// URL")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("a URL here carries no credential and no query")
    return url.rstrip("/")


def _has_characters(path: Path) -> Path:
    if not str(path).isprintable() or str(path) == "." or len(str(path)) > LONGEST_PATH:
        raise ValueError(f"give the path of a file, of at most {LONGEST_PATH} characters")
    return path


Address = Annotated[
    str,
    Field(pattern=r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]{1,253}):\d{1,5}$", description="host:port"),
    AfterValidator(_has_a_port),
]
# Where a program listens: every address of this machine is none of a target.
Listen = Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:.]+\]|\*|[A-Za-z0-9._-]{1,253}):\d{1,5}$"), AfterValidator(_has_a_port)]
Target = Annotated[Address, AfterValidator(_may_be_asked)]
Url = Annotated[str, Field(max_length=2000), AfterValidator(_is_web), AfterValidator(_may_be_asked)]
# A name or an address, as a certificate carries it.
Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,253}$")]
# A word of a site's own: a region, a zone.
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
File = Annotated[Path, AfterValidator(_has_characters)]
Credential = Annotated[str, Field(pattern=r"^(file:[^\x00-\x1f]{1,1000}|env:[A-Za-z_][A-Za-z0-9_]{0,99})$")]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Part(BaseModel):
    # Nothing is unlimited: `.inf` would make an interval that never ends.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class BalancerKind(StrEnum):
    none = "none"
    nginx = "nginx"
    haproxy = "haproxy"


class Strategy(StrEnum):
    round_robin = "round_robin"
    least_connections = "least_connections"
    ip_hash = "ip_hash"


class Backend(Part):
    """Connect to `address`, with `server_name` as SNI and name to verify, trusting `ca_file` and the system's roots."""

    name: Name
    url: Url
    address: Target
    server_name: Host
    ca_file: File | None = None
    region: Label = "local"
    zone: Label = "a"
    weight: int = Field(100, ge=1, le=256)

    @property
    def tls(self) -> bool:
        return self.url.startswith("https://")


class Balancer(Part):
    kind: BalancerKind = BalancerKind.none
    strategy: Strategy = Strategy.least_connections
    url: Url | None = Field(None, description="What clients call, e.g. https://api.faceauth.example.com")
    listen: Listen = "0.0.0.0:443"
    redirect_listen: Listen = "0.0.0.0:80"
    server_name: Host = "api.faceauth.example.com"
    ca_file: File | None = Field(None, description="CA of the balancer's own certificate, for those who call it.")
    cert_file: File | None = Field(None, description="PEM chain that the balancer serves.")
    key_file: File | None = None
    acme: Target | None = Field(
        None, description="Where certbot answers Let's Encrypt's challenges (`certbot --standalone`), e.g. 127.0.0.1:8888."
    )
    stats_address: Target | None = Field(None, description="nginx-status (8080) or HAProxy's stats page (8404), loopback.")
    access_log: File | None = None
    error_log: File | None = None
    backend_server_name: Host | None = Field(
        None, description="A name that every backend's certificate carries: nginx can verify only one name for all of them."
    )
    zone: Label | None = Field(None, description="The balancer's zone: backends of other zones serve only when none here does.")
    rate_per_client: int = Field(
        100, ge=1, le=1_000_000, description="Requests per second that one client address may send; more gets 429."
    )


class Dashboard(Part):
    url: Url
    address: Target


class Probes(Part):
    """HAProxy's model: three speeds, `fall` failures to go down, `rise` passes to come back."""

    interval_s: Seconds = Field(5.0, description="in a settled state, up")
    fast_interval_s: Seconds = Field(1.0, description="in transition")
    down_interval_s: Seconds = Field(5.0, description="in a settled state, down")
    deadline_s: Seconds = Field(2.0, description="for a whole probe: connect, handshake, answer")
    fall: int = Field(3, ge=1, le=20)
    rise: int = Field(2, ge=1, le=20)
    reference_url: Url | None = Field(
        None, description="asked when most of the fleet seems gone: if it does not answer either, the fault is the monitor's"
    )
    start_budget_s: Seconds = Field(120.0, description="how long a backend that was never ready counts as STARTING")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.fast_interval_s > self.interval_s:
            raise ValueError("fast_interval_s must not be longer than interval_s")
        return self


class Drift(Part):
    """In what the backends should be the same."""

    roll_grace_s: Seconds = Field(900.0, description="how long versions may differ, as they do during a roll")


class Synthetic(Part):
    """Verifications with photographs that are known, through each backend and the balancer; marked, so they count nowhere."""

    key: Credential | None = Field(None, description="an API key that may recognise: file:PATH or env:NAME")
    genuine: tuple[File, File] = Field(description="two different photographs of one person")
    impostor: tuple[File, File] = Field(description="photographs of two people")
    interval_s: Seconds = 60.0
    deadline_s: Seconds = 15.0


class Drain(Part):
    key: Credential | None = Field(None, description="an API key that may drain: file:PATH or env:NAME")


class WatchedCertificate(Part):
    """A certificate to watch beside those of the backends and the balancer: served somewhere, or a file on disk."""

    name: Name
    address: Target | None = None
    server_name: Host | None = None
    ca_file: File | None = None
    file: File | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.address is None) == (self.file is None):
            raise ValueError("give either address (with server_name) or file")
        return self


class Certificates(Part):
    check_interval_s: Seconds = 60.0
    warn_days: float | None = Field(
        None, gt=0, le=3650, description="beside the fractions of the lifetime (warn < 1/3, critical < 1/6 or < 3 days)"
    )
    critical_days: float | None = Field(None, gt=0, le=3650)
    watch: list[WatchedCertificate] = []


class Fleet(Part):
    version: Literal[1] = 1
    service: Label = "face-auth-system"
    balancer: Balancer = Balancer()
    backends: list[Backend] = Field(min_length=1)
    dashboard: Dashboard | None = None
    probes: Probes = Probes()
    certificates: Certificates = Certificates()
    alerts: Alerts = Alerts()
    drift: Drift = Drift()
    synthetic: Synthetic | None = None
    drain: Drain = Drain()
    prometheus: Prometheus | None = None
    alertmanager: Alertmanager | None = None
    systemd: Systemd | None = None
    kubernetes: Kubernetes | None = None
    aws: Aws | None = None
    allow_addresses: list[Host] = Field(
        [],
        max_length=100,
        description="Link-local or metadata addresses, or names that resolve to one, that are meant.",
    )

    @model_validator(mode="after")
    def _unique(self) -> Self:
        for field in ("name", "address"):
            values = [getattr(backend, field) for backend in self.backends]
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"two backends have the same {field}: {', '.join(twice)}")
        return self

    def backend(self, name: str) -> Backend | None:
        return next((backend for backend in self.backends if backend.name == name), None)

    @classmethod
    def from_data(cls, data: Any, *, base: Path) -> Fleet:
        """Validate what a YAML reader gave; relative paths become absolute, below `base`.

        Raises:
            pydantic.ValidationError: with the place of each mistake.
        """
        allowed = data.get("allow_addresses") if isinstance(data, dict) else None
        context = [one for one in allowed if isinstance(one, str)] if isinstance(allowed, list) else []
        fleet: Fleet = _anchored(cls.model_validate(data, context=context), base)
        return fleet


def _anchored(part: Any, base: Path) -> Any:
    if isinstance(part, Path):
        return part if part.is_absolute() else base / part
    if isinstance(part, list | tuple):
        return type(part)(_anchored(item, base) for item in part)
    if isinstance(part, Part):
        return part.model_copy(update={name: _anchored(getattr(part, name), base) for name in type(part).model_fields})
    return part
