"""The detectors of the load distribution over real traffic: nginx and HAProxy in front of small backends, three strategies.

    python -m tests.monitor.traffic --windows 20 --faults 4

Per balancer and strategy: healthy windows, then planted faults (4 × latency, 30 % errors, a fast-failing sinkhole, a weight in
the balancer that gives 40 % of the fair share), two windows each. Windows are short (3 s), with as many requests as a minute of a
small fleet has. Figures last; exit status 0 unless they contradict the aims (fewer than 1 false alarm in 1,000 windows, 99 %
found), or nginx' log tells of other requests than the backends.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from deploy.local import balancers, temporary
from deploy.render import documents, folder
from monitor.balancer.access_log import AccessLog
from monitor.balancer.process import BalancerProcesses
from monitor.clock import utc_now
from monitor.distribution.judge import Finding, Memory, judge
from monitor.distribution.proportions import lower_limit, upper_limit
from monitor.distribution.window import Member, Window
from monitor.fleet import BalancerKind, Strategy
from monitor.simulate.events import FAULT_SHARE
from monitor.simulate.measure import TELLS
from monitor.simulate.scenario import Fault
from tests.deploy.fleets import fleet, fleet_data
from tests.monitor.traffic_backends import Clients, CountingBackend

WINDOW_S = 3.0
PER_BACKEND = 130
CLIENTS = 60
SETTLE_S = 1.0
WITHIN_WINDOWS = 2
COMPARED_S, EDGE_REQUESTS = 4, 8


@dataclass
class Recorded:
    """Counts over all balancers and strategies."""

    windows: int = 0
    false_alarms: int = 0
    planted: int = 0
    found: int = 0
    requests: int = 0
    logged: int = 0
    answered: int = 0
    disagrees: bool = False
    """nginx' log and the backends' counters"""
    notes: list[str] = field(default_factory=list)
    usage: list[str] = field(default_factory=list)

    @property
    def contradicts(self) -> bool:
        """Whether the aims cannot be true given these figures, at 95 %. So few windows cannot prove them: `simulate` does."""
        rate_at_least = lower_limit(self.false_alarms, self.windows)
        found_at_most = upper_limit(self.found, self.planted)
        return rate_at_least > 0.001 or found_at_most < 0.99 or self.windows == 0 or self.planted == 0

    def _log_share(self) -> str:
        """What nginx' log told of the requests that the backends counted."""
        return f"{self.logged / self.answered:.4f}" if self.answered else "none"

    def line(self) -> str:
        return (
            f"windows={self.windows} false_alarms={self.false_alarms} "
            f"per_1000_upper={1000 * upper_limit(self.false_alarms, self.windows):.1f} planted={self.planted} found={self.found} "
            f"found_share={self.found / max(1, self.planted):.4f} found_share_lower={lower_limit(self.found, self.planted):.4f} "
            f"requests={self.requests} log_share={self._log_share()}"
        )


@dataclass
class Site:
    """One balancer over its backends, with clients that ask."""

    kind: BalancerKind
    strategy: Strategy
    backends: list[CountingBackend]
    log: AccessLog | None
    recorded: Recorded

    async def window(self) -> Window:
        """The next `WINDOW_S` of traffic, by the backends' own counters."""
        for backend in self.backends:
            backend.take()
        await asyncio.sleep(WINDOW_S)
        members = [Member(backend.name, 100, settled=True, served=backend.take()) for backend in self.backends]
        self.recorded.requests += sum(member.requests for member in members)
        return Window(utc_now(), WINDOW_S, self.kind, self.strategy, members)

    async def windows(self, number: int) -> list[list[Finding]]:
        found, memory = [], Memory()
        for _ in range(number):
            findings, memory = judge(await self.window(), memory)
            found.append(findings)
        return found


