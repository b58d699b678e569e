"""One request after another through a balancer to queues with slots: what each backend finished, and when."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from monitor.simulate.balancing import picker
from monitor.simulate.scenario import COST, ROUTES, Fault, Floats, Ints, Scenario

FAULT_ERRORS, FAULT_SLOWER, FAULT_SHARE, FAULT_SINKS = 0.3, 4.0, 0.4, 0.8
SINK_S = 0.005
QUEUE = 64  # requests waiting beyond which a backend answers 503 at once
READ_TIMEOUT_S = 15.0  # of the balancers that `deploy render` writes: nothing takes longer, queueing apart
COLD_S, COLD_FACTOR = 25.0, 2.0
STALL_EVERY_S, STALL_S = 240.0, (0.1, 1.5)
BURST_EVERY_S, BURST_S, BURST_FACTOR = 90.0, (2.0, 12.0), (0.7, 1.15)  # of the scenario's own size
CHECK_S = 1.0


@dataclass(frozen=True)
class Finished:
    """Per request: backend, when it was answered, how long that took, its route, status and whether it was a rejection."""

    backend: Ints
    at_s: Floats
    took_s: Floats
    route: Ints
    status: Ints
    rejected: Ints


@dataclass(frozen=True)
class Arrivals:
    at_s: Floats
    client: Ints
    route: Ints
    service_s: Floats
    luck: Floats
    """(requests, 3): for errors, for 422, for the fault or the decision"""


def arrivals(scenario: Scenario, dice: np.random.Generator) -> Arrivals:
    """Poisson, with bursts; times of service lognormal about their route's mean, one in a hundred with a Pareto tail."""
    edges, rates = _bursts(scenario, dice)
    counts = dice.poisson(rates * np.diff(edges))
    at = np.sort(np.concatenate([dice.uniform(a, b, k) for a, b, k in zip(edges[:-1], edges[1:], counts, strict=True)]))
    client = dice.choice(len(scenario.client_share), at.size, p=scenario.client_share)
    cumulative = scenario.client_routes.cumsum(axis=1)[client]
    route = np.minimum((dice.random(at.size)[:, None] > cumulative).sum(axis=1), len(ROUTES) - 1)
    sigma = scenario.tail_sigma
    service = scenario.verify_s * COST[route] * np.exp(dice.normal(-(sigma**2) / 2, sigma, at.size))
    heavy = dice.random(at.size) < 0.01
    service[heavy] *= 1 + np.minimum(dice.pareto(1.5, int(heavy.sum())), 20)
    return Arrivals(at, client, route, service, dice.random((at.size, 3)))


def _bursts(scenario: Scenario, dice: np.random.Generator) -> tuple[Floats, Floats]:
    edges, rates, at = [0.0], [], 0.0
    while at < scenario.length_s:
        calm, burst = float(dice.exponential(BURST_EVERY_S)), float(dice.uniform(*BURST_S))
        edges += [min(at + calm, scenario.length_s), min(at + calm + burst, scenario.length_s)]
        rates += [scenario.rate, scenario.rate * max(1.0, scenario.burst * float(dice.uniform(*BURST_FACTOR)))]
        at += calm + burst
    return np.array(edges), np.array(rates)


def run(scenario: Scenario, dice: np.random.Generator) -> Finished:
    """All requests of the scenario, in the order of their arrival; those that a dying process held are not among them."""
    asked = arrivals(scenario, dice)
    at, clients = asked.at_s.tolist(), asked.client.tolist()
    service, luck = asked.service_s.tolist(), asked.luck.tolist()
    in_flight = [0] * scenario.size
    slots = [[0.0] * number for number in scenario.slots]
    waiting_until: list[tuple[float, int]] = []
    pick, state = picker(scenario, in_flight), _State(scenario, dice)
    backend, finished, took, status = [], [], [], []
    for k, now in enumerate(at):
        while waiting_until and waiting_until[0][0] <= now:
            in_flight[heapq.heappop(waiting_until)[1]] -= 1
        chosen = pick(clients[k], state.choices(now))
        state.chose(chosen)
        needs, answer = state.treatment(chosen, now, service[k], luck[k])
        free = slots[chosen]
        for stalled in state.stalls(chosen, now):
            free[:] = [max(one, stalled) for one in free]
            heapq.heapify(free)
        if answer is None and in_flight[chosen] >= QUEUE + scenario.slots[chosen]:
            end, answer = now + SINK_S, 503
        elif needs <= SINK_S:  # a request that fails before it reaches the model waits for no slot
            end = now + needs
        else:
            end = max(now, free[0]) + needs
            heapq.heapreplace(free, end)
        heapq.heappush(waiting_until, (end, chosen))
        in_flight[chosen] += 1
        backend.append(chosen)
        finished.append(end)
        took.append(end - now)
        status.append(answer or _status(scenario, clients[k], luck[k]))
    done = Finished(
        np.array(backend, dtype=np.int64),
        np.array(finished),
        np.array(took),
        asked.route,
        np.array(status, dtype=np.int64),
        (asked.luck[:, 2] < scenario.client_rejects[asked.client]).astype(np.int64),
    )
    return _without_the_lost(done, scenario, asked)


