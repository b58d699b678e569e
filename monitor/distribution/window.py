"""One window of the fleet's traffic as the detectors take it in: plain values. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from monitor.fleet import BalancerKind, Strategy
from monitor.tally import Served, Tally

# Below so many requests a ratio or a quantile says nothing of a backend.
LEAST_REQUESTS = 30
# A route that the others hardly served cannot be compared.
LEAST_OF_ROUTE = 10


@dataclass(frozen=True)
class Member:
    """One backend. `settled`: it was eligible for the whole window and is past its slow start; only these are judged."""

    name: str
    weight: int
    settled: bool
    served: Served

    @cached_property
    def all(self) -> Tally:
        return Tally.merged(self.served.routes.values())

    @property
    def requests(self) -> int:
        return round(self.all.requests)


@dataclass(frozen=True)
class Window:
    """`[until - length_s, until)`; `policy_promises` is False where nothing spreads the load, or by addresses alone."""

    until: datetime
    length_s: float
    kind: BalancerKind
    strategy: Strategy
    members: Sequence[Member]

    @cached_property
    def judged(self) -> list[Member]:
        return [member for member in self.members if member.settled]

    @property
    def most_outliers(self) -> int:
        """More than a third that stand out are no outliers: it is the fleet."""
        return -(-len(self.judged) // 3)

    @property
    def policy_promises(self) -> bool:
        return self.kind is not BalancerKind.none and self.strategy is not Strategy.ip_hash


@dataclass(frozen=True)
class Comparison:
    """One backend beside others on the routes that both served.

    `other` is what the others would show with this backend's mix of routes (direct standardisation): its counts add up to
    `own`'s, while `other_size` says how many requests really stand behind it.
    """

    own: Tally
    other: Tally
    other_size: int

    @property
    def enough(self) -> bool:
        return self.own.requests >= LEAST_REQUESTS and self.other_size >= LEAST_REQUESTS

    def scaled_to_size(self, count: float) -> int:
        """A count of `other` as a count among the `other_size` requests that stand behind it."""
        return min(self.other_size, round(count / self.other.requests * self.other_size)) if self.other.requests else 0


def compare(one: Member, others: Iterable[Member]) -> Comparison:
    """Without the mix of routes a backend that got the costly ones would look slow: a hash does not spread them evenly."""
    others = list(others)
    own, other, size = [], [], 0.0
    for route, tally in one.served.routes.items():
        rest = Tally.merged(member.served.routes[route] for member in others if route in member.served.routes)
        if tally.requests <= 0 or rest.requests < LEAST_OF_ROUTE:
            continue
        own.append(tally)
        other.append(rest.scaled(tally.requests / rest.requests))
        size += rest.requests
    return Comparison(Tally.merged(own), Tally.merged(other), round(size))
