"""The running balancer: its configuration rendered, judged by itself, and reloaded; and what it thinks of the backends."""

from __future__ import annotations

import csv
import io
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from deploy.local import balancers
from deploy.operate import command, workers
from deploy.render import documents, folder, taken_out
from deploy.sentence import Sentence
from monitor.fleet import BalancerKind, Fleet

COMMAND_S = 60.0
STATS_S = 3.0
RELOAD_SIGNALS = {"nginx": signal.SIGHUP, "haproxy": signal.SIGUSR2}
"""to the master process"""


class Balancing(Protocol):
    """One balancer, wherever it runs."""

    @property
    def folder(self) -> Path: ...

    def render(self, fleet: Fleet, down: frozenset[str]) -> dict[Path, str]: ...

    def check(self) -> None:
        """Raises `Sentence` with the balancer's own words where it refuses what is in the folder."""

    def reload(self) -> None:
        """Raises `Sentence` where it does not take it."""


@dataclass(frozen=True)
class LocalBalancing:
    """That of `make run`, in the run folder."""

    kind: str
    folder: Path
    pid: Callable[[], int]

    def render(self, fleet: Fleet, down: frozenset[str]) -> dict[Path, str]:
        return documents.local_documents(fleet, balancers.place_of_running(self.kind, self.folder), down=down)

    def check(self) -> None:
        balancers.check(self.kind, self.folder)

    def reload(self) -> None:
        master = self.pid()
        workers.reload_and_wait(self.kind, master, lambda: os.kill(master, RELOAD_SIGNALS[self.kind]))


@dataclass(frozen=True)
class PackagedBalancing:
    """Debian's package of this machine; `folder` is where `render --out` writes (its `nginx/` or `haproxy/`)."""

    kind: str
    folder: Path
    reload_command: Sequence[str]

    def render(self, fleet: Fleet, down: frozenset[str]) -> dict[Path, str]:
        return {
            Path(name.name): text for name, text in documents.documents(fleet, down=down).items() if name.parts[0] == self.kind
        }

    def check(self) -> None:
        if self.kind == "nginx":
            command.run([balancers.installed("nginx") or "nginx", "-t", "-q"], within_s=COMMAND_S)
        else:
            file = self.folder / documents.HAPROXY
            command.run([balancers.installed("haproxy") or "haproxy", "-c", "-dW", "-f", str(file)], within_s=COMMAND_S)

    def reload(self) -> None:
        """Another command than the package's may reload another nginx than that of this machine: it is not waited for."""
        own = self.kind == BalancerKind.nginx and list(self.reload_command) == default_reload(self.kind)
        master = workers.packaged_nginx() if own else None
        if master is None:
            self._run()
        else:
            workers.reload_and_wait(self.kind, master, self._run)

    def _run(self) -> None:
        command.run(self.reload_command, within_s=COMMAND_S)


def default_reload(kind: str) -> list[str]:
    return ["systemctl", "reload", kind]


def apply(balancing: Balancing, fleet: Fleet, down: frozenset[str]) -> None:
    """Render with these taken out, let the balancer judge it, reload. Where it refuses, everything is as it was.

    Raises:
        Sentence: what the balancer says.
    """
    before_down = taken_out.read(balancing.folder)
    rendered = balancing.render(fleet, down)
    before = {name: (balancing.folder / name).read_text("utf-8") for name in rendered if (balancing.folder / name).exists()}
    folder.write_all(balancing.folder, rendered)
    taken_out.store(balancing.folder, down)
    try:
        balancing.check()
    except Sentence:
        folder.write_all(balancing.folder, before)
        taken_out.store(balancing.folder, before_down)
        raise
    balancing.reload()


def opinions(fleet: Fleet) -> dict[str, bool] | None:
    """Whom HAProxy sends requests to, by name, from its own table; None where it does not say (or is nginx, which has none)."""
    balancer = fleet.balancer
    if balancer.kind is not BalancerKind.haproxy or balancer.stats_address is None:
        return None
    try:
        answer = httpx.get(f"http://{balancer.stats_address}/stats;csv", timeout=STATS_S, trust_env=False)
    except httpx.TransportError:
        return None
    if answer.status_code != 200:
        return None
    rows = csv.DictReader(io.StringIO(answer.text.removeprefix("# ")))
    names = {backend.name for backend in fleet.backends}
    return {row["svname"]: row["status"].startswith("UP") for row in rows if row["svname"] in names}
