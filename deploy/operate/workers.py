"""A balancer's processes at a reload: it answers before it has done it.

nginx starts new workers and tells the old ones to end a tenth of a second later; until then both take connections
(src/os/unix/ngx_process_cycle.c). A worker that was told says so in its title.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from deploy.operate.waiting import within
from deploy.sentence import Sentence

RELOAD_WITHIN_S = 10.0
TOLD_TO_END = b"is shutting down"
SIGNALS = {"nginx": signal.SIGHUP, "haproxy": signal.SIGUSR2}
PACKAGED_NGINX = Path("/run/nginx.pid")
"""Debian's; who has another one, or nginx on another machine, is not waited for."""


def signalled(kind: str, master: int) -> None:
    """Reload by the signal to its master process; ends when that is done. Raises `Sentence` where it does not come."""
    before = _children(master)
    os.kill(master, SIGNALS[kind])
    _await(kind, master, lambda: _taken(kind, _children(master), before))


def commanded(reload: Callable[[], None], pid_file: Path = PACKAGED_NGINX) -> None:
    """Reload nginx by a command, which may as well restart it; as `signalled`."""
    master = _master(pid_file)
    if master is None:
        reload()
        return
    before = _children(master)
    reload()
    _await("nginx", master, lambda: _master(pid_file) != master or _taken("nginx", _children(master), before))


def _await(kind: str, master: int, done: Callable[[], bool]) -> None:
    if within(RELOAD_WITHIN_S, done) is None:
        raise Sentence(f"{kind} (process {master}) did not take its new configuration: see its log")


def _taken(kind: str, now: set[int], before: set[int]) -> bool:
    """New workers run, and of nginx no old one takes connections any more."""
    return bool(now - before) and (kind != "nginx" or all(_told_to_end(old) for old in now & before))


def _told_to_end(pid: int) -> bool:
    try:
        return TOLD_TO_END in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True


def _master(pid_file: Path) -> int | None:
    try:
        pid = int(pid_file.read_text())
        return pid if Path(f"/proc/{pid}/comm").read_text().strip() == "nginx" else None
    except (OSError, ValueError):
        return None


def _children(pid: int) -> set[int]:
    """Processes whose parent it is. Raises `Sentence` where it is gone."""
    try:
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except OSError:
        raise Sentence(f"the balancer (process {pid}) does not run") from None
