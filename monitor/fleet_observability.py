"""The schema of `prometheus:`, `alertmanager:` and `systemd:` in `fleet.yaml`: what `deploy render` needs beside the fleet.

Paths here are of the machines that Prometheus, Alertmanager and the units run on, so they are absolute, and nothing opens them
when the file is read. Pydantic, and the judged addresses of `monitor.addresses`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from monitor.addresses import refuse
from monitor.fleet_alerts import Severity

SHORTEST_WINDOW_S = 300
SCRAPES_IN_A_WINDOW = 4
"""A rate over five minutes wants more than two scrapes in it, or one that is late leaves nothing."""


def _may_be_asked(address: str, info: ValidationInfo) -> str:
    host, _, port = address.rpartition(":")
    if not 1 <= int(port) <= 65535:
        raise ValueError("a port is a number from 1 to 65535")
    refuse(host, allowed=info.context or ())
    return address


def _is_absolute(path: str) -> str:
    if not path.startswith("/") or not path.isprintable() or set(path) & set("\"'$\\% ") or "/../" in f"{path}/":
        raise ValueError("give an absolute path, without spaces, quotes, dollar or percent signs")
    return path.rstrip("/") or "/"


def _is_web(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url:
        raise ValueError("give an http:// or https:// URL")
    if parts.username or parts.password or parts.query:
        raise ValueError("a URL here carries no credential and no query: give the secret as credential: file:PATH")
    return url


Address = Annotated[
    str, Field(pattern=r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]{1,253}):\d{1,5}$"), AfterValidator(_may_be_asked)
]  # fmt: skip
ServerPath = Annotated[str, Field(max_length=500), AfterValidator(_is_absolute)]
WebUrl = Annotated[str, Field(max_length=2000), AfterValidator(_is_web)]
Account = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,30}$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Mail = Annotated[str, Field(pattern=r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,253}$")]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Prometheus(Part):
    """A Prometheus beside the monitor: two that watch do not die of one cause."""

    address: Address = Field("127.0.0.1:9090", description="Where it listens: it scrapes itself.")
    alertmanagers: list[Address] = Field(["127.0.0.1:9093"], max_length=20)
    monitor: Address = Field("127.0.0.1:8600", description="The monitor's /metrics, over http.")
    balancer_metrics: Address | None = Field(
        None,
        description="nginx: where prometheus-nginx-exporter listens. HAProxy: default its stats_address, which has /metrics.",
    )
    interval_s: float = Field(15.0, ge=1, le=SHORTEST_WINDOW_S / SCRAPES_IN_A_WINDOW, description="between two scrapes")
    gallery_lag_s: float = Field(5.0, gt=0, le=3600, description="how far behind the log a replica's gallery may be")
    faster: int = Field(
        1, ge=1, le=60, description="To rehearse alerts: windows and waits so many times shorter than their names say. Else 1."
    )
    runbook_url: WebUrl | None = Field(
        None, description="where docs/operations.md is served; default: its path in the repository"
    )


class ReceiverKind(StrEnum):
    webhook = "webhook"
    slack = "slack"
    pagerduty = "pagerduty"
    email = "email"


class Receiver(Part):
    """Somebody who is told. What is secret stands in a file that Alertmanager reads."""

    name: Name
    kind: ReceiverKind
    severities: list[Severity] = Field([Severity.critical, Severity.warning], max_length=3)
    heartbeat: bool = Field(False, description="told of the watchdog alone, each minute: it calls when that stops")
    credential: str | None = Field(
        None,
        pattern=r"^(file:/[^\x00-\x1f]{1,500}|env:[A-Za-z_][A-Za-z0-9_]{0,99})$",
        description="file:PATH. webhook: bearer token; slack: the webhook's URL; pagerduty: routing key; email: password",
    )
    url: WebUrl | None = Field(None, description="webhook: where to; it carries no credential")
    channel: Annotated[str, Field(pattern=r"^[#@A-Za-z0-9._-]{1,80}$")] | None = Field(None, description="slack")
    to: Mail | None = Field(None, description="email")
    sender: Mail | None = Field(None, description="email")
    smarthost: Address | None = Field(None, description="email: host:port, spoken to with STARTTLS")

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        needed = {
            ReceiverKind.webhook: ("url",),
            ReceiverKind.slack: ("credential", "channel"),
            ReceiverKind.pagerduty: ("credential",),
            ReceiverKind.email: ("to", "sender", "smarthost"),
        }[self.kind]
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise ValueError(f"a receiver of kind {self.kind} needs {' and '.join(missing)}")
        return self


class Alertmanager(Part):
    receivers: list[Receiver] = Field([], max_length=50)

    @model_validator(mode="after")
    def _unique(self) -> Self:
        names = [one.name for one in self.receivers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two receivers have the same name: {', '.join(twice)}")
        return self


class Systemd(Part):
    """Units for hosts without containers. Three accounts: who runs one program cannot read another's keys."""

    install_dir: ServerPath = Field("/opt/face-auth", description="the repository, with its .venv")
    config_dir: ServerPath = Field("/etc/face-auth", description="fleet.yaml, and the settings of each program as NAME.env")
    log_dir: ServerPath = Field("/var/log/face-auth", description="the backend's access.log and app.log")
    keep_logs_days: int = Field(14, ge=1, le=3650)
    backend_user: Account = "face-auth"
    monitor_user: Account = "face-auth-monitor"
    dashboard_user: Account = "face-auth-dashboard"
    drain_s: float = Field(5.0, ge=0, le=600, description="/ready is 503 for so long before the listener closes")
    graceful_timeout_s: float = Field(20.0, gt=0, le=3600, description="for requests in flight after that")
