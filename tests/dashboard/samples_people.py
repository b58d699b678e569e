"""Answers about people and accuracy, with everything in them that the pages show."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from backend import wire
from tests.dashboard import samples
from tests.dashboard.samples import MODEL, now


def detected(*reasons: str, overall: int = 82, x: float = 24.0) -> wire.DetectedFace:
    told = [wire.QualityReason(code="LOW_SHARPNESS", advice=advice) for advice in reasons]
    components = {"Sharpness": 30 if reasons else 90, "LuminanceMean": 88, "HeadPoseYaw": 75, "DynamicRange": 91}
    return wire.DetectedFace(
        box=wire.Box(x=x, y=12, width=48, height=60),
        landmarks=[(1.0, 1.0)] * 5,
        confidence=0.99,
        quality=wire.Quality(overall=overall, components=components, reasons=told),
    )


def detection(*faces: wire.DetectedFace) -> wire.Detection:
    return wire.Detection(faces=list(faces), width=96, height=96, model_id=MODEL)


def merged_case(number: int = 1, **changes: Any) -> wire.Case:
    """Resolved: the subjects 1 and 2 are one person, and 1 remains."""
    values: dict[str, Any] = {
        "state": "resolved",
        "version": 3,
        "decisions": [
            wire.DecisionRecord(
                id="dec_1", verdict=wire.Verdict.same, survivor_id="sub_00000001", actor="usr_ada", actor_name="ada",
                at=now() - timedelta(hours=2),
            )
        ],
    }  # fmt: skip
    return samples.case(number, **(values | changes))


def page_of(*cases: wire.Case) -> wire.Page[wire.CaseSummary]:
    return wire.Page[wire.CaseSummary](items=[samples.summary(case) for case in cases], total=len(cases))


def trail(*events: tuple[str, dict[str, Any]]) -> wire.Page[wire.AuditEvent]:
    items = [
        wire.AuditEvent(
            seq=place, position=place, at=now() - timedelta(minutes=place), actor="usr_grace", action=action,
            object_id="sub_00000001", detail=detail, hash="ab" * 32,
        )
        for place, (action, detail) in enumerate(events, start=1)
    ]  # fmt: skip
    return wire.Page[wire.AuditEvent](items=items, total=len(items))


# --- accuracy -------------------------------------------------------------------------------------------------------


def error_rate(least: int, most: int, trials: int, low: float, high: float) -> wire.ErrorRate:
    return wire.ErrorRate(least=least, most=most, trials=trials, low=low, high=high)


def error_rates(threshold: float = 0.5) -> wire.ErrorRates:
    return wire.ErrorRates(
        threshold=threshold,
        false_match=error_rate(0, 3, 13_629, 0.0, 0.000643),
        expected_fmr=0.00022,
        false_non_match=error_rate(6, 6, 66, 0.0342, 0.1874),
    )


CURVE = wire.Calibration(
    id="offline-portraits-1",
    source="166 photographs of 122 people",
    trials=13_629,
    supported_fmr=0.00022,
    supported_from=0.3,
    points=[
        wire.RatePoint(score=0.3, fmr=0.1445),
        wire.RatePoint(score=0.4, fmr=0.0115),
        wire.RatePoint(score=0.48, fmr=0.00022),
    ],
    genuine=wire.GenuineCounts(
        trials=66,
        source="66 photographs of 22 people",
        below=[
            wire.ScoreCount(score=0.38, count=0),
            wire.ScoreCount(score=0.5, count=6),
            wire.ScoreCount(score=0.62, count=22),
            wire.ScoreCount(score=0.86, count=66),
        ],
    ),
)


def expectation(threshold: float = 0.5, **changes: Any) -> wire.Expectation:
    values: dict[str, Any] = {
        "threshold": threshold,
        "expected_fmr": 0.00022,
        "expected_fpir": 0.026,
        "expected_false_flags_per_day": 0.9,
        "reason": None,
    }
    return wire.Expectation(**(values | changes))


def calibration(**changes: Any) -> wire.CalibrationInForce:
    values: dict[str, Any] = {
        "model_id": MODEL,
        "calibration": CURVE,
        "thresholds": wire.Thresholds(verification=0.45, review=0.5, certain=0.65, review_set_by="engine"),
        "target": None,
        "gallery_size": 120,
        "searches_per_day": 34.3,
        "expected": expectation(),
        "rates": wire.RatesInForce(
            verification=wire.ErrorRates(
                threshold=0.45,
                false_match=error_rate(9, 28, 13_629, 0.0003, 0.003),
                expected_fmr=0.001,
                false_non_match=error_rate(0, 0, 66, 0.0, 0.0455),
            ),
            review=error_rates(0.5),
            certain=error_rates(0.65),
        ),
    }
    return wire.CalibrationInForce(**(values | changes))


def bins(*counts: tuple[float, int, int]) -> list[wire.ScoreBin]:
    """(from, one person, all)"""
    return [
        wire.ScoreBin(score_from=start, score_to=round(start + 0.05, 2), same=wire.Share(count=same, of=of, low=0.1, high=0.9))
        for start, same, of in counts
    ]


def simulation(threshold: float = 0.5, **changes: Any) -> wire.Simulation:
    missed = 3 if threshold > 0.55 else 0
    values: dict[str, Any] = {
        "now": expectation(),
        "then": expectation(threshold, expected_fpir=0.001, expected_false_flags_per_day=0.03),
        "target": None,
        "gallery_size": 120,
        "searches_per_day": 34.3,
        "resolved": wire.ResolvedPairs(
            same_flagged=20 - missed,
            same_missed=missed,
            different_flagged=9,
            different_spared=5 if missed else 0,
            missed_at_least=wire.Share(count=missed, of=20, low=0.032, high=0.379),
            by_score=bins((0.5, 2, 9), (0.55, 4, 8), (0.65, 8, 11), (0.8, 6, 6)),
        ),
        "waiting": wire.WaitingPairs(cases=7, cases_spared=2 if missed else 0, pairs=9, pairs_spared=3),
        "unknown_below": 0.5 if threshold < 0.5 else None,
        "caveats": ["Resolved pairs are only those that reached the review threshold of their day."],
        "rates_now": error_rates(),
        "rates_then": error_rates(threshold),
    }
    return wire.Simulation(**(values | changes))


def numbers(cases: int = 40, agreed: int = 36, kappa: float | None = 0.74) -> wire.ReviewNumbers:
    reviewers = [
        wire.ReviewerNumbers(
            actor=f"usr_{name}",
            actor_name=name,
            decisions=count,
            verdicts={wire.Verdict.same: count},
            median_s=21.0,
            overturned=1,
        )
        for name, count in (("ada", 52), ("grace", 31))
    ]
    return wire.ReviewNumbers(
        since=now() - timedelta(days=30), opened=90, resolved=83, reviewers=reviewers,
        agreement=wire.Agreement(cases=cases, agreed=agreed, kappa=kappa),
    )  # fmt: skip
