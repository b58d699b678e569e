"""Processes of a local fleet and owners of ports, read from /proc. Standard library only, so that `down` needs no environment.

A process belongs to a fleet when its environment names the fleet's folder (`MARK`): whatever the supervisor starts inherits it.
nginx overwrites its environment with its title; it is known by its working folder, which nothing else of ours uses.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deploy.layout import RunFolder

MARK = "FACE_AUTH_FLEET"
LISTENING = "0A"


def start_time(pid: int) -> str | None:
    """When the process started, in the kernel's ticks; None where there is none (or only its zombie)."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if after_name[0] == "Z" else after_name[19]


@contextmanager
def supervising(run: RunFolder) -> Iterator[bool]:
    """Be this fleet's only supervisor for the length of the block; False where another process is it already.

    A lock decides, which the kernel frees however its holder ends; the process id beside it is for `down`.
    """
    with run.supervisor_file.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        file.truncate(0)
        file.write(f"{os.getpid()} {start_time(os.getpid())}\n")
        file.flush()
        try:
            yield True
        finally:
            run.supervisor_file.unlink(missing_ok=True)


def supervisor(run: RunFolder) -> int | None:
    """Process id of the fleet's living supervisor; None where it has none."""
    try:
        pid, _, started = run.supervisor_file.read_text().strip().partition(" ")
        return int(pid) if start_time(int(pid)) == started else None
    except (OSError, ValueError):
        return None


def members(run: RunFolder) -> list[int]:
    """Every living process of the fleet but this one."""
    return [pid for pid in _all() if pid != os.getpid() and start_time(pid) and _belongs(pid, run)]


def _all() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _belongs(pid: int, run: RunFolder) -> bool:
    proc = Path("/proc") / str(pid)
    try:
        if f"{MARK}={run.path}".encode() in (proc / "environ").read_bytes().split(b"\0"):
            return True
        return (proc / "comm").read_text().strip() == "nginx" and (proc / "cwd").readlink() == run.balancer
    except OSError:  # gone meanwhile, or another user's
        return False


def end(pids: Iterable[int], *, ask_s: float) -> list[int]:
    """Ask by SIGTERM, wait at most `ask_s`, then kill; answers with those that had to be killed."""
    watched = {pid: start_time(pid) for pid in pids}
    _signal(watched, signal.SIGTERM)
    _signal(watched, signal.SIGCONT)  # a stopped process would never see the other one
    if _gone(watched, within_s=ask_s):
        return []
    left = [pid for pid, started in watched.items() if started and start_time(pid) == started]
    _signal(left, signal.SIGKILL)
    _gone(watched, within_s=5)
    return left


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _gone(watched: dict[int, str | None], *, within_s: float) -> bool:
    until = time.monotonic() + within_s
    while any(started and start_time(pid) == started for pid, started in watched.items()):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def owner(port: int) -> str | None:
    """Who listens there, as `process 42 (nginx)`; None where that may not be seen."""
    inodes = set(_listeners(port))
    for pid in _all():
        with suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    if str(descriptor.readlink()) in inodes:
                        return f"process {pid} ({Path(f'/proc/{pid}/comm').read_text().strip()})"
    return None


def _listeners(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield f"socket:[{fields[9]}]"
