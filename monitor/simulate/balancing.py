"""How nginx and HAProxy choose a backend: the same rules, over the same state that they have."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from monitor.fleet import BalancerKind, Strategy
from monitor.simulate.scenario import Scenario, home_of

Pick = Callable[[int, Sequence[int]], int]
"""(client, backends that may be chosen) -> one of them."""


class Smooth:
    """Weighted round robin as in nginx: every turn each gains its weight, the richest is chosen and pays for all."""

    def __init__(self, weights: Sequence[int]) -> None:
        self._weights, self._current = weights, [0] * len(weights)

    def next(self, among: Sequence[int]) -> int:
        current, weights, whole, best = self._current, self._weights, 0, among[0]
        for i in among:
            current[i] += weights[i]
            whole += weights[i]
            if current[i] > current[best]:
                best = i
        current[best] -= whole
        return best


def picker(scenario: Scenario, in_flight: Sequence[int]) -> Pick:
    """The choice of `scenario`'s balancer; `in_flight` is read at each choice."""
    smooth = Smooth(scenario.weights)
    if scenario.strategy is Strategy.round_robin:
        return lambda client, among: smooth.next(among)
    if scenario.strategy is Strategy.ip_hash:
        homes = home_of(scenario).tolist()
        return lambda client, among: next(home for home in homes[client] if home in among)
    if scenario.kind is BalancerKind.nginx:
        return _least_of_nginx(scenario.weights, in_flight, smooth)
    return _least_of_haproxy(scenario.weights, in_flight)


def _least_of_nginx(weights: Sequence[int], in_flight: Sequence[int], smooth: Smooth) -> Pick:
    """The fewest in flight by weight; who is tied, in weighted round robin."""

    def pick(client: int, among: Sequence[int]) -> int:
        least = min(in_flight[i] / weights[i] for i in among)
        tied = [i for i in among if in_flight[i] / weights[i] == least]
        return tied[0] if len(tied) == 1 else smooth.next(tied)

    return pick


def _least_of_haproxy(weights: Sequence[int], in_flight: Sequence[int]) -> Pick:
    """The fewest in flight by weight, the new one counted, but idle ones first whatever their weight; who is tied, in the order
    of their last turns."""
    turn = [0]
    last = [0] * len(weights)

    def pick(client: int, among: Sequence[int]) -> int:
        best = min(among, key=lambda i: ((in_flight[i] + 1) / weights[i] if in_flight[i] else 0.0, last[i]))
        turn[0] += 1
        last[best] = turn[0]
        return best

    return pick
