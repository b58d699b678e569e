"""The liveness add-on's adapter over a real ONNX Runtime session. The add-on's own weights may not be kept here, so the model
is one that is made for the test: its probability is the mean of the aligned picture, which anybody can compute again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from backend.faces import packs
from backend.faces.capture import ImageLimits, detect, probe
from backend.faces.engine import Engine, EngineError, Face
from backend.faces.liveness import LivenessAddOn
from backend.faces.pack_error import PackError
from backend.faces.packs import Consent, import_pack

FRONTAL = np.array([[280, 300], [360, 300], [320, 340], [290, 390], [350, 390]], np.float32)


def made_liveness_model(path: Path, *, side: int = 80) -> Path:
    """[N, 3, side, side] → [N]: the mean."""
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["picture"], ["live"], axes=[1, 2, 3], keepdims=0)],
        "mean",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["n", 3, side, side])],
        [helper.make_tensor_value_info("live", TensorProto.FLOAT, ["n"])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.fixture
def add_on(tmp_path: Path) -> LivenessAddOn:
    return LivenessAddOn(made_liveness_model(tmp_path / "liveness.onnx"), threshold=0.5)


def face_at(landmarks: np.ndarray) -> Face:
    return Face((240.0, 240.0, 160.0, 200.0), landmarks.astype(np.float32), 0.9)


def test_it_is_the_models_own_probability_of_the_aligned_face_in_rgb(add_on: LivenessAddOn) -> None:
    red = np.zeros((640, 640, 3), np.uint8)
    red[..., 0] = 255
    found = add_on.of(red, face_at(FRONTAL))
    assert (found.status, found.live) == ("judged", False)
    assert found.score == pytest.approx(1 / 3, abs=1e-6)
    assert add_on.of(np.full((640, 640, 3), 255, np.uint8), face_at(FRONTAL)).live is True


def test_a_face_at_the_edge_is_not_judged_and_says_what_to_do(add_on: LivenessAddOn) -> None:
    found = add_on.of(np.full((640, 640, 3), 255, np.uint8), face_at(FRONTAL - [300, 320]))
    assert (found.status, found.score, found.live) == ("not_judged", None, None)
    assert found.advice is not None
    assert "Step back" in found.advice


def test_landmarks_that_fall_together_are_not_judged(add_on: LivenessAddOn) -> None:
    assert add_on.of(np.zeros((640, 640, 3), np.uint8), face_at(np.full((5, 2), 320.0))).status == "not_judged"


def test_its_signal_joins_what_is_said_of_each_face_and_changes_no_template(
    add_on: LivenessAddOn, offline: Engine, group_photo: bytes
) -> None:
    limits, image, engine = ImageLimits(), group_photo, offline
    seen = detect(engine, image, limits=limits, liveness=add_on).faces[0]
    with_it, without = probe(engine, image, limits=limits, liveness=add_on).faces[0], probe(engine, image, limits=limits).faces[0]
    assert seen.liveness is not None
    assert seen.liveness == with_it.liveness
    assert without.liveness is None
    np.testing.assert_array_equal(with_it.vector, without.vector)


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="3, 80, 80"):
        LivenessAddOn(made_liveness_model(tmp_path / "other.onnx", side=112))
    (tmp_path / "damaged.onnx").write_bytes(b"no model")
    with pytest.raises(EngineError, match="cannot be used"):
        LivenessAddOn(tmp_path / "damaged.onnx")
    with pytest.raises(EngineError, match="models install liveness"):
        LivenessAddOn(tmp_path / "missing.onnx")


def test_only_the_published_file_is_installed_as_the_add_on(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="is not the file of liveness"):
        import_pack(
            made_liveness_model(tmp_path / "liveness.onnx"), tmp_path / "models", name="liveness", consent=Consent.now("Ada")
        )
    assert packs.installed(tmp_path / "models") == []


def test_a_blank_picture_has_no_face_to_judge(add_on: LivenessAddOn, offline: Engine, tmp_path: Path) -> None:
    Image.new("RGB", (200, 200)).save(tmp_path / "blank.png")
    assert detect(offline, (tmp_path / "blank.png").read_bytes(), limits=ImageLimits(), liveness=add_on).faces == []
