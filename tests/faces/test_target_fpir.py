"""A small `make target-test`: a target FPIR is met in a gallery of made strangers, and a wrong curve is noticed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backend.faces.engine import Calibration
from backend.gallery.flat import FlatIndex
from tests.faces.target_fpir import calibrated, gallery_of, observed, strangers, true_fmr

GALLERY = 10_000


@pytest.fixture(scope="module")
def gallery() -> FlatIndex:
    return gallery_of(GALLERY, seed=5)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrated(4_000, seed=4)


def test_the_true_rate_is_the_one_that_counting_shows() -> None:
    one, other = strangers(2_000, seed=1), strangers(2_000, seed=2)
    for score in (0.2, 0.3):
        assert np.mean(one @ other.T >= score) == pytest.approx(true_fmr(score), rel=0.03)


@pytest.mark.parametrize("target", [0.3, 0.1])
def test_a_target_is_met_within_its_interval(target: float, calibration: Calibration, gallery: FlatIndex) -> None:
    found = observed(calibration, target, gallery=gallery, probes=strangers(400, seed=6))
    assert found.supported
    assert found.is_met, found.sentence(GALLERY)
    assert found.true_fpir == pytest.approx(target, rel=0.3)


def test_a_curve_that_is_ten_times_too_kind_is_noticed(calibration: Calibration, gallery: FlatIndex) -> None:
    kind = replace(calibration, points=[replace(point, fmr=point.fmr / 10) for point in calibration.points])
    found = observed(kind, 0.1, gallery=gallery, probes=strangers(400, seed=6))
    assert not found.is_met, found.sentence(GALLERY)


def test_the_threshold_of_a_small_gallery_does_not_meet_the_target_in_a_large_one(
    calibration: Calibration, gallery: FlatIndex
) -> None:
    small = gallery_of(GALLERY // 10, seed=7)
    probes = strangers(400, seed=6)
    found = observed(calibration, 0.1, gallery=small, probes=probes)
    assert found.is_met, found.sentence(GALLERY // 10)
    assert sum(len(gallery.within(probe, found.threshold).ids) > 0 for probe in probes) / len(probes) > 0.4
