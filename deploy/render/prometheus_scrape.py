"""What Prometheus scrapes: every backend by its own address, the monitor, the balancer, itself. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from deploy.render.prometheus_pace import Pace
from monitor.fleet import Backend, BalancerKind, Fleet
from monitor.fleet_observability import Prometheus

BACKENDS = "face-auth-backend"
MONITOR = "face-auth-monitor"
BALANCER = "face-auth-balancer"
ITSELF = "prometheus"
RULES = "rules/face-auth-*.yaml"
BODY_LIMIT = "32MB"
HEADER = """\
Written by `python -m deploy render` from the fleet file; `--check` shows what differs. To stand as
/etc/prometheus/prometheus.yml, with rules/ beside it. The file of the CA must be readable for the account of Prometheus."""
REHEARSAL_HEADER = """
REHEARSAL: every window and wait is {faster} times shorter than its name says. Not for production."""


def balancer_metrics(fleet: Fleet) -> str | None:
    """Where the balancer's own figures are: HAProxy has them beside its stats page, nginx beside an exporter."""
    given = (fleet.prometheus or Prometheus()).balancer_metrics
    if given is None and fleet.balancer.kind is BalancerKind.haproxy:
        return fleet.balancer.stats_address
    return given if fleet.balancer.kind is not BalancerKind.none else None


def configuration(fleet: Fleet, pace: Pace) -> dict[str, Any]:
    """The content of prometheus.yml."""
    section = fleet.prometheus or Prometheus()
    interval = pace.scrape(section.interval_s)
    deadline = pace.scrape(min(section.interval_s, 10))
    return {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": deadline,
            "evaluation_interval": interval,
            "external_labels": {"service": fleet.service},
        },
        "rule_files": [RULES],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": section.alertmanagers}]}]},
        "scrape_configs": [
            *_backends(fleet),
            {"job_name": MONITOR, "static_configs": [{"targets": [section.monitor]}]},
            *_balancer(fleet),
            {"job_name": ITSELF, "static_configs": [{"targets": [section.address]}]},
        ],
    }


def header(pace: Pace) -> str:
    return HEADER + (REHEARSAL_HEADER.format(faster=pace.faster) if pace.faster > 1 else "")


def _backends(fleet: Fleet) -> Iterator[dict[str, Any]]:
    """One job. Prometheus verifies one name for all targets of a scrape configuration, so backends without a common name get one
    configuration each; the label `job` is the same for all."""
    common = fleet.balancer.backend_server_name
    groups = [list(group) for _, group in groupby(fleet.backends, key=lambda backend: _trust(backend, common))]
    for group in groups:
        name = BACKENDS if len(groups) == 1 else f"{BACKENDS}-{group[0].name}"
        yield {
            "job_name": name,
            "scheme": "https" if group[0].tls else "http",
            **_tls(group[0], common),
            "body_size_limit": BODY_LIMIT,
            "static_configs": [_target(backend) for backend in group],
        }


def _trust(backend: Backend, common: str | None) -> tuple[bool, str | None, str]:
    return backend.tls, str(backend.ca_file) if backend.ca_file else None, (common or backend.server_name) if backend.tls else ""


def _tls(backend: Backend, common: str | None) -> dict[str, Any]:
    if not backend.tls:
        return {}
    ca = {"ca_file": str(backend.ca_file)} if backend.ca_file else {}
    return {"tls_config": {**ca, "server_name": common or backend.server_name}}


def _target(backend: Backend) -> dict[str, Any]:
    labels = {"job": BACKENDS, "name": backend.name, "region": backend.region, "zone": backend.zone}
    return {"targets": [backend.address], "labels": labels}


def _balancer(fleet: Fleet) -> Iterator[dict[str, Any]]:
    address = balancer_metrics(fleet)
    if address is not None:
        yield {"job_name": BALANCER, "static_configs": [{"targets": [address], "labels": {"kind": str(fleet.balancer.kind)}}]}
