"""What a fleet asks for that an Application Load Balancer cannot do, and the nearest thing that it can. Pure."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterator

from deploy.render import refuse
from monitor.fleet import Fleet, Strategy
from monitor.fleet_platforms import Aws

KEEP_ALIVE_S = 75  # of the backend: who closes an idle connection first must be the balancer, or a request meets a closed one
SLOW_START_S = (30, 900)
CHECKS = (2, 10)
INTERVAL_S = (5, 300)


def refusals(fleet: Fleet) -> Iterator[str]:
    """One line per thing to change: its place in the file, the reason, the nearest choice."""
    aws = fleet.aws or Aws()
    yield from refuse.names(fleet)
    yield from _strategy(fleet)
    yield from _times(aws)
    yield from _exclusive(fleet)
    yield from _checks(fleet)
    yield from _targets(fleet, aws)
    yield from _places(aws)


def _strategy(fleet: Fleet) -> Iterator[str]:
    if fleet.balancer.strategy is Strategy.ip_hash:
        yield (
            "balancer.strategy: an ALB has no hash of the client's address; nearest: least_connections "
            "(the backends are stateless: no session has to stay)"
        )
    if fleet.balancer.zone is not None:
        yield ("balancer.zone: an ALB has no backup targets; nearest: leave it out; health checks do the rest")
    if refuse.several(fleet, lambda backend: backend.weight):
        yield "backends: an ALB gives every target of a group the same weight; nearest: weight 100 for all, on like machines"


def _times(aws: Aws) -> Iterator[str]:
    least, most = SLOW_START_S
    if aws.slow_start_s and not least <= aws.slow_start_s <= most:
        yield f"aws.slow_start_s: an ALB takes 0 (off) or {least} to {most} seconds"
    if aws.idle_timeout_s >= KEEP_ALIVE_S:
        yield (
            f"aws.idle_timeout_s: it must be shorter than the backends' keep-alive of {KEEP_ALIVE_S} s, or a request is sent "
            "into a connection that is just being closed; nearest: 60"
        )
    if not 30 <= aws.deregistration_delay_s <= 60:
        yield ("aws.deregistration_delay_s: a backend ends what it has within half a minute; nearest: 30, at most 60")
    if not aws.tls_policy.startswith("ELBSecurityPolicy-TLS13-1-2-") and aws.tls_policy != "ELBSecurityPolicy-TLS13-1-3-2021-06":
        yield "aws.tls_policy: it allows TLS before 1.2 or lacks 1.3; nearest: ELBSecurityPolicy-TLS13-1-2-Res-2021-06"


def _exclusive(fleet: Fleet) -> Iterator[str]:
    aws = fleet.aws or Aws()
    if aws.slow_start_s and fleet.balancer.strategy is Strategy.least_connections:
        yield (
            "aws.slow_start_s: slow start and least outstanding requests exclude each other; "
            "nearest: 0 (least outstanding requests already sends a slow target less), or strategy round_robin"
        )


def _checks(fleet: Fleet) -> Iterator[str]:
    probes = fleet.probes
    for name, value in (("fall", probes.fall), ("rise", probes.rise)):
        if not CHECKS[0] <= value <= CHECKS[1]:
            nearest = min(max(value, CHECKS[0]), CHECKS[1])
            yield f"probes.{name}: an ALB counts {CHECKS[0]} to {CHECKS[1]} checks; nearest: {nearest}"
    if not INTERVAL_S[0] <= probes.interval_s <= INTERVAL_S[1]:
        yield f"probes.interval_s: an ALB checks every {INTERVAL_S[0]} to {INTERVAL_S[1]} seconds; nearest: {INTERVAL_S[0]}"
    if math.ceil(probes.deadline_s) >= round(probes.interval_s):
        yield "probes.deadline_s: an ALB's check must end before the next one begins; nearest: 2"


def _targets(fleet: Fleet, aws: Aws) -> Iterator[str]:
    if refuse.several(fleet, lambda backend: backend.tls):
        yield "backends: a target group speaks either https or http to all of them; nearest: https for all"
    if refuse.several(fleet, lambda backend: backend.region):
        yield "backends: an ALB stands in one region; nearest: a fleet file for each, and latency records of the DNS before them"
    if aws.instances:
        return
    for backend in fleet.backends:
        if not _is_address(backend.address.rpartition(":")[0]):
            yield (
                f"backends.{backend.name}.address: a target is an IP address and not a name; nearest: its private address, "
                "or aws.instances"
            )


def _is_address(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _places(aws: Aws) -> Iterator[str]:
    for name, given in (("subnets", aws.subnets), ("instances", aws.instances)):
        if len(set(given)) != len(given):
            yield f"aws.{name}: one of them stands twice"
    if len(aws.subnets) == 1:
        yield "aws.subnets: an ALB needs subnets of two availability zones at least"
