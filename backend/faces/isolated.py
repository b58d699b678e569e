"""An engine in processes of its own, for one that holds the interpreter's lock while it works.

dlib does: a detection of 0.4 s in a thread stops every other thread, the event loop with its probes among them. Here
each call goes to one of a few child processes (`backend.faces.isolated_child`), so that images are worked on side by side,
the service answers meanwhile, a call that hangs can be ended, and a crash in native code costs one request only.

Children end when their pipe does, however this process ended; they leave SIGTERM and SIGINT to their parent, which drains first.
"""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, Self

from backend.errors import DeadlineExceeded, Unavailable
from backend.faces.engine import EngineError, Face, ModelCard, Pixels, Vector
from backend.faces.load import EngineName

START_S = 60.0
ROOT = Path(__file__).parents[2]
CHILD = "backend.faces.isolated_child"

Call = tuple[Literal["detect", "embed"], tuple[Any, ...]]


@dataclass(frozen=True)
class Failed:
    """What a child answers where the engine raised; `reason` names the exception's type only."""

    reason: str


class IsolatedEngine:
    """An `Engine` whose calls are made in `processes` children; safe to call from as many threads, more of them wait."""

    def __init__(self, name: EngineName, *, model_pack: Path | None = None, processes: int, deadline_s: float) -> None:
        """Raises EngineError as `load_engine` does."""
        self._name, self._model_pack, self._deadline_s = name, model_pack, deadline_s
        self._idle: queue.LifoQueue[_Child] = queue.LifoQueue()
        self._closed = False
        children = [self._begin() for _ in range(processes)]
        try:
            self._card, *_ = [child.loaded() for child in children]
        except EngineError:
            for child in children:
                child.end()
            raise
        for child in children:
            self._idle.put(child)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def card(self) -> ModelCard:
        return self._card

    def detect(self, image: Pixels) -> list[Face]:
        """Raises Unavailable where the child ended meanwhile, DeadlineExceeded where it did not answer in time."""
        faces: list[Face] = self._call(("detect", (image,)))
        return faces

    def embed(self, image: Pixels, face: Face) -> Vector:
        """Raises as `detect`."""
        vector: Vector = self._call(("embed", (image, face)))
        return vector

    def close(self) -> None:
        """End the children; one that is at work is ended when its call is."""
        self._closed = True
        while not self._idle.empty():
            self._idle.get_nowait().end()

    def _call(self, call: Call) -> Any:
        with self._borrowed() as child:
            answer = child.ask(call, self._deadline_s)
        if isinstance(answer, Failed):
            raise RuntimeError(f"the engine raised {answer.reason}")
        return answer

    @contextmanager
    def _borrowed(self) -> Iterator[_Child]:
        child = self._idle.get()
        try:
            if not child.alive:
                child.end()
                child = self._begin()
                child.loaded()
            yield child
        except BaseException:
            child.end()  # whatever it may still answer belongs to a call that nobody waits for
            raise
        finally:
            if self._closed:
                child.end()
            else:
                self._idle.put(child)

    def _begin(self) -> _Child:
        return _Child(self._name, self._model_pack)


class _Child:
    """One process and the pipe to it."""

    def __init__(self, name: EngineName, model_pack: Path | None) -> None:
        ours, theirs = socket.socketpair()
        path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", CHILD, str(theirs.fileno()), name, *([str(model_pack)] if model_pack else [])],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
            )
        self._pipe = Connection(ours.detach())

    @property
    def alive(self) -> bool:
        return not self._pipe.closed and self._process.poll() is None

    def loaded(self) -> ModelCard:
        """Waits for the engine. Raises EngineError."""
        try:
            card = self._pipe.recv() if self._pipe.poll(START_S) else None
        except (EOFError, OSError):
            card = None
        if isinstance(card, ModelCard):
            return card
        raise EngineError(str(card) if card else "The engine's process ended before it was loaded")

    def ask(self, call: Call, deadline_s: float) -> Any:
        try:
            self._pipe.send(call)
            if not self._pipe.poll(deadline_s):
                raise DeadlineExceeded
            return self._pipe.recv()
        except (EOFError, OSError) as error:
            raise Unavailable("The process that worked on the image ended: send it again") from error

    def end(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.wait()
