"""One backend out of service, and back: guard, backend, balancer, and the requests that it still answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deploy.operate import guard
from deploy.operate.balancing import apply, opinions
from deploy.operate.replica import Replica
from deploy.operate.site import Site
from deploy.operate.waiting import within
from deploy.render import taken_out
from deploy.say import Say
from deploy.sentence import Sentence
from monitor.fleet import BalancerKind

IN_FLIGHT_S = 30.0
"""As long as a request may take: two read timeouts of a balancer."""
SLACK_S = 3.0


@dataclass(frozen=True)
class Out:
    """`told`: the backend knows; `balancer`: seconds until nothing new is sent to it, None where nobody can say;
    `idle`: seconds until it had answered what it held, None where it did not within the bound (or does not say)."""

    name: str
    told: bool
    balancer: float | None
    idle: float | None


def take_out(site: Site, replicas: Mapping[str, Replica], name: str, *, accept_left: int | None, say: Say) -> Out:
    """Raises `Sentence`: the guard's no, a key that is refused, a balancer that refuses its configuration."""
    replica = replicas[site.backend(name).name]
    guard.refuse(name, {other: one.ready() for other, one in replicas.items()}, accept_left=accept_left)
    told = replica.drain()
    say(f"{name}: {'draining' if told else 'cannot be reached; it is taken out of the balancer all the same'}")
    if site.balancing is not None and site.fleet.balancer.kind is BalancerKind.nginx:
        with taken_out.alone(site.balancing.folder):
            apply(site.balancing, site.fleet, taken_out.read(site.balancing.folder) | {name})
    unsent = await_balancer(site, name, sent=False)
    idle = within(IN_FLIGHT_S, lambda: not replica.in_flight())
    return Out(name, told, unsent, idle)


def put_back(site: Site, replicas: Mapping[str, Replica], name: str, *, say: Say) -> Out:
    """Raises `Sentence` as `take_out`, and where it does not become ready."""
    replica = replicas[site.backend(name).name]
    told = replica.put_back()
    if within(IN_FLIGHT_S, replica.ready) is None:
        raise Sentence(f"{name} is not ready: its /ready says why. It stays out of service")
    if site.balancing is not None and site.fleet.balancer.kind is BalancerKind.nginx:
        with taken_out.alone(site.balancing.folder):
            apply(site.balancing, site.fleet, taken_out.read(site.balancing.folder) - {name})
    sent = await_balancer(site, name, sent=True)
    say(f"{name}: back in service")
    return Out(name, told, sent, None)


def await_balancer(site: Site, name: str, *, sent: bool) -> float | None:
    """Seconds until the balancer thinks so; None where it does not say. Raises `Sentence` where it goes on thinking otherwise."""
    if opinions(site.fleet) is None:
        return 0.0 if site.fleet.balancer.kind is BalancerKind.nginx else None
    probes = site.fleet.probes
    slowest = max(probes.interval_s, probes.fast_interval_s, probes.down_interval_s) + probes.deadline_s
    bound = max(probes.fall, probes.rise) * slowest + SLACK_S
    took = within(bound, lambda: (opinions(site.fleet) or {}).get(name) is sent)
    if took is None:
        raise Sentence(f"HAProxy still {'does not send' if sent else 'sends'} requests to {name} after {bound:.0f} s")
    return took
