"""Engines by name. Nothing of an engine is imported before it is asked for: the offline one works without cv2."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from backend.faces.engine import Engine, EngineError

EngineName = Literal["offline", "insightface"]

__all__ = ["EngineError", "EngineName", "load_engine"]


def load_engine(name: EngineName, *, model_pack: Path | None = None, threads: int = 1) -> Engine:
    """Raises EngineError, with one sentence, when weights or packages are missing or damaged.

    `threads` is for each inference of insightface; dlib's run in one.
    """
    try:
        if name == "offline":
            from backend.faces.offline import OfflineEngine

            return OfflineEngine()
        if model_pack is None:
            raise EngineError("The engine insightface needs BACKEND_MODEL_PACK, the folder of an installed pack")
        from backend.faces.insight import InsightEngine

        return InsightEngine(model_pack, threads=threads)
    except ImportError as error:
        raise EngineError(f"The engine {name} cannot be loaded: {error}. Install requirements.txt") from error
