"""Aims are judged by what they are of: a ratio, or our own figure where they have a unit."""

from __future__ import annotations

import pytest

from tests.bench.measure import Benchmark, as_markdown


def benchmark(aim: str, *, value: float = 30.0, ratio: float = 1.1) -> Benchmark:
    return Benchmark("it", value, "ms", "that", 27.0, ratio, 0.1, aim, "here")


@pytest.mark.parametrize(
    ("aim", "holds"),
    [("≤ 1.15", True), ("≤ 1.05", False), ("≥ 3", False), ("≥ 0.7", True), ("< 50 ms", True), ("< 20 ms", False), ("–", None)],
)
def test_an_aim_is_met_or_missed(aim: str, holds: bool | None) -> None:
    assert benchmark(aim).holds is holds
    assert ("missed" in as_markdown([benchmark(aim)])) is (holds is False)
    assert ("MISSED" in benchmark(aim).line()) is (holds is False)
