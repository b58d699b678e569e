"""Starts programs, starts dead ones again after a pause, and ends them all, within a bound.

`run` is the only place that starts processes and must be called in the main thread: PR_SET_PDEATHSIG (see `leash`) follows the
thread that forks. Any thread may call `add` and `stop`.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deploy import leash
from deploy.atomic import write
from deploy.say import Say

RESTART_AFTER_S = 12.0
"""Longer than the monitor takes to call a backend DOWN: what happened is to be seen (docs/decisions/0003)."""
STOP_WITHIN_S = 12.0
TICK_S = 0.1
LOG_BYTES = 5 * 1024 * 1024


@dataclass(frozen=True)
class Program:
    """One long-running program of ours or a balancer."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    log: Path


@dataclass
class _Child:
    program: Program
    process: subprocess.Popen[bytes] | None = None
    due: float | None = 0.0
    """When it is to be started; None while it runs."""
    restarts: int = 0
    asked: bool = False
    """Somebody wants it restarted: its end is no accident, and it starts again at once."""

    @property
    def state(self) -> str:
        return "running" if self.process is not None else "waiting"


class Supervisor:
    def __init__(
        self,
        say: Say,
        *,
        state_file: Path | None = None,
        restart_after_s: float = RESTART_AFTER_S,
        stop_within_s: float = STOP_WITHIN_S,
        clock: Callable[[], float] = time.monotonic,
        asked: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        """`asked`: names of the programs that are to be restarted now, each told once."""
        self._say = say
        self._state_file = state_file
        self._restart_after_s = restart_after_s
        self._stop_within_s = stop_within_s
        self._clock = clock
        self._asked = asked
        self._new: queue.SimpleQueue[Program] = queue.SimpleQueue()
        self._children: list[_Child] = []
        self._stopping = threading.Event()
        self._hurry = threading.Event()

    @property
    def stopping(self) -> threading.Event:
        return self._stopping

    def add(self, program: Program) -> None:
        self._new.put(program)

    def stop(self) -> None:
        """End everything; a second call does not wait any longer for anybody."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    def stop_on_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self.stop())

    def run(self) -> None:
        """Supervise until `stop`; on return no program lives."""
        try:
            while not self._stopping.is_set():
                if self._tick():
                    self._record()
                self._stopping.wait(TICK_S)
        finally:
            self._end_all()

    def _tick(self) -> bool:
        changed = self._take_new()
        self._restart_asked()
        now = self._clock()
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                self._bury(child, child.process, now)
                changed = True
            elif child.process is None and child.due is not None and now >= child.due:
                self._start(child)
                changed = True
        return changed

    def _take_new(self) -> bool:
        before = len(self._children)
        with suppress(queue.Empty):
            while True:
                self._children.append(_Child(self._new.get_nowait()))
        return len(self._children) > before

    def _restart_asked(self) -> None:
        wanted = set(self._asked())
        for child in self._children:
            if child.program.name in wanted and child.process is not None:
                child.asked = True
                child.process.terminate()
            elif child.program.name in wanted:
                child.due = self._clock()

    def _start(self, child: _Child) -> None:
        program = child.program
        _keep_short(program.log)
        command = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *program.command]
        with program.log.open("ab") as log:
            child.process = subprocess.Popen(
                command, cwd=program.folder, env=dict(program.environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,  # a group of its own: Ctrl-C reaches us alone, and its children end with it
            )  # fmt: skip
        child.due = None

    def _bury(self, child: _Child, process: subprocess.Popen[bytes], now: float) -> None:
        _kill_group(process.pid)
        child.process = None
        child.restarts += 1
        if child.asked:
            child.asked, child.due = False, now
            self._say(f"{child.program.name} is restarted, as somebody asked")
            return
        child.due = now + self._restart_after_s
        how, later = _how(process.returncode), f"{self._restart_after_s:.0f} s"
        self._say(f"{child.program.name} {how}; it starts again in {later} (see {child.program.log})")

    def _end_all(self) -> None:
        living = [child.process for child in self._children if child.process is not None]
        for process in living:
            with suppress(ProcessLookupError):
                process.terminate()
                process.send_signal(signal.SIGCONT)  # a stopped one would never see the SIGTERM
        until = self._clock() + self._stop_within_s
        while any(process.poll() is None for process in living) and self._clock() < until and not self._hurry.is_set():
            time.sleep(TICK_S / 2)
        for process in living:
            _kill_group(process.pid)  # also what a program left behind
            process.wait()
        self._children.clear()
        if self._state_file:
            self._state_file.unlink(missing_ok=True)

    def _record(self) -> None:
        if self._state_file is None:
            return
        states = {
            child.program.name: {
                "state": child.state,
                "pid": child.process.pid if child.process else None,
                "restarts": child.restarts,
            }
            for child in self._children
        }
        write(self._state_file, json.dumps(states))


def _how(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _keep_short(log: Path) -> None:
    with suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))


def tails(programs: Iterable[Program], *, lines: int = 6) -> str:
    """The last lines of each program's log, to say why a start failed."""
    parts = []
    for program in programs:
        with suppress(OSError):
            last = program.log.read_text(errors="replace").splitlines()[-lines:]
            parts.append("\n".join([f"--- {program.log}", *last]))
    return "\n".join(parts)
