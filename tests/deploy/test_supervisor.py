"""The supervisor with real small programs: restart, orderly stop, a bound on the stop, and nothing left however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy import processes
from deploy.layout import ROOT, RunFolder
from deploy.local import requests
from deploy.local.supervisor import Program, Supervisor
from tests.deploy.fleets import eventually

OBEDIENT = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: (print('asked', flush=True), sys.exit(0)))\n"
STUBBORN = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
Asked = Callable[[], Iterable[str]]
FOREVER = "print('up', flush=True)\nwhile True: time.sleep(0.1)\n"
WITH_CHILD = "import subprocess, sys, time\nchild = subprocess.Popen(['sleep', '600'])\nprint(child.pid, flush=True)\n" + FOREVER


def program(name: str, code: str, folder: Path) -> Program:
    return Program(name, (sys.executable, "-c", code), dict(os.environ), folder, folder / f"{name}.log")


@contextmanager
def supervised(
    folder: Path, *programs: Program, restart_after_s: float = 0.5, stop_within_s: float = 10, asked: Asked = tuple
) -> Iterator[Supervisor]:
    """`run` needs the thread that stays: here it is one of its own, which lives as long as the programs."""
    supervisor = Supervisor(
        lambda _: None, state_file=folder / "programs.json", restart_after_s=restart_after_s, stop_within_s=stop_within_s,
        asked=asked,
    )  # fmt: skip
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        for one in programs:
            supervisor.add(one)
        for one in programs:
            eventually(lambda log=one.log: log.exists() and "up" in log.read_text(), within_s=20)  # type: ignore[misc]
        yield supervisor
    finally:
        supervisor.stop()
        thread.join(30)
        assert not thread.is_alive()


def state(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "programs.json").read_text())[name]
    return found


def alive(pid: int) -> bool:
    return processes.start_time(pid) is not None


def test_a_killed_program_starts_again_after_the_pause_and_not_before(tmp_path: Path) -> None:
    with supervised(tmp_path, program("one", OBEDIENT + FOREVER, tmp_path), restart_after_s=2):
        first = state(tmp_path, "one")["pid"]
        os.kill(first, signal.SIGKILL)
        killed = time.monotonic()
        eventually(lambda: state(tmp_path, "one")["state"] == "waiting", within_s=5)
        second = eventually(lambda: state(tmp_path, "one")["pid"], within_s=20)
        assert time.monotonic() - killed >= 2
        assert second != first
        assert state(tmp_path, "one")["restarts"] == 1


def test_a_program_that_somebody_asks_to_restart_hears_sigterm_and_starts_at_once(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.create()
    one = program("one", OBEDIENT + FOREVER, tmp_path)
    with supervised(tmp_path, one, restart_after_s=600, asked=lambda: requests.restarts(run)):
        first = state(tmp_path, "one")["pid"]
        requests.ask_restart(run, "one")
        eventually(lambda: state(tmp_path, "one")["pid"] not in (first, None), within_s=20)
        assert list(run.requests.iterdir()) == []
    assert "asked" in one.log.read_text()


def test_a_dead_program_that_somebody_asks_for_does_not_wait_for_its_pause(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.create()
    one = program("one", OBEDIENT + FOREVER, tmp_path)
    with supervised(tmp_path, one, restart_after_s=600, asked=lambda: requests.restarts(run)):
        os.kill(state(tmp_path, "one")["pid"], signal.SIGKILL)
        eventually(lambda: state(tmp_path, "one")["state"] == "waiting", within_s=5)
        requests.ask_restart(run, "one")
        eventually(lambda: state(tmp_path, "one")["state"] == "running", within_s=20)


def test_stopping_asks_first(tmp_path: Path) -> None:
    with supervised(tmp_path, program("one", OBEDIENT + FOREVER, tmp_path)):
        pid = state(tmp_path, "one")["pid"]
    assert not alive(pid)
    assert (tmp_path / "one.log").read_text().splitlines() == ["up", "asked"]


def test_a_program_that_does_not_listen_is_killed_within_the_bound(tmp_path: Path) -> None:
    with supervised(tmp_path, program("one", STUBBORN + FOREVER, tmp_path), stop_within_s=1):
        pid = state(tmp_path, "one")["pid"]
        began = time.monotonic()
    assert not alive(pid)
    assert 1 <= time.monotonic() - began < 20


def test_a_frozen_program_is_woken_to_hear_that_it_should_stop(tmp_path: Path) -> None:
    with supervised(tmp_path, program("one", OBEDIENT + FOREVER, tmp_path)):
        pid = state(tmp_path, "one")["pid"]
        os.kill(pid, signal.SIGSTOP)
    assert not alive(pid)
    assert "asked" in (tmp_path / "one.log").read_text()


def test_what_a_killed_program_leaves_behind_goes_with_it(tmp_path: Path) -> None:
    with supervised(tmp_path, program("one", WITH_CHILD, tmp_path), restart_after_s=60):
        child = int((tmp_path / "one.log").read_text().splitlines()[0])
        assert alive(child)
        os.kill(state(tmp_path, "one")["pid"], signal.SIGKILL)
        eventually(lambda: not alive(child), within_s=10)


def test_a_program_that_is_not_there_is_tried_again_and_its_log_says_so(tmp_path: Path) -> None:
    missing = Program("none", ("/nonexistent/program",), dict(os.environ), tmp_path, tmp_path / "none.log")
    with supervised(tmp_path, restart_after_s=0.2) as supervisor:
        supervisor.add(missing)
        eventually(lambda: (tmp_path / "programs.json").exists() and state(tmp_path, "none")["restarts"] >= 2, within_s=20)
    assert "No such file" in missing.log.read_text()


SUPERVISOR = """
import os, sys
from pathlib import Path
from typing import Any
from deploy import processes
from deploy.layout import RunFolder
from deploy.local.supervisor import Program, Supervisor
run = RunFolder(Path(sys.argv[1]))
run.create()
supervisor = Supervisor(print, state_file=run.programs_file)
with processes.supervising(run) as alone:
    assert alone
    supervisor.stop_on_signals()
    environment = dict(os.environ) | {processes.MARK: str(run.path)}
    for name, code in zip("ab", sys.argv[2:]):
        supervisor.add(Program(name, (sys.executable, "-c", code), environment, run.path, run.logs / f"{name}.log"))
    supervisor.run()
