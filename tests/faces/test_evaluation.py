"""`python -m backend evaluate`: the figures that the system must show, by its own command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend.faces.engine import Engine
from backend.faces.evaluation import Photograph, evaluate, photographs_in
from tests.faces.conftest import LIMITS

ROOT = Path(__file__).resolve().parents[2]


def run(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BACKEND_")} | settings
    command = [sys.executable, "-m", "backend", "evaluate", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=280)


def figures(*words: str, **settings: str) -> dict[str, Any]:
    done = run(*words, "--json", **settings)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    print(found)
    return found


def counts(found: dict[str, Any]) -> tuple[int, ...]:
    return tuple(found[name] for name in ("images", "subjects", "failures_to_enrol", "genuine_pairs", "impostor_pairs"))


@pytest.mark.weights
def test_insightface_tells_all_the_test_people_apart(testdata: Path) -> None:
    pack = testdata / "models" / "test_mbf"
    found = figures(str(testdata / "faces"), BACKEND_ENGINE="insightface", BACKEND_MODEL_PACK=str(pack))
    assert counts(found) == (66, 22, 0, 66, 2079)
    assert (found["false_matches"], found["false_non_matches"]) == (0, 0)
    assert found["model_id"].startswith("w600k_mbf-")


@pytest.mark.weights
def test_the_second_pack_does_too(testdata: Path) -> None:
    found = figures(str(testdata / "faces"), "--engine", "insightface", "--model-pack", str(testdata / "models" / "test_mfn128"))
    assert counts(found) == (66, 22, 0, 66, 2079)
    assert (found["false_matches"], found["false_non_matches"]) == (0, 0)


def test_the_offline_engine_confuses_nobody_and_loses_at_most_two_pairs(testdata: Path, offline: Engine) -> None:
    found = figures(str(testdata / "faces"), BACKEND_ENGINE="offline")
    assert counts(found) == (66, 22, 0, 66, 2079)
    assert found["false_matches"] == 0
    assert found["false_non_matches"] <= 2
    assert found["threshold"] == offline.card.review_threshold
    assert found["fmr_at_most"] == pytest.approx(3 / 2079)


@pytest.mark.weights
def test_the_one_photograph_that_needs_a_margin_for_a_fixed_detector_size_is_enrolled(testdata: Path, insight: Engine) -> None:
    """640 alone, which is what most callers of InsightFace set, misses it."""
    from backend.faces.image import decode

    detector = insight._detector  # type: ignore[attr-defined]
    missed = []
    for path in sorted((testdata / "faces").glob("*/*.jpg")):
        pixels = decode(path.read_bytes(), LIMITS)
        boxes, _ = detector.detect(pixels[:, :, ::-1].copy(), input_size=(640, 640), det_thresh=0.5)
        if not len(boxes):
            missed.append(pixels)
    assert len(missed) == 1
    assert len(insight.detect(missed[0])) == 1


def test_what_cannot_be_enrolled_is_counted_and_named_by_its_code(testdata: Path, tmp_path: Path, offline: Engine) -> None:
    shutil.copy(testdata / "bad" / "no_face_house.jpg", tmp_path)
    shutil.copy(testdata / "bad" / "truncated_half.jpg", tmp_path)
    shutil.copy(testdata / "faces" / "obama" / "01.jpg", tmp_path / "obama.jpg")
    (tmp_path / "notes.txt").write_text("not a photograph")
    seen = []
    found = evaluate(offline, photographs_in(tmp_path), limits=LIMITS, min_face_px=26, threshold=0.5, each=lambda: seen.append(1))
    assert (found.images, found.subjects, len(seen)) == (3, 3, 3)
    assert {failure.path.name: failure.code for failure in found.failures} == {
        "no_face_house.jpg": "no_face",
        "truncated_half.jpg": "corrupt_image",
    }
    assert (found.genuine_pairs, found.impostor_pairs, found.fmr_at_most) == (0, 0, None)


def test_a_lower_threshold_shows_false_matches(testdata: Path, offline: Engine) -> None:
    people = [Photograph(path, path.stem) for path in sorted((testdata / "gallery").glob("*.jpg"))[:6]]
    found = evaluate(offline, people, limits=LIMITS, min_face_px=26, threshold=-5.0)
    assert found.false_matches == found.impostor_pairs == 15
    assert found.fmr_at_most == 1


def test_a_flat_folder_is_one_subject_per_file_and_a_nested_one_per_folder(tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    (tmp_path / "nested" / "ada").mkdir(parents=True)
    for path in ("flat/a.jpg", "flat/b.PNG", "nested/ada/1.jpg", "nested/ada/2.jpg", "nested/ada/notes.txt"):
        (tmp_path / path).touch()
    assert [photograph.subject for photograph in photographs_in(tmp_path / "flat")] == ["a", "b"]
    assert [photograph.subject for photograph in photographs_in(tmp_path / "nested")] == ["ada", "ada"]


def test_a_folder_that_is_not_there_or_empty_is_wrong_use(tmp_path: Path) -> None:
    missing, empty = run(str(tmp_path / "missing")), run(str(tmp_path))
    assert (missing.returncode, empty.returncode) == (2, 2)
    assert "No such file" in missing.stderr
    assert "no photographs" in empty.stderr


def test_an_engine_that_cannot_be_loaded_fails_with_one_sentence(testdata: Path, tmp_path: Path) -> None:
    done = run(str(testdata / "faces"), BACKEND_ENGINE="insightface", BACKEND_MODEL_PACK=str(tmp_path))
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
