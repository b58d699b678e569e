"""The offline engine: dlib's HOG detector, 5-point aligner and ResNet, from packages that every installation has.

It makes a fresh machine a working system without any download. The weights lie inside `face_recognition_models`, which
is located by its import spec and never imported (it needs `pkg_resources`). Only the two files that are free of licence
limits are opened; the 68-point predictor is not one of them. Pillow scales: cv2 would need libGL.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import dlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backend.faces import search
from backend.faces.calibration import OFFLINE
from backend.faces.cores import usable_cores
from backend.faces.descriptors import CHIP_PX, Descriptors
from backend.faces.engine import EngineError, Face, Metric, ModelCard, Pixels, Vector
from backend.faces.fingerprint import model_id, sha256_of
from backend.faces.image import as_image

ALIGNER = "shape_predictor_5_face_landmarks.dat"
RECOGNISER = "dlib_face_recognition_resnet_model_v1.dat"
PREPROCESSING = "hog+5pt+mirror/2"
"""To be raised with any change that gives another template for the same image."""
ENGINE = "dlib/20"
"""The library's release that templates come from: another one may align or compute otherwise, so it is another model."""

_UPSAMPLE = 1
_CHIP_PADDING = 0.25
"""Of what dlib's own compute_face_descriptor cuts out of an image, beside its 150 pixels."""
_MOST_PIXELS = 1_250_000
"""HOG takes 0.4 s for this many at one upsampling; a phone's twelve megapixels would take five."""

_MOST_PIXELS_AGAIN = 300_000
_SURE_AGAIN = 0.25

# Measured on the 166 portraits where both detectors agree, in distances between the eyes; standard deviation 0.05 to 0.08.
_MOUTH_ACROSS, _MOUTH_DOWN = 0.478, 1.009
_TIP_OF_BASE = 0.750
"""dlib's fifth point is the base of the nose; the tip stands at this share of the way to it."""


@dataclass(frozen=True)
class DlibFace(Face):
    """A face with the predictor's own five points, which the aligner needs.

    They are two corners of each eye and the base of the nose. `landmarks` has the eyes' centres measured, the
    tip of the nose and the mouth's corners estimated from them by mean proportions.
    """

    parts: NDArray[np.float32]
    """(5, 2): right eye outer, inner, left eye outer, inner corner (as seen), base of the nose"""


class OfflineEngine:
    """128 values, not unit-norm; score = 1 - Euclidean distance.

    A template is the mean of dlib's descriptors of the aligned face and of its mirror image. On the 66 genuine pairs of the
    test photographs that leaves 2 below the lowest threshold without a false match, where one descriptor leaves 4 to 6.
    """

    def __init__(self) -> None:
        folder = weights_folder()
        files = {name: sha256_of(folder / name) for name in (ALIGNER, RECOGNISER)}
        self._aligner = _opened_aligner(folder / ALIGNER)
        self._descriptors = Descriptors(folder / RECOGNISER)
        self._detectors = _detectors()
        self._card = ModelCard(
            model_id=model_id("dlib-resnet", files, preprocessing=PREPROCESSING, engine=ENGINE),
            engine="offline",
            pack="dlib",
            dimension=128,
            metric=Metric.l2,
            licence="CC0 (dlib's 5-point predictor and ResNet)",
            verification_threshold=0.45,
            review_threshold=0.47,
            certain_threshold=0.62,
            calibration=OFFLINE,
            files=files,
        )

    @property
    def card(self) -> ModelCard:
        return self._card

    def detect(self, image: Pixels) -> list[Face]:
        faces: list[Face] = [*search.find(image, self._look, _move)]
        return faces

    def embed(self, image: Pixels, face: Face) -> Vector:
        parts = face.parts if isinstance(face, DlibFace) else self._parts(image, _rectangle(face))
        points = dlib.points([dlib.point(round(float(x)), round(float(y))) for x, y in parts])
        chip = dlib.get_face_chip(image, dlib.full_object_detection(_rectangle(face), points), CHIP_PX, _CHIP_PADDING)
        return np.asarray((self._descriptors.of(chip) + self._descriptors.of(chip[:, ::-1])) / 2, dtype=np.float32)

    def _look(self, image: Pixels, *, again: bool) -> list[DlibFace]:
        # What a second look finds fills the frame or is no smaller than what the first would have found upright.
        small, factor = _scaled(image, _MOST_PIXELS_AGAIN if again else _MOST_PIXELS)
        with _borrowed(self._detectors) as detector:
            rectangles, confidences, _ = detector.run(small, _UPSAMPLE, _SURE_AGAIN if again else 0.0)
        found = [_enlarged(rectangle, factor) for rectangle in rectangles]
        return [_face(box, self._parts(image, box), float(sure)) for box, sure in zip(found, confidences, strict=True)]

    def _parts(self, image: Pixels, rectangle: Any) -> NDArray[np.float32]:
        return np.array([(part.x, part.y) for part in self._aligner(image, rectangle).parts()], np.float32)


