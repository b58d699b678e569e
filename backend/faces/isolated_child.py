"""A child process of `backend.faces.isolated`: one engine that answers calls from a pipe.

Run as a module of its own, so that what is sent is pickled under the names that the parent knows.
"""

from __future__ import annotations

import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from backend.allocator import keep_memory_small
from backend.faces.engine import Engine, EngineError
from backend.faces.isolated import Call, Failed
from backend.faces.load import EngineName, load_engine


def serve(pipe: Connection, name: EngineName, model_pack: Path | None) -> None:
    """A child's life: load, say what was loaded, answer calls until the pipe ends."""
    try:
        engine: Engine = load_engine(name, model_pack=model_pack)
    except EngineError as error:
        pipe.send(str(error))
        return
    pipe.send(engine.card)
    while True:
        try:
            call: Call = pipe.recv()
            pipe.send(_answer(engine, call))
        except (EOFError, OSError):
            return


def _answer(engine: Engine, call: Call) -> Any:
    what, arguments = call
    try:
        return engine.detect(*arguments) if what == "detect" else engine.embed(*arguments)
    except Exception as error:  # it must reach the caller, who is in another process
        return Failed(type(error).__name__)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    keep_memory_small()
    descriptor, name, *pack = sys.argv[1:]
    serve(Connection(int(descriptor)), cast(EngineName, name), Path(pack[0]) if pack else None)
