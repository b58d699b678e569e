"""A roll: each backend in turn leaves the balancer, is restarted, and is back before the next one goes.

A balancer that asks `/ready` (HAProxy) has noticed before the process hears SIGTERM. Open-source nginx asks nobody: its
upstream attempts that meet a closed listener are repeated with another backend, POST too, as each carries an idempotency key;
a reload would close clients' sockets instead.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploy.operate import guard
from deploy.operate.drain import IN_FLIGHT_S, await_balancer
from deploy.operate.replica import Replica
from deploy.operate.site import Site
from deploy.operate.waiting import within
from deploy.say import Say
from deploy.sentence import Sentence
from monitor.fleet import BalancerKind

NGINX_FORGIVES_S = 2.5
"""`fail_timeout=2s` of the rendered upstream, and a little: nginx sends to it again."""


@dataclass(frozen=True)
class Rolled:
    name: str
    out_s: float
    """until the balancer sent nothing new and what it held was answered"""
    away_s: float
    """from the request to restart until the new process is ready"""
    total_s: float


def roll(
    site: Site, replicas: Mapping[str, Replica], names: Sequence[str], *, accept_left: int | None, start_s: float, say: Say
) -> list[Rolled]:
    """Raises `Sentence` where a backend does not come back: the others keep serving, and nothing more is restarted."""
    rolled = []
    for name in names:
        rolled.append(_one(site, replicas, site.backend(name).name, accept_left=accept_left, start_s=start_s))
        say(f"{name}: restarted, away {rolled[-1].away_s:.1f} s")
    return rolled


def _one(site: Site, replicas: Mapping[str, Replica], name: str, *, accept_left: int | None, start_s: float) -> Rolled:
    replica = replicas[name]
    guard.refuse(name, {other: one.ready() for other, one in replicas.items()}, accept_left=accept_left)
    before, began = replica.started_at(), time.monotonic()
    if replica.drain():
        await_balancer(site, name, sent=False)
        if site.fleet.balancer.kind is not BalancerKind.nginx:  # nginx sends on until the listener closes
            within(IN_FLIGHT_S, lambda: not replica.in_flight())
    out = time.monotonic()
    site.restart(site.backend(name))
    if within(start_s, lambda: _is_new(replica, before)) is None:
        raise Sentence(f"{name} did not come back within {start_s:.0f} s: the roll ends here; the others serve on")
    away = time.monotonic() - out
    await_balancer(site, name, sent=True)
    if site.fleet.balancer.kind is BalancerKind.nginx:
        time.sleep(NGINX_FORGIVES_S)
    return Rolled(name, round(out - began, 2), round(away, 2), round(time.monotonic() - began, 2))


def _is_new(replica: Replica, before: str | None) -> bool:
    if not replica.ready():
        return False
    now = replica.started_at()
    return now is not None and now != before
