"""CPU and memory of the balancer's processes, where the monitor runs beside it. Synchronous: run in a thread."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from monitor.fleet import BalancerKind


@dataclass(frozen=True)
class Usage:
    """Of master and workers together; CPU since the last look, 100 = one core."""

    cpu_percent: float | None
    memory_bytes: int


class BalancerProcesses:
    """Finds who listens on the balancer's port and adds up its processes; remembers them, as the search reads all of /proc."""

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}

    def usage(self, kind: BalancerKind, port: int) -> Usage | None:
        """None where no such process is seen here: another machine, or another user's."""
        alive = self._alive(kind, port)
        if not alive:
            self._known = {process.pid: process for process in _found(kind, port)}
            alive = self._alive(kind, port)
        if not alive:
            return None
        cpu, memory = 0.0, 0
        for process in alive:
            try:
                cpu += process.cpu_percent()
                memory += process.memory_info().rss
            except psutil.Error:
                continue
        return Usage(round(cpu, 1), memory)

    def _alive(self, kind: BalancerKind, port: int) -> list[psutil.Process]:
        """The known ones that still run, with workers that came since; a reload replaces workers under the same master."""
        masters = [process for process in self._known.values() if process.is_running() and _is(process, kind)]
        family = {process.pid: process for process in masters}
        for master in masters:
            try:
                family |= {child.pid: self._known.get(child.pid, child) for child in master.children(recursive=True)}
            except psutil.Error:
                continue
        self._known = family
        return list(family.values())


def _found(kind: BalancerKind, port: int) -> list[psutil.Process]:
    try:
        sockets = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return []
    pids = {s.pid for s in sockets if s.status == psutil.CONN_LISTEN and s.laddr and s.laddr.port == port and s.pid}
    found: dict[int, psutil.Process] = {}
    for pid in pids:
        try:
            process = psutil.Process(pid)
            parent = process.parent()
            master = parent if parent is not None and _is(parent, kind) else process
            if _is(master, kind):
                found[master.pid] = master
        except psutil.Error:
            continue
    return list(found.values())


def _is(process: psutil.Process, kind: BalancerKind) -> bool:
    try:
        return bool(process.name() == kind.value) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
