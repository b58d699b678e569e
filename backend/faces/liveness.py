"""InsightFace's liveness add-on: how much one still picture looks like a face before the camera rather than a print or a screen.

A passive signal of presentation attack detection (ISO/IEC 30107-3), and no more: it decides nothing, and its error rates at
a site are whatever the site measures. The add-on's own gate leaves out faces too near the picture's edge to be judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from backend.faces.engine import EngineError, Face, Pixels
from backend.faces.fingerprint import sha256_of

DEFAULT_THRESHOLD = 0.8
"""The add-on's own."""
TOO_TIGHT = "Step back from the camera and keep your face in the middle: there is too little picture around it to judge liveness."


@dataclass(frozen=True)
class Liveness:
    """`score`: the model's own probability that the face is live, 0 to 1; None where the picture could not be judged."""

    status: Literal["judged", "not_judged"]
    score: float | None
    threshold: float
    model_id: str
    advice: str | None = None

    @property
    def live(self) -> bool | None:
        return None if self.score is None else self.score >= self.threshold


class LivenessCheck(Protocol):
    """Safe to call from several threads at once."""

    def of(self, image: Pixels, face: Face) -> Liveness: ...


class LivenessAddOn:
    """The add-on's model in a session of its own."""

    def __init__(self, file: Path, *, threshold: float = DEFAULT_THRESHOLD, threads: int = 1) -> None:
        """Raises EngineError when the file is missing or holds another kind of model."""
        if not file.is_file():
            raise EngineError(
                f"There is no liveness model at {file}: `python -m backend models install liveness` puts one in place"
            )
        try:
            # Imported here: the offline engine works without any of it.
            from insightface.addons import Liveness as AddOn

            from backend.faces.network import session_options

            self._add_on = AddOn(
                file, threshold=threshold, providers=["CPUExecutionProvider"], sess_options=session_options(threads)
            )
        except ImportError as error:
            raise EngineError(f"The liveness add-on cannot be loaded: {error}. Install requirements.txt") from error
        except Exception as error:  # onnxruntime and protobuf each have errors of their own for a damaged file
            raise EngineError(f"{file} cannot be used as a liveness model: {error}") from error
        self._threshold = threshold
        self._model_id = f"{file.stem}-{sha256_of(file)[:12]}"

    def of(self, image: Pixels, face: Face) -> Liveness:
        try:
            found = self._add_on.predict(np.ascontiguousarray(image[:, :, ::-1]), face.landmarks)
        except RuntimeError:  # landmarks that fall together
            found = {"live_score": None}
        score = found["live_score"]
        if score is None:
            return Liveness("not_judged", None, self._threshold, self._model_id, TOO_TIGHT)
        return Liveness("judged", float(score), self._threshold, self._model_id)
