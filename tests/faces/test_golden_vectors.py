"""Our templates beside those of the libraries' own calls on the same pixels."""

from __future__ import annotations

import warnings
from pathlib import Path

import dlib
import numpy as np
import pytest
from insightface.app import FaceAnalysis

from backend.faces.engine import Engine, Pixels
from backend.faces.image import decode
from backend.faces.insight import InsightEngine
from backend.faces.offline import ALIGNER, RECOGNISER, weights_folder
from tests.faces.conftest import LIMITS


@pytest.fixture(scope="module")
def dlibs_own() -> tuple[object, object, object]:
    folder = weights_folder()
    return (
        dlib.get_frontal_face_detector(),
        dlib.shape_predictor(str(folder / ALIGNER)),
        dlib.face_recognition_model_v1(str(folder / RECOGNISER)),
    )


@pytest.fixture(scope="module", params=["test_mbf", "test_mfn128"])
def pack(request: pytest.FixtureRequest, testdata: Path) -> Path:
    return testdata / "models" / str(request.param)


def photographs(testdata: Path) -> list[Pixels]:
    return [decode(path.read_bytes(), LIMITS) for path in sorted((testdata / "faces").glob("*/0[12].jpg"))[:10]]


def test_the_offline_engine_detects_and_describes_as_dlib_does(
    offline: Engine, dlibs_own: tuple[object, object, object], testdata: Path
) -> None:
    detector, aligner, recogniser = dlibs_own
    for pixels in photographs(testdata):
        (box,) = detector(pixels, 1)  # type: ignore[operator]
        shape = aligner(pixels, box)  # type: ignore[operator]
        plain = np.array(recogniser.compute_face_descriptor(pixels, shape))  # type: ignore[attr-defined]
        mirror = np.ascontiguousarray(dlib.get_face_chip(pixels, shape)[:, ::-1])
        mirrored = np.array(recogniser.compute_face_descriptor(mirror))  # type: ignore[attr-defined]
        (face,) = offline.detect(pixels)
        assert face.box[:2] == (box.left(), box.top())
        np.testing.assert_allclose(offline.embed(pixels, face), (plain + mirrored) / 2, atol=1e-5)


@pytest.mark.weights
def test_the_insightface_engine_detects_and_describes_as_insightface_does(pack: Path, testdata: Path) -> None:
    ours, theirs = InsightEngine(pack), FaceAnalysis(str(pack), providers=["CPUExecutionProvider"])
    theirs.prepare(ctx_id=0)
    for pixels in photographs(testdata):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of scikit-image's `estimate`, which ours does not call
            (expected,) = theirs.get(np.ascontiguousarray(pixels[:, :, ::-1]))
        (face,) = ours.detect(pixels)
        np.testing.assert_allclose(face.landmarks, expected.kps, atol=1e-2)
        cosine = float(ours.embed(pixels, face) @ expected.normed_embedding)
        assert cosine == pytest.approx(1, abs=1e-5)


@pytest.mark.weights
def test_the_group_photo_gives_insightfaces_six_templates(pack: Path, group_photo: bytes) -> None:
    ours, theirs = InsightEngine(pack), FaceAnalysis(str(pack), providers=["CPUExecutionProvider"])
    theirs.prepare(ctx_id=0)
    pixels = decode(group_photo, LIMITS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        expected = np.stack([face.normed_embedding for face in theirs.get(np.ascontiguousarray(pixels[:, :, ::-1]))])
    found = np.stack([ours.embed(pixels, face) for face in ours.detect(pixels)])
    best = (found @ expected.T).max(axis=1)
    np.testing.assert_allclose(best, np.ones(6), atol=1e-4)