"""


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


@contextmanager
def supervisor_process(run: RunFolder, *codes: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", SUPERVISOR, str(run.path), *codes], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        logs = [run.logs / f"{name}.log" for name, _ in zip("ab", codes, strict=False)]
        eventually(lambda: all(log.exists() and "up" in log.read_text() for log in logs), within_s=30)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def deploy(run: RunFolder, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"FLEET_RUN_DIR": str(run.path)}
    return subprocess.run(
        [sys.executable, "-m", "deploy", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )


def test_down_ends_the_supervisor_and_its_programs(run: RunFolder) -> None:
    with supervisor_process(run, OBEDIENT + FOREVER, OBEDIENT + FOREVER) as supervisor:
        assert deploy(run, "status").returncode == 0
        members = processes.members(run)
        assert len(members) == 2
        done = deploy(run, "down", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"stopped": 3, "killed": 0}
        assert supervisor.wait(10) == 0
        assert not any(alive(pid) for pid in members)
        assert not run.supervisor_file.exists()
    assert deploy(run, "status").returncode == 1


def test_when_the_supervisor_is_killed_its_programs_are_asked_to_end_by_the_kernel(run: RunFolder) -> None:
    with supervisor_process(run, OBEDIENT + FOREVER) as supervisor:
        (member,) = processes.members(run)
        supervisor.kill()
        supervisor.wait()
        eventually(lambda: not alive(member), within_s=10)
    assert "asked" in (run.logs / "a.log").read_text()


def test_down_ends_what_outlived_a_killed_supervisor(run: RunFolder) -> None:
    with supervisor_process(run, STUBBORN + FOREVER) as supervisor:
        (member,) = processes.members(run)
        supervisor.kill()
        supervisor.wait()
        assert alive(member)
        done = deploy(run, "down", "--json")
        assert json.loads(done.stdout) == {"stopped": 1, "killed": 1}
        assert not alive(member)


def test_only_one_supervisor_holds_a_run_folder_and_a_killed_one_frees_it(run: RunFolder) -> None:
    with supervisor_process(run, OBEDIENT + FOREVER) as supervisor:
        with processes.supervising(run) as alone:
            assert not alone
        assert processes.supervisor(run) == supervisor.pid, "who asked in vain has changed nothing"
        supervisor.kill()
        supervisor.wait()
        assert processes.supervisor(run) is None
        with processes.supervising(run) as alone:
            assert alone
            assert processes.supervisor(run) == os.getpid()
    assert processes.supervisor(run) is None


def test_a_process_id_that_was_used_again_is_not_taken_for_the_supervisor(run: RunFolder) -> None:
    run.create()
    run.supervisor_file.write_text(f"{os.getpid()} 1\n")
    assert processes.supervisor(run) is None


def test_a_strangers_process_is_no_member(run: RunFolder) -> None:
    other = run.path.with_name("run-2")
    with subprocess.Popen(["sleep", "60"], env=os.environ | {processes.MARK: str(other)}) as stranger:
        try:
            eventually(lambda: processes.members(RunFolder(other)) == [stranger.pid], within_s=5)
            assert processes.members(run) == []
        finally:
            stranger.kill()
