"""The production engine: an InsightFace pack (SCRFD detector, ArcFace-kind recogniser) on ONNX Runtime.

A pack is always given as a folder. InsightFace downloads whatever *name* it does not find, so it never gets one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from insightface.app import FaceAnalysis
from insightface.utils.face_align import arcface_dst
from numpy.typing import NDArray
from skimage.transform import SimilarityTransform

from backend.errors import PoorQuality
from backend.faces import search
from backend.faces.calibration import profile_of
from backend.faces.engine import EngineError, Face, Metric, ModelCard, Pixels, Vector
from backend.faces.fingerprint import model_id, sha256_of
from backend.faces.network import PROVIDERS, quick_session, session_options, sized
from backend.faces.packs import licence_of
from backend.faces.scrfd import Detector

if TYPE_CHECKING:
    from collections.abc import Mapping

PREPROCESSING = "scrfd128+640/arcface112/2"
"""To be raised with any change that gives another template for the same image."""
ENGINE = "insightface/2"
"""The library's release that templates come from: another one may align or compute otherwise, so it is another model."""

_DETECTOR_SIZES = [(128, 128), (640, 640)]
"""640 alone loses faces that fill a small picture, 128 alone small faces."""
_CONFIDENCE = 0.5
_CONFIDENCE_AGAIN = 0.6
"""Second looks see a face in a house at 0.53; real ones are found at 0.7 and more."""


class InsightEngine:
    """Unit-norm templates; score = cosine. ONNX Runtime sessions may run in several threads at once."""

    def __init__(self, pack: Path, *, threads: int = 1) -> None:
        self._models = _load(pack, threads)
        self._detector = Detector.of(self._models.det_model)
        self._recogniser = self._models.models["recognition"]
        used = [Path(self._detector.model_file), Path(self._recogniser.model_file)]
        self._card = _card(pack, {path.name: sha256_of(path) for path in used}, used[1], self._probe_dimension())

    @property
    def card(self) -> ModelCard:
        return self._card

    def detect(self, image: Pixels) -> list[Face]:
        return search.find(image, self._look, search.move_face)

    def embed(self, image: Pixels, face: Face) -> Vector:
        return self.describe(self.align(image, face))

    def align(self, image: Pixels, face: Face) -> Pixels:
        """The face as the recogniser takes it: (112, 112, 3) RGB with most packs."""
        size = int(self._recogniser.input_size[0])
        chip = cv2.warpAffine(image, _alignment(face.landmarks, size), (size, size), borderValue=0.0)
        return np.asarray(chip, dtype=np.uint8)

    def describe(self, chip: Pixels) -> Vector:
        """The template of an aligned face."""
        vector = self._recogniser.get_feat(_bgr(chip)).ravel()
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)

    def _look(self, image: Pixels, *, again: bool = False) -> list[Face]:
        boxes, landmarks = self._detector.detect(_bgr(image), det_thresh=_CONFIDENCE_AGAIN if again else _CONFIDENCE)
        if landmarks is None:
            raise EngineError("The pack's detector gives no landmarks: use one whose detector does (SCRFD with key points)")
        return [_face(box, points) for box, points in zip(boxes, landmarks, strict=True)]

    def _probe_dimension(self) -> int:
        """Runs both models once: the first request would pay for it otherwise."""
        blank = np.zeros((128, 128, 3), np.uint8)
        self._look(blank)
        return int(self._recogniser.get_feat(blank[:112, :112]).size)


def _load(pack: Path, threads: int) -> Any:
    if not pack.is_dir():
        raise EngineError(f"There is no model pack at {pack}: install one with `python -m backend models install`")
    if not any(pack.glob("*.onnx")):
        raise EngineError(f"The folder {pack} holds no .onnx file: it is not a model pack")
    try:
        models = FaceAnalysis(
            str(pack.resolve()),
            allowed_modules=["detection", "recognition"],
            providers=PROVIDERS,
            sess_options=session_options(threads),
            resolution_session_factory=sized(threads),
        )
    except AssertionError:  # how FaceAnalysis says so
        raise EngineError(f"The model pack {pack} has no detector") from None
    except Exception as error:  # onnx, onnxruntime and protobuf each have errors of their own for a damaged file
        raise EngineError(f"The model pack {pack} cannot be read: {type(error).__name__}") from error
    if "recognition" not in models.models:
        raise EngineError(f"The model pack {pack} has no recogniser")
    models.prepare(ctx_id=0, det_thresh=_CONFIDENCE, det_size=_DETECTOR_SIZES)
    cv2.setNumThreads(threads)  # of the whole process: its own threads would take the cores from inference in others
    recogniser = models.models["recognition"]
    recogniser.session = quick_session(recogniser.model_file, threads)
    return models


def _card(pack: Path, files: Mapping[str, str], recogniser: Path, dimension: int) -> ModelCard:
    profile = profile_of(files[recogniser.name])
    return ModelCard(
        model_id=model_id(recogniser.stem, files, preprocessing=PREPROCESSING, engine=ENGINE),
        engine="insightface",
        pack=pack.resolve().name,
        dimension=dimension,
        metric=Metric.cosine,
        licence=licence_of(pack),
        verification_threshold=profile.verification,
        review_threshold=profile.review,
        certain_threshold=profile.certain,
        calibration=profile.calibration,
        files=files,
    )


def _bgr(image: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), dtype=np.uint8)


def _face(box: NDArray[np.float32], landmarks: NDArray[np.float32]) -> Face:
    left, top, right, bottom, confidence = (float(value) for value in box)
    return Face((left, top, right - left, bottom - top), landmarks.astype(np.float32), confidence)


def _alignment(landmarks: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """(2, 3) from the image to the recogniser's square: InsightFace's `estimate_norm` without its deprecated call."""
    ratio, offset = (size / 112, 0.0) if size % 112 == 0 else (size / 128, 8.0 * size / 128)
    target = arcface_dst * ratio + np.array([offset, 0.0], np.float32)
    found = SimilarityTransform.from_estimate(landmarks, target)
    if not found:
        raise PoorQuality("The face's landmarks fall together: send a sharper photograph")
    return np.asarray(found.params[:2], dtype=np.float64)
