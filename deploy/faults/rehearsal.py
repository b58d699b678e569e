"""One fault in the local fleet, for a while, and what the monitor says of it; afterwards everything is as it was."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import httpx
import yaml

from deploy.atomic import write
from deploy.faults.proxy import Fault, Proxy
from deploy.layout import RunFolder
from deploy.operate.balancing import apply
from deploy.operate.site import Site, program_pid
from deploy.render import taken_out
from deploy.say import Say
from deploy.sentence import Sentence
from monitor.fleet import Fleet
from monitor.fleet_file import read

LOOK_EVERY_S = 0.5
BACK_WITHIN_S = 90.0


class Kind(StrEnum):
    kill = "kill"
    freeze = "freeze"
    slow = "slow"
    cut = "cut"
    reset = "reset"
    half_open = "half_open"


BETWEEN = {Kind.slow: Fault.slow, Kind.cut: Fault.black_hole, Kind.reset: Fault.reset, Kind.half_open: Fault.half_open}
"""The faults that need a proxy between the backend and whoever calls it."""


@dataclass(frozen=True)
class Change:
    """What the monitor said, `after_s` the fault began."""

    after_s: float
    state: str
    reason: str | None


@dataclass(frozen=True)
class Rehearsal:
    run: RunFolder
    site: Site
    name: str
    kind: Kind
    seconds: float
    delay_s: float
    say: Say

    def play(self) -> list[Change]:
        """Raises `Sentence` where the fault cannot be made, or the monitor does not call the backend UP again afterwards."""
        self.site.backend(self.name)
        return asyncio.run(self._play())

    async def _play(self) -> list[Change]:
        watch = _Watch(self.run, self.name, self.say)
        watch.look()
        if not watch.changes:
            raise Sentence(f"the monitor does not answer, so nobody would say what it sees of {self.name}: nothing was done")
        async with self._fault():
            await watch.follow(self.seconds, lambda: False)
        await watch.follow(BACK_WITHIN_S, lambda: watch.changes[-1].state == "UP")
        if watch.changes[-1].state != "UP":
            raise Sentence(f"{self.name} is still {watch.changes[-1].state} {BACK_WITHIN_S:.0f} s after the fault ended")
        return watch.changes

    @asynccontextmanager
    async def _fault(self) -> AsyncIterator[None]:
        if self.kind in BETWEEN:
            async with self._between(BETWEEN[self.kind]):
                yield
            return
        pid = program_pid(self.run, self.name)
        os.kill(pid, signal.SIGKILL if self.kind is Kind.kill else signal.SIGSTOP)
        try:
            yield
        finally:
            if self.kind is Kind.freeze:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    @asynccontextmanager
    async def _between(self, fault: Fault) -> AsyncIterator[None]:
        """The fleet file names the proxy's address for a while: balancer and monitor both go through it."""
        backend = self.site.backend(self.name)
        host, _, port = backend.address.rpartition(":")
        proxy = Proxy(host, int(port), fault, self.delay_s)
        before = self.site.fleet_file.read_text("utf-8")
        async with proxy.serving() as listening:
            try:
                self._take(_readdressed(before, self.name, f"127.0.0.1:{listening}"))
                yield
            finally:
                self._take(before)

    def _take(self, text: str) -> None:
        write(self.site.fleet_file, text)
        fleet: Fleet = read(self.site.fleet_file)
        if self.site.balancing is not None:
            apply(self.site.balancing, fleet, taken_out.read(self.site.balancing.folder))


def _readdressed(text: str, name: str, address: str) -> str:
    data = yaml.safe_load(text)
    for row in data["backends"]:
        if row["name"] == name:
            row["address"] = address
    return yaml.safe_dump(data, sort_keys=False)


class _Watch:
    """The monitor's word on one backend, as it changes."""

    def __init__(self, run: RunFolder, name: str, say: Say) -> None:
        access: dict[str, Any] = json.loads(run.access_file.read_text("utf-8"))
        self._url = f"{access['monitor']}/v1/backends/{name}"
        self._headers = {"Authorization": f"Bearer {access['keys']['operator']}"}
        self._say, self._name, self._began = say, name, time.monotonic()
        self.changes: list[Change] = []

    async def follow(self, seconds: float, done: Callable[[], bool]) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not done():
            await asyncio.to_thread(self.look)  # the proxy passes on meanwhile
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        try:
            answer = httpx.get(self._url, headers=self._headers, timeout=2, trust_env=False)
        except httpx.TransportError:
            return
        if answer.status_code != 200:
            raise Sentence(f"the monitor answers {answer.status_code} to {self._url}")
        told = answer.json()
        if self.changes and (self.changes[-1].state, self.changes[-1].reason) == (told["state"], told["reason"]):
            return
        self.changes.append(Change(round(time.monotonic() - self._began, 1), told["state"], told["reason"]))
        reason = f" ({told['reason']})" if told["reason"] else ""
        self._say(f"{self.changes[-1].after_s:6.1f} s  the monitor says: {self._name} is {told['state']}{reason}")
