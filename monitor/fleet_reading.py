"""What came of reading the fleet file, and the file as the API shows it: that a secret is named, never which."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from monitor import fleet, wire
from monitor.fleet_alerts import is_reference
from monitor.fleet_file import FleetFileError, Mistake


@dataclass
class FleetReading:
    """`read_at`: when the fleet that is watched was read; `looked_at`: the last look at the file; `mistakes`: why not taken."""

    path: Path
    read_at: datetime
    looked_at: datetime
    mistakes: tuple[Mistake, ...] = ()
    refused_at: datetime | None = None

    def taken(self, now: datetime) -> None:
        self.read_at, self.mistakes, self.refused_at = now, (), None

    def refused(self, error: FleetFileError, now: datetime) -> None:
        if self.refused_at is None or tuple(error.mistakes) != self.mistakes:
            self.refused_at = now
        self.mistakes = tuple(error.mistakes)


def fleet_file_view(reading: FleetReading, described: fleet.Fleet) -> wire.FleetFileView:
    """`GET /v1/fleet-file`. Built field by field: what the schema gains later is not shown before somebody has thought of it."""
    alerts = described.alerts
    return wire.FleetFileView(
        path=str(reading.path.resolve()),
        read_at=reading.read_at,
        looked_at=reading.looked_at,
        refused_at=reading.refused_at,
        mistakes=[wire.FleetFileMistake(line=one.line, field=one.field, reason=one.reason) for one in reading.mistakes],
        service=described.service,
        balancer=_balancer(described.balancer),
        backends=[_backend(one) for one in described.backends],
        probes=wire.FleetFileProbes(**described.probes.model_dump(include=set(wire.FleetFileProbes.model_fields))),
        dashboard_url=described.dashboard.url if described.dashboard else None,
        certificates_check_interval_s=described.certificates.check_interval_s,
        certificates_watched=[one.name for one in described.certificates.watch],
        alert_routes=[
            wire.AlertRoute(name=one.name, kind=one.kind.value, min_severity=one.min_severity.value) for one in alerts.routes
        ],
        disabled_rules=alerts.disabled,
        slo_availability=alerts.slo.availability,
        slo_least_requests=alerts.thresholds.least_requests,
        runbook_url=alerts.runbook_url if alerts.runbook_url and not is_reference(alerts.runbook_url) else None,
        heartbeat_every_s=alerts.heartbeat.every_s if alerts.heartbeat else None,
        synthetic_interval_s=described.synthetic.interval_s if described.synthetic else None,
        drain_key_named=described.drain.key is not None,
    )


def _balancer(one: fleet.Balancer) -> wire.FleetFileBalancer | None:
    if one.kind is fleet.BalancerKind.none:
        return None
    return wire.FleetFileBalancer(
        kind=one.kind.value,
        strategy=one.strategy.value,
        url=one.url,
        listen=one.listen,
        server_name=one.server_name,
        zone=one.zone,
        rate_per_client=one.rate_per_client,
    )


def _backend(one: fleet.Backend) -> wire.FleetFileBackend:
    shown = one.model_dump(include=set(wire.FleetFileBackend.model_fields) - {"ca_file"})
    return wire.FleetFileBackend(**shown, ca_file=str(one.ca_file) if one.ca_file else None)
