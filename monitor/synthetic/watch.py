"""The last synthetic verifications of each way through the fleet."""

from __future__ import annotations

from pathlib import Path

from monitor import wire
from monitor.balancer.place import balancer_target
from monitor.clock import Clock, utc_now
from monitor.fleet import Fleet
from monitor.probe.connection import Target, TrustStore
from monitor.synthetic.verify import Through, verify
from monitor.wire import SyntheticPair

BALANCER = "balancer"


def ways(described: Fleet) -> list[Through]:
    """Each backend by its own address, and the balancer. None without the fleet file's `synthetic`."""
    if described.synthetic is None:
        return []
    found = [
        Through(one.name, Target.of(url=one.url, address=one.address, server_name=one.server_name, ca_file=one.ca_file))
        for one in described.backends
    ]
    balancer = balancer_target(described.balancer)
    return found + ([Through(BALANCER, balancer)] if balancer is not None else [])


class SyntheticWatch:
    """Lives in the event loop's thread."""

    def __init__(self, *, base: Path) -> None:
        self._base = base
        self._results: dict[tuple[str, SyntheticPair], wire.SyntheticResult] = {}

    async def look(self, through: Through, described: Fleet, trust: TrustStore, *, now: Clock = utc_now) -> None:
        """Both pairs, one after the other: a backend's inference slots are its clients'."""
        settings = described.synthetic
        if settings is None:
            return
        for pair in SyntheticPair:
            self._results[through.name, pair] = await verify(pair, through, settings, trust, base=self._base, now=now)

    def keep(self, names: set[str]) -> None:
        """Forget the ways that the fleet file no longer has."""
        self._results = {key: result for key, result in self._results.items() if key[0] in names}

    def results(self) -> list[wire.SyntheticResult]:
        return [result for _, result in sorted(self._results.items())]

    def scores(self, name: str) -> dict[str, float]:
        """By pair, of the last verification through `name` that gave one."""
        found = ((pair, result.score) for (through, pair), result in self._results.items() if through == name)
        return {pair.value: score for pair, score in found if score is not None}
