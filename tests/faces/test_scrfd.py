"""Our detector finds what InsightFace's own finds, to the last bit."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from insightface.app import FaceAnalysis
from insightface.model_zoo.scrfd import SCRFD

from backend.faces.engine import Pixels
from backend.faces.image import decode
from backend.faces.network import sized
from backend.faces.scrfd import Detector
from tests.faces.conftest import LIMITS

pytestmark = pytest.mark.weights


Both = tuple[Detector, SCRFD]


@pytest.fixture(scope="module", params=["test_mbf", "test_mfn128"])
def both(request: pytest.FixtureRequest, testdata: Path) -> Both:
    """Ours with the sessions that the engine uses, and the library's own."""
    pack = str(testdata / "models" / str(request.param))
    ours, library = (
        FaceAnalysis(pack, allowed_modules=["detection"], providers=["CPUExecutionProvider"], **more)
        for more in ({"resolution_session_factory": sized(1)}, {})
    )
    for models in (ours, library):
        models.prepare(ctx_id=0, det_size=[(128, 128), (640, 640)])
    return Detector.of(ours.det_model), library.det_model


def same(both: Both, image: Pixels, threshold: float) -> int:
    detector, library = both
    boxes, landmarks = detector.detect(image, det_thresh=threshold)
    expected_boxes, expected_landmarks = library.detect(image, det_thresh=threshold)
    assert boxes.dtype == expected_boxes.dtype
    assert landmarks.dtype == expected_landmarks.dtype
    assert np.array_equal(boxes, expected_boxes)
    assert np.array_equal(landmarks, expected_landmarks)
    return len(boxes)


@pytest.mark.parametrize("threshold", [0.5, 0.02])
def test_photographs_give_the_same_boxes_and_landmarks(both: Both, testdata: Path, threshold: float) -> None:
    photographs = [decode(path.read_bytes(), LIMITS) for path in sorted((testdata / "faces").glob("*/01.jpg"))[:8]]
    found = [same(both, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), threshold) for pixels in photographs]
    assert min(found) >= 1


def test_a_group_gives_the_same_boxes_and_landmarks(both: Both, group_photo: bytes) -> None:
    assert same(both, cv2.cvtColor(decode(group_photo, LIMITS), cv2.COLOR_RGB2BGR), 0.5) == 6


@pytest.mark.parametrize("shape", [(64, 48), (48, 64), (640, 640), (700, 33), (33, 700)])
def test_images_of_any_shape_give_the_same(both: Both, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (*shape, 3), dtype=np.uint8)
    same(both, noise, 0.02)
    assert same(both, np.zeros((*shape, 3), np.uint8), 0.5) == 0
