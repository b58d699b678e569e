"""From a fleet to AWS: a script for the command line and a CloudFormation template of the same balancer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from deploy.render import documents
from monitor.fleet import Fleet, Strategy
from monitor.fleet_platforms import Aws

SCRIPT = "alb.sh"
TEMPLATE = "alb.yaml"
ALGORITHMS = {Strategy.round_robin: "round_robin", Strategy.least_connections: "least_outstanding_requests"}
LEAST_TIMEOUT_S = 2

# What the world may ask for: everything else is answered 404 by the balancer itself. At most five values in one rule.
OPEN_PATHS = (("/v1/*", "/health"), ("/docs", "/docs/assets/*", "/openapi.json"))


def files(fleet: Fleet) -> dict[Path, str]:
    """Both files, by their path below the output folder; the fleet has been through `aws_refuse`."""
    return {Path("aws") / name: documents.text(f"aws/{name}.j2", view(fleet)) for name in (SCRIPT, TEMPLATE)}


def view(fleet: Fleet) -> dict[str, Any]:
    """What the templates see."""
    aws = fleet.aws or Aws()
    probes = fleet.probes
    return {
        "service": fleet.service,
        "aws": aws,
        "host": fleet.balancer.server_name,
        "algorithm": ALGORITHMS[fleet.balancer.strategy],
        "protocol": "HTTPS" if fleet.backends[0].tls else "HTTP",
        "port": _port(fleet, 0),
        "targets": _targets(fleet, aws),
        "interval_s": round(probes.interval_s),
        "timeout_s": max(LEAST_TIMEOUT_S, math.ceil(probes.deadline_s)),
        "rise": probes.rise,
        "fall": probes.fall,
        "open_paths": OPEN_PATHS,
    }


def _targets(fleet: Fleet, aws: Aws) -> list[tuple[str, int]]:
    """(id, port) of each target: the named instances, else the backends' addresses."""
    if aws.instances:
        return [(instance, _port(fleet, 0)) for instance in aws.instances]
    return [(backend.address.rpartition(":")[0], _port(fleet, number)) for number, backend in enumerate(fleet.backends)]


def _port(fleet: Fleet, number: int) -> int:
    return int(fleet.backends[number].address.rpartition(":")[2])
