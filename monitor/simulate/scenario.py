"""What may be met: fleets of 2 to 12 backends, drawn at random, with the traffic and the accidents of an ordinary day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from monitor.fleet import BalancerKind, Strategy

WINDOW_S = 60.0
ENOUGH = 100
"""Requests per window: with fewer than 30 nothing is judged, and a fault may leave a backend less than half of its share."""
ROUTES = ("POST /v1/verify", "POST /v1/identify", "POST /v1/subjects", "GET /v1/stats")
COST = np.array([1.0, 1.6, 2.2, 0.05])
"""Mean time of each route, in units of a verification."""
PEAK_UTILISATION = (0.05, 0.85)
"""Of the busiest backend in a burst of the usual size: a fleet that is too small for its bursts is not free of faults."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Fault(StrEnum):
    latency = "latency"
    errors = "errors"
    share = "share"
    sinkhole = "sinkhole"
    blind_sinkhole = "blind_sinkhole"


@dataclass(frozen=True)
class Planted:
    """One backend that is ill from `since_s` on.

    latency: 4 times as slow; errors: 30 % of its requests; share: the balancer gives it at most 40 % of its fair share;
    sinkhole: 80 % of its requests fail within 5 ms; blind_sinkhole: as many are answered 422, as if there were no face.
    """

    kind: Fault
    backend: int
    since_s: float


@dataclass(frozen=True)
class Outage:
    """`backend` gets no requests in `[out_s, back_s)`; its process ends at `dies_s` and what it did by then is lost from view."""

    backend: int
    out_s: float
    dies_s: float
    back_s: float


@dataclass(frozen=True)
class Scenario:
    """A fleet and its traffic. Rates per second, times in seconds; per client, per backend or per route where it is an array."""

    kind: BalancerKind
    strategy: Strategy
    weights: Sequence[int]
    speeds: Floats
    slots: Sequence[int]
    rate: float
    burst: float
    verify_s: float
    tail_sigma: float
    client_share: Floats
    client_routes: Floats
    client_rejects: Floats
    client_faceless: Floats
    error_ratio: float
    phases_s: Floats
    outages: Sequence[Outage]
    planted: Planted | None
    length_s: float
    hash_seed: int

    @property
    def size(self) -> int:
        return len(self.weights)


def draw(
    dice: np.random.Generator, *, strategy: Strategy, length_s: float, fault: Fault | None = None, fault_at_s: float = 0.0
) -> Scenario:
    """One scenario. With a fault there is traffic enough to see it (the ill backend's fair share is 100 requests per window or
    more), and no outage."""
    while True:
        scenario = _draw(dice, strategy, length_s, healthy=fault is None)
        if fault is None:
            return scenario
        seen = np.flatnonzero(shares_by_policy(scenario) * scenario.rate * WINDOW_S >= ENOUGH)
        if seen.size:
            return replace(scenario, planted=Planted(fault, int(dice.choice(seen)), fault_at_s))


def _draw(dice: np.random.Generator, strategy: Strategy, length_s: float, *, healthy: bool) -> Scenario:
    size = int(dice.integers(2, 13))
    per_window = float(np.exp(dice.uniform(np.log(4 if healthy else ENOUGH), np.log(600))))
    slots = int(dice.choice([2, 4, 8]))
    clients = int(dice.integers(8, 300))
    weights = [100] * size if dice.random() < 0.7 else [int(x) for x in dice.choice([50, 100, 100, 200], size)]
    shares = dice.pareto(1.5, clients) + 0.05
    routes = dice.dirichlet([2.0, 1.2, 0.6, 0.4], clients)
    scenario = Scenario(
        kind=BalancerKind.nginx if dice.random() < 0.5 else BalancerKind.haproxy,
        strategy=strategy,
        weights=weights,
        speeds=np.exp(dice.normal(0, 0.07, size)),
        slots=[max(1, slots * weight // 100) for weight in weights],
        rate=per_window * size / WINDOW_S,
        burst=float(dice.uniform(1.2, 3.5)),
        verify_s=1.0,
        tail_sigma=float(dice.uniform(0.3, 1.0)),
        client_share=shares / shares.sum(),
        client_routes=routes,
        client_rejects=dice.beta(1, 12, clients),
        client_faceless=dice.beta(1, 30, clients),
        error_ratio=float(dice.choice([0.0, 0.001, 0.01])),
        phases_s=dice.uniform(0, 4.0, size),
        outages=_outages(dice, size, length_s) if healthy else (),
        planted=None,
        length_s=length_s,
        hash_seed=int(dice.integers(1 << 30)),
    )
    return _provisioned(scenario, float(dice.uniform(*PEAK_UTILISATION)))


def _outages(dice: np.random.Generator, size: int, length_s: float) -> list[Outage]:
    """A crash now and then; now and then a roll, one backend after the other."""
    luck, found = dice.random(), []
    if luck < 0.15:
        at = float(dice.uniform(30, length_s))
        found = [Outage(int(dice.integers(size)), at, at, at + float(dice.uniform(4, 90)))]
    elif luck < 0.3:
        at = float(dice.uniform(30, length_s))
        found = [Outage(i, at + i * 40, at + i * 40 + 6, at + i * 40 + 20) for i in range(size)]
    return found


def _provisioned(scenario: Scenario, utilisation: float) -> Scenario:
    """With machines as fast as the traffic needs: the hottest backend is busy for `utilisation` of its time in a burst, and no
    verification takes two seconds on average."""
    work = float(scenario.client_share @ (scenario.client_routes @ COST)) * scenario.rate * scenario.burst
    return replace(scenario, verify_s=min(2.0, utilisation / (work * hottest(scenario))))


def hottest(scenario: Scenario) -> float:
    """The largest share of the traffic that one slot gets by the policy."""
    return float((shares_by_policy(scenario) / np.array(scenario.slots)).max())


def shares_by_policy(scenario: Scenario) -> Floats:
    """Of each backend: by weight, or by where the clients' addresses lead."""
    if scenario.strategy is Strategy.ip_hash:
        homes = home_of(scenario)[:, 0]
        return np.bincount(homes, scenario.client_share, minlength=scenario.size).astype(np.float64)
    return np.array(scenario.weights) / sum(scenario.weights)


def home_of(scenario: Scenario) -> Ints:
    """(clients, backends) int64: where each client's address leads, in the order in which a consistent hash goes on (weighted
    rendezvous)."""
    dice = np.random.default_rng(scenario.hash_seed)
    luck = dice.exponential(1.0, (len(scenario.client_share), scenario.size)) / np.array(scenario.weights)
    return np.argsort(luck, axis=1)
