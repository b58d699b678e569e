"""The processes that run dlib's recogniser: they come back when killed and never outlive their parent."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from backend.faces.descriptors import Descriptors
from backend.faces.engine import EngineError
from backend.faces.offline import RECOGNISER, weights_folder
from tests.faces.made import scene

ROOT = Path(__file__).resolve().parents[2]
CHIP = np.array(scene(150, 150))


def workers_of(pid: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(pid).children() if "descriptor_worker" in " ".join(child.cmdline())]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_killed_process_is_replaced_and_the_answer_is_the_same() -> None:
    here = psutil.Process().pid
    before = set(workers_of(here))
    descriptors = Descriptors(weights_folder() / RECOGNISER)
    expected = descriptors.of(CHIP)
    (mine,) = set(workers_of(here)) - before
    mine.kill()
    until(lambda: not mine.is_running() or mine.status() == psutil.STATUS_ZOMBIE)
    np.testing.assert_array_equal(descriptors.of(CHIP), expected)


def test_the_processes_end_with_the_engine() -> None:
    here = psutil.Process().pid
    before = set(workers_of(here))
    descriptors = Descriptors(weights_folder() / RECOGNISER)
    (mine,) = set(workers_of(here)) - before
    del descriptors
    gc.collect()
    until(lambda: not mine.is_running())


def test_the_processes_end_when_their_parent_is_killed() -> None:
    program = (
        "import sys, time\nfrom backend.faces.load import load_engine\nengine = load_engine('offline')\n"
        "print('loaded', flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == "loaded\n"
        (child,) = workers_of(parent.pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_damaged_weights_are_found_at_the_start(tmp_path: Path) -> None:
    (tmp_path / RECOGNISER).write_bytes(b"not a network")
    with pytest.raises(EngineError, match="damaged"):
        Descriptors(tmp_path / RECOGNISER)


def test_a_face_of_another_size_is_not_sent() -> None:
    with pytest.raises(ValueError, match="67500 bytes"):
        Descriptors(weights_folder() / RECOGNISER).of(CHIP[:100])