def _detectors() -> SimpleQueue[Any]:
    """One for each core, as a detector keeps its work in itself and cannot be shared.

    Made now: making one takes half a second in which the interpreter's lock is held and no event loop turns.
    """
    made: SimpleQueue[Any] = SimpleQueue()
    for _ in range(usable_cores()):
        made.put(dlib.get_frontal_face_detector())
    return made


@contextmanager
def _borrowed(detectors: SimpleQueue[Any]) -> Iterator[Any]:
    detector = detectors.get()
    try:
        yield detector
    finally:
        detectors.put(detector)


def weights_folder() -> Path:
    """Where `face_recognition_models` keeps its files. Raises EngineError."""
    spec = find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise EngineError("The offline engine needs the package face_recognition_models: pip install -r requirements.txt")
    folder = Path(next(iter(spec.submodule_search_locations))) / "models"
    for name in (ALIGNER, RECOGNISER):
        if not (folder / name).is_file():
            raise EngineError(f"The offline engine's {name} is missing: reinstall face_recognition_models")
    return folder


def _opened_aligner(path: Path) -> Any:
    try:
        return dlib.shape_predictor(str(path))
    except RuntimeError:
        raise EngineError(f"The offline engine's {path.name} is damaged: reinstall face_recognition_models") from None


def _scaled(image: Pixels, most_pixels: int) -> tuple[Pixels, float]:
    """The image at most `most_pixels` large, and the factor back."""
    height, width = image.shape[:2]
    if height * width <= most_pixels:
        return image, 1.0
    factor = (height * width / most_pixels) ** 0.5
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    return np.array(as_image(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)), factor


def _rectangle(face: Face) -> Any:
    x, y, width, height = face.box
    return dlib.rectangle(round(x), round(y), round(x + width), round(y + height))


def _enlarged(box: Any, factor: float) -> Any:
    if factor == 1.0:
        return box
    return dlib.rectangle(*(round(side * factor) for side in (box.left(), box.top(), box.right(), box.bottom())))


def _face(box: Any, parts: NDArray[np.float32], confidence: float) -> DlibFace:
    placed = (float(box.left()), float(box.top()), float(box.right() - box.left()), float(box.bottom() - box.top()))
    return DlibFace(box=placed, landmarks=five_points(parts), confidence=confidence, parts=parts)


def five_points(parts: NDArray[np.float32]) -> NDArray[np.float32]:
    """dlib's five points → both eyes' centres (measured), nose tip and mouth corners (estimated); see DlibFace."""
    left, right = parts[2:4].mean(axis=0), parts[0:2].mean(axis=0)
    middle, across = (left + right) / 2, right - left
    down = np.array([-across[1], across[0]], np.float32)
    nose = middle + _TIP_OF_BASE * (parts[4] - middle)
    mouth = [middle + sign * _MOUTH_ACROSS * across + _MOUTH_DOWN * down for sign in (-1, 1)]
    return np.array([left, right, nose, *mouth], np.float32)


def _move(face: DlibFace, view: search.View) -> DlibFace:
    return replace(search.move_face(face, view), parts=view.back(face.parts))