@asynccontextmanager
async def site(
    kind: BalancerKind, strategy: Strategy, size: int, recorded: Recorded, dice: random.Random, *, starved: int | None = None
) -> AsyncIterator[Site]:
    """A real balancer as `deploy render` configures it. `starved`: who gets a weight of 40 % of the fair share."""
    with tempfile.TemporaryDirectory() as name:
        where = Path(name)
        backends = [CountingBackend(f"b{i}", random.Random(dice.random())) for i in range(1, size + 1)]
        for backend in backends:
            await backend.start()
        data = _described(where, kind, strategy, backends, starved)
        process = _started(kind, where, data)
        log = AccessLog(where / "access.log") if kind is BalancerKind.nginx else None
        if log is not None:
            log.look()
        host, port = data["balancer"]["listen"].rsplit(":", 1)
        context = ssl.create_default_context(cafile=str(where / "ca.pem"))
        context.check_hostname = False  # the certificate is the rendered name's; the authority is checked
        clients = Clients((host, int(port)), context, CLIENTS, size * PER_BACKEND / WINDOW_S, dice)
        try:
            with clients.asking():
                await _flowing(clients, process)
                yield Site(kind, strategy, backends, log, recorded)
                recorded.usage.append(_usage(kind, int(port)))
            recorded.notes += [f"{kind} {strategy}: {clients.failures} connections failed"] if clients.failures > CLIENTS else []
        finally:
            process.terminate()
            process.wait(20)
            for backend in backends:
                await backend.stop()
            if log is not None:
                log.close()
            temporary.forget(where)


def _started(kind: BalancerKind, where: Path, data: dict[str, Any]) -> subprocess.Popen[bytes]:
    where.chmod(0o755)  # as root nginx' workers are another user
    folder.write_all(where, documents.local_documents(fleet(data), balancers.place(kind, where)))
    balancers.check(kind, where)
    quiet = subprocess.DEVNULL
    return subprocess.Popen(balancers.command(kind, where), cwd=where, stdout=quiet, stderr=quiet)


def _described(where: Path, kind: str, strategy: str, backends: Sequence[CountingBackend], starved: int | None) -> dict[str, Any]:
    data = fleet_data(where, kind, strategy=strategy, rate_per_client=100_000)
    data["balancer"]["url"] = f"https://{data['balancer']['listen']}"
    share = FAULT_SHARE / len(backends)
    weights = [100] * len(backends)
    if starved is not None:
        weights[starved] = round(100 * (len(backends) - 1) * share / (1 - share))
    data["backends"] = [
        {
            "name": b.name,
            "url": f"http://127.0.0.1:{b.port}",
            "address": f"127.0.0.1:{b.port}",
            "server_name": b.name,
            "weight": w,
        }
        for b, w in zip(backends, weights, strict=True)
    ]
    return data


async def _flowing(clients: Clients, process: subprocess.Popen[bytes]) -> None:
    """Until every connection had time to be answered; what was asked before counts in no window."""
    for _ in range(400):
        if clients.answers > 3 * CLIENTS:
            clients.failures = 0
            return
        if process.poll() is not None:
            raise RuntimeError("the balancer ended")
        await asyncio.sleep(0.05)
    raise RuntimeError("no traffic came through the balancer within 20 s")


def _usage(kind: BalancerKind, port: int) -> str:
    seen = BalancerProcesses().usage(kind, port)
    return f"{kind}: {seen.memory_bytes / 2**20:.0f} MiB in its processes" if seen else f"{kind}: its processes are not seen"


async def healthy(where: Site, windows: int) -> None:
    for findings in await where.windows(windows):
        where.recorded.windows += 1
        where.recorded.false_alarms += bool(findings)
        where.recorded.notes += [f"false: {where.kind} {where.strategy}: {one.sentence}" for one in findings]


async def compare_with_log(where: Site) -> None:
    """nginx' log must tell of the same requests as the backends' counters, but for those at the edges of the seconds."""
    if where.log is None:
        return
    await asyncio.sleep(1 - time.time() % 1)
    for backend in where.backends:
        backend.take()
    start = utc_now().replace(microsecond=0)
    await asyncio.sleep(COMPARED_S - time.time() % 1)
    answered = {b.address: sum(tally.requests for tally in b.take().routes.values()) for b in where.backends}
    await asyncio.sleep(0.5)  # for the last lines to be written
    where.log.look()
    logged = where.log.between(start, start + timedelta(seconds=COMPARED_S))
    where.recorded.answered += round(sum(answered.values()))
    for backend in where.backends:
        told = sum(tally.requests for tally in logged[backend.address].routes.values()) if backend.address in logged else 0
        where.recorded.logged += round(told)
        where.recorded.disagrees |= abs(told - answered[backend.address]) > EDGE_REQUESTS + 0.05 * answered[backend.address]
    where.recorded.disagrees |= where.log.garbage > 0 or not set(logged) <= set(answered)