def _status(scenario: Scenario, client: int, luck: list[float]) -> int:
    if luck[0] < scenario.error_ratio:
        return 500
    return 422 if luck[1] < scenario.client_faceless[client] else 200


def _without_the_lost(done: Finished, scenario: Scenario, asked: Arrivals) -> Finished:
    keep = np.ones(done.at_s.size, dtype=bool)
    for outage in scenario.outages:
        keep &= ~((done.backend == outage.backend) & (asked.at_s <= outage.dies_s) & (done.at_s > outage.dies_s))
    return Finished(*(getattr(done, name)[keep] for name in ("backend", "at_s", "took_s", "route", "status", "rejected")))


class _State:
    """What changes with time: who may be chosen, who is cold, who stalls, and the planted fault."""

    def __init__(self, scenario: Scenario, dice: np.random.Generator) -> None:
        self._scenario = scenario
        self._everybody = list(range(scenario.size))
        self._among, self._until = self._everybody, -1.0
        self._credit = 0.0
        self._stalls = [self._plan(dice) for _ in self._everybody]
        self._speeds = scenario.speeds.tolist()

    def _plan(self, dice: np.random.Generator) -> list[tuple[float, float]]:
        number = int(dice.poisson(self._scenario.length_s / STALL_EVERY_S))
        starts = sorted(dice.uniform(0, self._scenario.length_s, number), reverse=True)
        return [(float(start), float(start + dice.uniform(*STALL_S))) for start in starts]

    def choices(self, now: float) -> list[int]:
        if now >= self._until:
            out = {one.backend for one in self._scenario.outages if one.out_s <= now < one.back_s}
            self._among = [i for i in self._everybody if i not in out] or self._everybody
            self._until = now + CHECK_S
        planted = self._scenario.planted
        if planted is None or planted.kind is not Fault.share or now < planted.since_s:
            return self._among
        weights = self._scenario.weights
        self._credit = min(2.0, self._credit + FAULT_SHARE * weights[planted.backend] / sum(weights))
        return self._among if self._credit >= 1 else [i for i in self._among if i != planted.backend]

    def chose(self, backend: int) -> None:
        if self._scenario.planted is not None and self._scenario.planted.backend == backend:
            self._credit = max(0.0, self._credit - 1)

    def stalls(self, backend: int, now: float) -> list[float]:
        plan, ends = self._stalls[backend], []
        while plan and plan[-1][0] <= now:
            ends.append(plan.pop()[1])
        return ends

    def treatment(self, backend: int, now: float, service: float, luck: list[float]) -> tuple[float, int | None]:
        """Seconds of work, and the status where it is not the usual one."""
        needs = min(READ_TIMEOUT_S, service * self._speeds[backend] * self._cold(backend, now))
        planted = self._scenario.planted
        if planted is None or planted.backend != backend or now < planted.since_s:
            return needs, None
        if planted.kind is Fault.latency:
            return min(READ_TIMEOUT_S, needs * FAULT_SLOWER), None
        if planted.kind is Fault.errors and luck[2] < FAULT_ERRORS:
            return needs, 500
        if planted.kind is Fault.sinkhole and luck[2] < FAULT_SINKS:
            return SINK_S, 500
        if planted.kind is Fault.blind_sinkhole and luck[2] < FAULT_SINKS:
            return SINK_S, 422
        return needs, None

    def _cold(self, backend: int, now: float) -> float:
        for outage in self._scenario.outages:
            if outage.backend == backend and outage.back_s <= now < outage.back_s + COLD_S:
                return COLD_FACTOR
        return 1.0
