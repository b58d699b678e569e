"""A site's own calibration: measured from folders, kept as a file, and refused with a reason where it cannot be true."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.faces.accuracy.photographs import collect
from backend.faces.accuracy.templates import Capturing
from backend.faces.calibrating import STEP, TooFewPeople, genuine_counts, impostor_counts, measure
from backend.faces.calibration import expected_fmr, genuine_below
from backend.faces.calibration_file import MOST_BYTES, CalibrationFile, CalibrationFileError, read
from backend.faces.engine import Engine
from tests.faces.conftest import LIMITS

ROOT = Path(__file__).resolve().parents[2]
MODEL = "some-model"


def document() -> dict[str, Any]:
    return {
        "format": "face-auth-calibration",
        "version": 1,
        "model_id": MODEL,
        "source": "made",
        "created": "2026-01-02T03:04:05Z",
        "impostor": {"trials": 1000, "points": [{"score": 0.1, "count": 100}, {"score": 0.2, "count": 10}]},
        "genuine": {"trials": 50, "points": [{"score": 0.3, "count": 0}, {"score": 0.9, "count": 50}]},
    }


def written(folder: Path, content: dict[str, Any] | str) -> Path:
    path = folder / "calibration.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_file_gives_the_rates_that_its_counts_support(tmp_path: Path) -> None:
    calibration = read(written(tmp_path, document()), model_id=MODEL).calibration()
    assert (calibration.trials, calibration.source, calibration.supported_fmr) == (1000, "made", 3e-3)
    assert expected_fmr(calibration, 0.1) == pytest.approx(0.1)
    assert expected_fmr(calibration, 0.05) is None
    place = genuine_below(calibration, 0.6)
    assert place is not None
    assert place.share == pytest.approx(0.5)


def test_the_id_is_made_of_what_changes_an_answer_and_of_nothing_else(tmp_path: Path) -> None:
    one = CalibrationFile.model_validate(document())
    later = CalibrationFile.model_validate({**document(), "created": "2027-01-01T00:00:00Z"})
    other = CalibrationFile.model_validate({**document(), "source": "made otherwise"})
    assert one.derived_id == later.derived_id != other.derived_id
    assert read(written(tmp_path, one.text()), model_id=MODEL).id == one.derived_id


def test_a_file_whose_counts_were_changed_under_its_id_is_refused(tmp_path: Path) -> None:
    content = json.loads(CalibrationFile.model_validate(document()).text())
    content["impostor"]["points"][1]["count"] = 1
    with pytest.raises(CalibrationFileError, match="id: it does not belong to these counts"):
        read(written(tmp_path, content), model_id=MODEL)


def with_count(part: str, place: int, count: object) -> Callable[[dict[str, Any]], None]:
    return lambda content: content[part]["points"][place].update(count=count)


def put(**changes: object) -> Callable[[dict[str, Any]], None]:
    return lambda content: content.update(changes)


def few_trials(content: dict[str, Any]) -> None:
    content["impostor"]["trials"] = 189


WRONG: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "more of them reach a higher score": (with_count("impostor", 1, 101), r"impostor\.points\[1\]\.count: counts never rise"),
    "a count above the trials": (with_count("impostor", 0, 1001), "impostor: a count is larger than the number of trials"),
    "a count that is no number": (with_count("impostor", 0, "many"), r"impostor\.points\[0\]\.count: "),
    "a negative count": (with_count("impostor", 0, -1), r"impostor\.points\[0\]\.count: .*greater than or equal to 0"),
    "scores that fall": (lambda c: c["impostor"]["points"].reverse(), "impostor: scores must rise from point to point"),
    "one point": (lambda c: c["impostor"]["points"].pop(), r"impostor\.points: .*at least 2"),
    "too few trials": (few_trials, r"impostor\.trials: 189 comparisons support nothing"),
    "another version": (put(version=2), "version: "),
    "another format": (put(format="fleet"), "format: "),
    "an unknown field": (put(thresholds=1), "thresholds: "),
    "no source": (put(source=""), "source: "),
    "a time without a zone": (put(created="2026-01-02T03:04:05"), "created: "),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_malformed_file_is_refused_by_field_and_reason(kind: str, tmp_path: Path) -> None:
    content = document()
    change, reason = WRONG[kind]
    change(content)
    with pytest.raises(CalibrationFileError, match=f"^the calibration file is malformed: {reason}"):
        read(written(tmp_path, content), model_id=MODEL)


def test_genuine_counts_that_fall_are_refused(tmp_path: Path) -> None:
    content = document()
    content["genuine"]["points"] = [{"score": 0.3, "count": 5}, {"score": 0.9, "count": 4}]
    with pytest.raises(CalibrationFileError, match=r"genuine\.points\[1\]\.count: counts never fall"):
        read(written(tmp_path, content), model_id=MODEL)


def test_what_is_no_json_is_refused_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(CalibrationFileError, match="line 3 column"):
        read(written(tmp_path, '{\n "format": "face-auth-calibration",\n "version": }'), model_id=MODEL)


def test_another_models_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationFileError, match="measured with the model some-model, but other-model is loaded"):
        read(written(tmp_path, document()), model_id="other-model")


def test_a_file_that_is_not_there_or_far_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationFileError, match="cannot be read: No such file"):
        read(tmp_path / "none.json", model_id=MODEL)
    with pytest.raises(CalibrationFileError, match="larger than 1 MiB"):
        read(written(tmp_path, " " * (MOST_BYTES + 1)), model_id=MODEL)


def test_the_points_of_a_curve_count_the_scores_that_reach_them() -> None:
    scores = np.sort(np.random.default_rng(1).normal(0, 0.12, 20_000).astype(np.float32))
    counts = impostor_counts(scores, trials=len(scores))
    for point in counts.points:
        assert point.count == int((scores.astype(np.float64) >= point.score).sum())
    assert counts.points[0].count >= 4000, "the curve begins where a fifth of them are"
    assert counts.points[-1].count == 0
    steps = [
        before.count / after.count for before, after in zip(counts.points, counts.points[1:], strict=False) if after.count > 9
    ]
    assert max(steps) < STEP * 1.2, "no gap in which a rate would only be guessed"


def test_the_highest_scores_of_many_are_enough_for_the_end_of_a_curve() -> None:
    scores = np.sort(np.random.default_rng(2).normal(0, 0.12, 20_000).astype(np.float32))
    whole, tail = impostor_counts(scores, trials=20_000), impostor_counts(scores[-500:], trials=20_000)
    assert tail.points[-1] == whole.points[-1]
    assert tail.points[0].count == 500
    for point in tail.points:
        assert point.count == int((scores.astype(np.float64) >= point.score).sum())


def test_of_one_person_the_points_count_what_scores_lower() -> None:
    scores = np.sort(np.random.default_rng(3).uniform(0.4, 0.9, 200).astype(np.float32))
    counts = genuine_counts(scores)
    for point in counts.points:
        assert point.count == int((scores.astype(np.float64) < point.score).sum())
    assert (counts.points[0].count, counts.points[-1].count) == (0, 200)


def run(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BACKEND_")} | settings
    command = [sys.executable, "-m", "backend", "calibrate", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=280)


def test_the_command_measures_folders_and_writes_a_file_that_can_be_used(testdata: Path, tmp_path: Path, offline: Engine) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in sorted((testdata / "gallery").glob("*.jpg"))[:21]:
        shutil.copy(path, flat)
    shutil.copy(testdata / "faces" / "obama" / "01.jpg", flat / "obama.jpg")
    nested = tmp_path / "nested" / "obama"
    nested.mkdir(parents=True)
    shutil.copy(testdata / "faces" / "obama" / "02.jpg", nested)
    shutil.copy(testdata / "bad" / "no_face_house.jpg", nested)
    out = tmp_path / "out.json"
    done = run(str(flat), str(tmp_path / "nested"), "--out", str(out), "--source", "a test", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["photographs"], told["people"], told["impostor_pairs"], told["genuine_pairs"]) == (23, 22, 252, 1)
    assert [failure["code"] for failure in told["failures"]] == ["no_face"]
    assert not told["genuine_curve"], "one pair is no curve"
    assert len(told["highest_impostors"][0]["files"]) == 2
    file = read(out, model_id=offline.card.model_id)
    assert (file.id, file.source, file.calibration().supported_fmr) == (told["id"], "a test", 3 / 252)


def test_too_few_people_are_refused_and_no_file_is_left(testdata: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = run(str(testdata / "faces" / "obama"), "--out", str(out))
    assert (done.returncode, done.stdout) == (2, "")
    assert "3 people could be enrolled: a calibration needs at least 20" in done.stderr
    assert not out.exists()


def test_a_folder_that_could_not_take_the_file_is_told_before_anything_is_measured(testdata: Path, tmp_path: Path) -> None:
    done = run(str(testdata / "faces"), "--out", str(tmp_path / "none" / "out.json"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "no such folder" in done.stderr


def test_photographs_under_two_names_that_score_high_are_named(testdata: Path, tmp_path: Path, offline: Engine) -> None:
    for name in ("ada", "bea"):
        shutil.copy(testdata / "faces" / "obama" / "01.jpg", tmp_path / f"{name}.jpg")
    shutil.copy(sorted((testdata / "gallery").glob("*.jpg"))[0], tmp_path / "other.jpg")
    found = measure(Capturing(offline, LIMITS, 26), collect([tmp_path]).photographs)
    assert {path.name for path in found.doubtful[0].paths} == {"ada.jpg", "bea.jpg"}
    assert found.doubtful[0].score == pytest.approx(1)
    with pytest.raises(TooFewPeople):
        found.file(model_id=offline.card.model_id, created=datetime.now(UTC))