async def planted(where: Site, fault: Fault, ill: int) -> None:
    """Plant it, look at two windows, take it away."""
    if fault is not Fault.share:
        where.backends[ill].fault = fault
    try:
        found = [one for findings in await where.windows(WITHIN_WINDOWS) for one in findings]
    finally:
        where.backends[ill].fault = None
    name = where.backends[ill].name
    where.recorded.planted += 1
    if any(one.backend == name and one.kind in TELLS[fault] for one in found):
        where.recorded.found += 1
    else:
        said = "; ".join(one.sentence for one in found) or "nothing was said"
        where.recorded.notes.append(f"missed: {where.kind} {where.strategy} {fault} of {name}: {said}")
    await asyncio.sleep(SETTLE_S)


def busiest(window: Window) -> int:
    """Under IP hash a backend may have too few clients to be judged: the fault goes where there is traffic."""
    return max(range(len(window.members)), key=lambda index: window.members[index].requests)


async def record(kinds: Sequence[BalancerKind], *, windows: int, faults: int, seed: int) -> Recorded:
    dice, recorded = random.Random(seed), Recorded()
    for kind in kinds:
        for number, strategy in enumerate(Strategy):
            size = 2 + (number + (kind is BalancerKind.haproxy)) % 3
            async with site(kind, strategy, size, recorded, dice) as running:
                await healthy(running, windows)
                await compare_with_log(running)
                for _ in range(faults):
                    for fault in _faults_of(strategy):
                        ill = busiest(await running.window()) if strategy is Strategy.ip_hash else dice.randrange(size)
                        await planted(running, fault, ill)
            for _ in range(faults if strategy is not Strategy.ip_hash else 0):
                starved = dice.randrange(size)
                async with site(kind, strategy, size, recorded, dice, starved=starved) as running:
                    await planted(running, Fault.share, starved)
            print(f"{kind} {strategy}, {size} backends: {recorded.line()}", flush=True)
    return recorded


async def short(kind: BalancerKind) -> Recorded:
    """Least connections over three backends: two healthy windows, a sinkhole, a slow backend. About 25 s."""
    dice, recorded = random.Random(1), Recorded()
    async with site(kind, Strategy.least_connections, 3, recorded, dice) as running:
        await healthy(running, 2)
        await compare_with_log(running)
        await planted(running, Fault.sinkhole, 1)
        await planted(running, Fault.latency, 2)
    return recorded


def _faults_of(strategy: Strategy) -> list[Fault]:
    return [Fault.latency, Fault.errors, *([Fault.sinkhole] if strategy is Strategy.least_connections else [])]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.monitor.traffic", description=__doc__)
    parser.add_argument("--windows", type=int, default=20, help="healthy windows of 3 s per balancer and strategy")
    parser.add_argument("--faults", type=int, default=3, help="how often each fault is planted per balancer and strategy")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=["nginx", "haproxy"], help="one of them alone")
    given = parser.parse_args(arguments)
    kinds = [BalancerKind(given.kind)] if given.kind else [BalancerKind.nginx, BalancerKind.haproxy]
    missing = [kind for kind in kinds if balancers.installed(kind) is None]
    if missing:
        print(f"{' and '.join(missing)} is not installed: `make system`", file=sys.stderr)
        return 2
    recorded = asyncio.run(record(kinds, windows=given.windows, faults=given.faults, seed=given.seed))
    print("\n".join([*sorted(set(recorded.usage)), *recorded.notes, recorded.line()]))
    return 1 if recorded.contradicts or recorded.disagrees else 0


if __name__ == "__main__":
    sys.exit(main())
