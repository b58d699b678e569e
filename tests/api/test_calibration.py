"""The calibration in force: another file gives other rates, one that cannot be true keeps the service from starting."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from backend.client import ProblemError
from backend.faces.calibration_file import CalibrationFile, Count, Counts
from backend.faces.load import load_engine
from tests.api.pictures import same_woman, woman
from tests.api.service import Service, Site, make_site, serving


@pytest.fixture(scope="module")
def model_id() -> str:
    return load_engine("offline").card.model_id


def a_file(folder: Path, model_id: str, *, trials: int, first: float = 0.3) -> CalibrationFile:
    points = [Count(score=first, count=trials // 5), Count(score=0.4, count=trials // 100), Count(score=0.5, count=0)]
    counts = Counts(trials=trials, points=points)
    file = CalibrationFile(model_id=model_id, source=f"made, {trials}", created=datetime.now(UTC), impostor=counts)
    folder.mkdir(exist_ok=True)
    (folder / f"{trials}.json").write_text(file.text())
    return file


def test_the_expected_false_match_rate_changes_with_the_file_and_is_null_with_a_reason_outside_its_support(
    fresh_site: Site, tmp_path: Path, model_id: str
) -> None:
    rates, ids = {}, set()
    for trials in (1000, 100_000):
        file = a_file(tmp_path / "curves", model_id, trials=trials)
        path = tmp_path / "curves" / f"{trials}.json"
        with serving(fresh_site, BACKEND_CALIBRATION_FILE=str(path)) as service:
            client = service.client(fresh_site.key("admin"))
            found = client.verify(woman(), reference_image=same_woman(), threshold=0.6)
            outside = client.verify(woman(), reference_image=same_woman(), threshold=0.2)
            told = client.calibration()
        assert told.calibration is not None
        assert told.calibration.id == file.derived_id
        assert (outside.expected_fmr, outside.expected_fmr_reason) == (
            None,
            f"The calibration {file.derived_id} begins at a score of 0.3.",
        )
        rates[trials] = found.expected_fmr
        ids.add(told.calibration.id)
    assert rates == {1000: pytest.approx(3e-3), 100_000: pytest.approx(3e-5)}
    assert len(ids) == 2


def test_a_file_of_another_model_and_a_damaged_one_keep_the_service_from_starting(
    site: Site, tmp_path: Path, model_id: str
) -> None:
    a_file(tmp_path / "other", "another-model", trials=1000)
    damaged = tmp_path / "damaged.json"
    damaged.write_text('{"format": "face-auth-calibration",\n "version": ')
    for path, reason in (
        (tmp_path / "other" / "1000.json", f"measured with the model another-model, but {model_id} is loaded"),
        (damaged, "line 2"),
        (tmp_path / "none.json", "cannot be read: No such file"),
    ):
        ended = site.command("serve", "--port", "1", BACKEND_CALIBRATION_FILE=str(path))
        assert ended.returncode == 3, ended.stderr
        (sentence,) = ended.stderr.strip().splitlines()
        assert sentence.startswith("BACKEND_CALIBRATION_FILE: the calibration file")
        assert reason in sentence


def test_a_target_sets_the_threshold_and_says_how_far_it_is_met(tmp_path: Path, model_id: str) -> None:
    a_file(tmp_path / "curves", model_id, trials=10_000)
    site = make_site(tmp_path / "site")
    path = str(tmp_path / "curves" / "10000.json")
    with serving(site, BACKEND_CALIBRATION_FILE=path, BACKEND_TARGET_FPIR="0.01") as service:
        client = service.client(site.key("admin"))
        assert client.enrol([woman()]).review_threshold == pytest.approx(0.4)
        told = client.calibration()
        assert told.thresholds.review_set_by == "target"
        assert told.target is not None
        assert (told.target.fpir, told.target.supported) == (0.01, True)
        assert told.thresholds.review == pytest.approx(0.4) == client.self().review_threshold
        assert told.expected.expected_false_flags_per_day == pytest.approx(0.01 / 7)
        assert 'face_auth_threshold{kind="review"}' not in service.get("/metrics").text
        beyond = client.simulate(target_fpir=1e-6)
        assert beyond.target is not None
        assert (beyond.target.supported, beyond.target.limited_by, beyond.target.threshold) == (False, "calibration", 0.5)
        lower = client.simulate(threshold=0.3)
        assert lower.unknown_below == pytest.approx(0.4)


def test_the_engines_own_curve_and_threshold_are_told_where_nothing_is_set(service: Service) -> None:
    told = service.client(service.site.key("viewer")).calibration()
    assert told.calibration is not None
    assert (told.calibration.id, told.thresholds.review_set_by, told.target) == ("offline-portraits-1", "engine", None)
    assert told.calibration.genuine is not None
    assert told.rates is not None
    assert (told.rates.review.threshold, told.rates.certain.threshold) == (told.thresholds.review, told.thresholds.certain)
    assert told.rates.review.false_match is not None
    assert told.rates.review.false_match.trials == told.calibration.trials
    assert told.thresholds.review == service.client(service.site.key("viewer")).self().review_threshold


@pytest.mark.parametrize("asked", [{}, {"threshold": 0.5, "target_fpir": 0.1}], ids=["neither", "both"])
def test_a_simulation_takes_a_threshold_or_a_target(service: Service, asked: dict[str, float]) -> None:
    with pytest.raises(ProblemError) as refused:
        service.client(service.site.key("operator")).simulate(**asked)
    assert (refused.value.status, refused.value.code) == (422, "invalid_request")
    assert [one["problem"] for one in refused.value.errors] == ["give either threshold or target_fpir"]
    nonsense = service.request("POST", "/v1/calibration/simulate", service.site.key("operator"), {"threshold": 7})
    assert (nonsense.status_code, nonsense.json()["code"]) == (400, "invalid_threshold")
