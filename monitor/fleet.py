"""The schema of `fleet.yaml`: one file describes the fleet; the monitor, `deploy render` and the dashboard read it.

Pydantic only. Relative paths are relative to the file's folder. It holds no secret: a credential stands as ``file:…`` or
``env:…``, a literal one is refused.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from monitor.fleet_alerts import Alerts

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Address = Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[^:/\s]+):\d{1,5}$", description="host:port")]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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
    url: str
    address: Address
    server_name: str
    ca_file: Path | None = None
    region: str = "local"
    zone: str = "a"
    weight: int = Field(100, ge=1, le=256)

    @field_validator("url")
    @classmethod
    def _has_no_credential(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("give an http:// or https:// URL")
        if parts.username or parts.password or parts.query:
            raise ValueError("a URL here carries no credential and no query")
        return url.rstrip("/")

    @property
    def tls(self) -> bool:
        return self.url.startswith("https://")


class Balancer(Part):
    kind: BalancerKind = BalancerKind.none
    strategy: Strategy = Strategy.least_connections
    url: str | None = Field(None, description="What clients call, e.g. https://api.faceauth.example.com")
    listen: Address = "0.0.0.0:443"
    redirect_listen: Address = "0.0.0.0:80"
    server_name: str = "api.faceauth.example.com"
    ca_file: Path | None = Field(None, description="CA of the balancer's own certificate, for those who call it.")
    cert_file: Path | None = Field(None, description="PEM chain that the balancer serves.")
    key_file: Path | None = None
    stats_address: Address | None = Field(None, description="nginx-status (8080) or HAProxy's stats page (8404), loopback.")
    access_log: Path | None = None
    error_log: Path | None = None
    backend_server_name: str | None = Field(
        None, description="A name that every backend's certificate carries: nginx can verify only one name for all of them."
    )
    zone: str | None = Field(None, description="The balancer's zone: backends of other zones serve only when none here does.")
    rate_per_client: int = Field(100, ge=1, description="Requests per second that one client address may send; more gets 429.")


class Dashboard(Part):
    url: str
    address: Address


class Probes(Part):
    """HAProxy's model: three speeds, `fall` failures to go down, `rise` passes to come back."""

    interval_s: float = Field(5.0, gt=0, description="in a settled state, up")
    fast_interval_s: float = Field(1.0, gt=0, description="in transition")
    down_interval_s: float = Field(5.0, gt=0, description="in a settled state, down")
    deadline_s: float = Field(2.0, gt=0, description="for a whole probe: connect, handshake, answer")
    fall: int = Field(3, ge=1, le=20)
    rise: int = Field(2, ge=1, le=20)
    start_budget_s: float = Field(120.0, gt=0, description="how long a backend that was never ready counts as STARTING")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.fast_interval_s > self.interval_s:
            raise ValueError("fast_interval_s must not be longer than interval_s")
        return self


class WatchedCertificate(Part):
    """A certificate to watch beside those of the backends and the balancer: served somewhere, or a file on disk."""

    name: Name
    address: Address | None = None
    server_name: str | None = None
    ca_file: Path | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.address is None) == (self.file is None):
            raise ValueError("give either address (with server_name) or file")
        return self


class Certificates(Part):
    check_interval_s: float = Field(60.0, gt=0)
    warn_days: float | None = Field(
        None, gt=0, description="beside the fractions of the lifetime (warn < 1/3, critical < 1/6 or < 3 days)"
    )
    critical_days: float | None = Field(None, gt=0)
    watch: list[WatchedCertificate] = []


class Fleet(Part):
    version: Literal[1] = 1
    service: str = "face-auth-system"
    balancer: Balancer = Balancer()
    backends: list[Backend] = Field(min_length=1)
    dashboard: Dashboard | None = None
    probes: Probes = Probes()
    certificates: Certificates = Certificates()
    alerts: Alerts = Alerts()

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
        fleet: Fleet = _anchored(cls.model_validate(data), base)
        return fleet


def _anchored(part: Any, base: Path) -> Any:
    if isinstance(part, Path):
        return part if part.is_absolute() else base / part
    if isinstance(part, list):
        return [_anchored(item, base) for item in part]
    if isinstance(part, Part):
        return part.model_copy(update={name: _anchored(getattr(part, name), base) for name in type(part).model_fields})
    return part
