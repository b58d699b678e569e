"""From a fleet to Alertmanager: who is told of what, what is told together, and what keeps quiet beside a larger fault. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.render import yaml_text
from deploy.render.prometheus_alerts import WATCHDOG
from deploy.render.prometheus_pace import Pace, pace_of
from deploy.render.prometheus_recording import HOUR, MINUTE
from monitor.fleet import Fleet
from monitor.fleet_alerts import Severity
from monitor.fleet_observability import Alertmanager, Receiver, ReceiverKind

FILE = Path("prometheus") / "alertmanager.yml"
NOBODY = "nobody"
ENVIRONMENT = "env:"
HEADER = """\
Written by `python -m deploy render` from the fleet file. To stand as /etc/prometheus/alertmanager.yml. It holds no secret: what
is secret stands in the files that it names, readable for the account of Alertmanager alone."""

OF_ONE_BACKEND = (
    "FaceAuthBackend(Unhealthy|Degraded|Restarting|ErrorRatioHigh|LatencyHigh)|FaceAuthGalleryBehind|FaceAuthGalleryMemoryHigh|"
    "FaceAuthInferenceSaturated|FaceAuthRequestsInFlightHigh|FaceAuthConnectionsHigh|FaceAuthOpenFilesHigh|FaceAuthClientErrorsHigh"
)
TOLD_BY_THE_MONITOR = (
    "FaceAuthMonitor(Late|Failing|Undelivered)|FaceAuthBackend(Unhealthy|Degraded)|FaceAuthCertificate.+|FaceAuthSyntheticFailing"
)
# The larger fault, what keeps quiet beside it, and the labels in which both must be the same (one that both lack is the same).
INHIBITED = (
    ("FaceAuthFleetDown", f"FaceAuthBackend(Down|Absent)|FaceAuthTrafficGone|FaceAuthLatencyHigh|{OF_ONE_BACKEND}", ["service"]),
    ("FaceAuthBackendDown|FaceAuthBackendAbsent", OF_ONE_BACKEND, ["service", "name"]),
    ("FaceAuthBackendUnhealthy", OF_ONE_BACKEND.replace("Unhealthy|", ""), ["service", "name"]),
    ("FaceAuthErrorBudgetBurningFast", "FaceAuthErrorBudgetBurningSlowly|FaceAuthBackendErrorRatioHigh", ["service"]),
    ("FaceAuthLatencyHigh", "FaceAuthBackendLatencyHigh", ["service"]),
    ("FaceAuthCertificateExpired", "FaceAuthCertificate(NearlyExpired|Expiring|Invalid)", ["service", "certificate"]),
    ("FaceAuthCertificateNearlyExpired", "FaceAuthCertificateExpiring", ["service", "certificate"]),
    ("FaceAuthMonitorDown", TOLD_BY_THE_MONITOR, ["service"]),
)


def documents(fleet: Fleet) -> dict[Path, str]:
    return {FILE: yaml_text.text(configuration(fleet, pace_of(fleet)), HEADER)}


def configuration(fleet: Fleet, pace: Pace) -> dict[str, Any]:
    """The content of alertmanager.yml."""
    receivers = (fleet.alertmanager or Alertmanager()).receivers
    return {
        "route": {
            "receiver": NOBODY,
            "group_by": ["alertname", "service"],
            "group_wait": pace.of(30),
            "group_interval": pace.of(5 * MINUTE),
            "repeat_interval": pace.of(4 * HOUR),
            "routes": [*_watchdog(receivers, pace), *_routes(receivers)],
        },
        "inhibit_rules": [
            {"source_matchers": [f'alertname=~"{of}"'], "target_matchers": [f'alertname=~"{quiet}"'], "equal": equal}
            for of, quiet, equal in INHIBITED
        ],
        "receivers": [{"name": NOBODY}, *(_receiver(one) for one in receivers)],
    }


def _watchdog(receivers: list[Receiver], pace: Pace) -> Iterator[dict[str, Any]]:
    """It fires always and is told each minute, to whoever calls when it stops; to nobody else."""
    hearing = [one.name for one in receivers if one.heartbeat] or [NOBODY]
    for name in hearing:
        yield {
            "matchers": [f'alertname="{WATCHDOG}"'],
            "receiver": name,
            "group_wait": "0s",
            "group_interval": pace.of(MINUTE),
            "repeat_interval": pace.of(MINUTE),
            "continue": name != hearing[-1],
        }


def _routes(receivers: list[Receiver]) -> Iterator[dict[str, Any]]:
    """Each receiver has a route of its own and hears all of its severities, whoever else does."""
    for one in receivers:
        if not one.heartbeat:
            ranked = sorted(one.severities, key=lambda severity: severity.rank, reverse=True)
            yield {"matchers": [f'severity=~"{"|".join(ranked)}"'], "receiver": one.name, "continue": True}


def _receiver(one: Receiver) -> dict[str, Any]:
    file = one.credential.removeprefix("file:") if one.credential else None
    resolved = {"send_resolved": not one.heartbeat}
    if one.kind is ReceiverKind.webhook:
        trust = {"http_config": {"authorization": {"credentials_file": file}}} if file else {}
        return {"name": one.name, "webhook_configs": [{"url": one.url, **resolved, **trust}]}
    if one.kind is ReceiverKind.slack:
        return {"name": one.name, "slack_configs": [{"api_url_file": file, "channel": one.channel, **resolved}]}
    if one.kind is ReceiverKind.pagerduty:
        return {"name": one.name, "pagerduty_configs": [{"routing_key_file": file, **resolved}]}
    password = {"auth_username": one.sender, "auth_password_file": file} if file else {}
    mail = {"to": one.to, "from": one.sender, "smarthost": one.smarthost, "require_tls": True, **password, **resolved}
    return {"name": one.name, "email_configs": [mail]}


def refusals(fleet: Fleet) -> Iterator[str]:
    """What Alertmanager cannot do of what the file asks for: its place in the file, and what to change."""
    if fleet.alertmanager is None:
        return
    receivers = fleet.alertmanager.receivers
    for number, one in enumerate(receivers):
        place = f"alertmanager.receivers.{number}"
        if one.credential and one.credential.startswith(ENVIRONMENT):
            yield f"{place}.credential: Alertmanager reads no environment; nearest: file:PATH, a file that it alone may read"
        if one.name == NOBODY:
            yield f"{place}.name: {NOBODY} is the receiver of what nobody is told; choose another name"
        if not one.heartbeat and not one.severities:
            yield f"{place}.severities: it would be told of nothing; nearest: [critical, warning], or heartbeat: true"
    if not any(Severity.critical in one.severities and not one.heartbeat for one in receivers):
        yield "alertmanager.receivers: nobody is told of what is critical; nearest: a receiver with severities: [critical]"
