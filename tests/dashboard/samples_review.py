"""Answers about the review queue: codes, a calibration, pictures with eyes, clusters, bulks."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

from PIL import Image, ImageDraw

from backend import wire
from tests.dashboard import samples

EYES = [(70.0, 80.0), (130.0, 92.0), (98.0, 120.0), (75.0, 150.0), (122.0, 158.0)]


def codes(needed: wire.Verdict | None = None, **reasons: list[str]) -> wire.ReviewCodes:
    return wire.ReviewCodes(
        verdicts=[
            wire.OfferedVerdict(verdict=one, reasons=reasons.get(one, []), needs_note_or_reason=one is needed)
            for one in wire.Verdict
        ]
    )


def calibration(model_id: str = samples.MODEL, *, counted: bool = True) -> wire.CalibrationInForce:
    points = [wire.RatePoint(score=0.30, fmr=0.1445), wire.RatePoint(score=0.38, fmr=0.0214)]
    points += [wire.RatePoint(score=0.44, fmr=0.0021), wire.RatePoint(score=0.48, fmr=0.00022)]
    counts = {0.38: 0, 0.5: 6, 0.62: 22, 0.7: 54, 0.86: 66}
    below = [wire.ScoreCount(score=score, count=count) for score, count in counts.items()]
    curve = wire.Calibration(
        id="offline-portraits-1",
        source="166 photographs of 122 people",
        trials=13_629,
        supported_fmr=0.00022,
        supported_from=0.3,
        points=points,
        genuine=wire.GenuineCounts(trials=66, source="66 photographs of 22 people", below=below),
    )
    return wire.CalibrationInForce(
        model_id=model_id,
        calibration=curve if counted else None,
        thresholds=wire.Thresholds(verification=0.45, review=0.5, certain=0.6, review_set_by="engine"),
        target=None,
        gallery_size=120,
        searches_per_day=4.0,
        expected=wire.Expectation(
            threshold=0.5, expected_fmr=None, expected_fpir=None, expected_false_flags_per_day=None, reason="beyond the support"
        ),
    )


def weighed(pair: wire.CasePair, **changes: Any) -> wire.CasePair:
    """With where its score lies."""
    where: dict[str, Any] = {
        "threshold_now": 0.5, "still_flagged": True, "gallery_size_now": 120, "expected_fpir_at_score": 0.026,
        "impostor_above": wire.DistributionPlace(share=3 / 13_629, bound="at_most", trials=13_629, source="portraits"),
        "genuine_below": wire.DistributionPlace(share=54 / 66, bound="measured", trials=66, source="portraits"),
        "quality_a": samples.quality(81), "quality_b": samples.quality(40),
    }  # fmt: skip
    return pair.model_copy(update=where | changes)


def face(skin: tuple[int, int, int] = (205, 170, 140), size: int = 200) -> bytes:
    """A drawn face that is turned a little, its eyes where `EYES` says."""
    picture = Image.new("RGB", (size, size), (96, 110, 128))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((45, 35, 155, 185), fill=skin)
    for x, y in EYES[:2]:
        pen.ellipse((x - 9, y - 6, x + 9, y + 6), fill="white")
        pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=(40, 30, 20))
    pen.line((*EYES[2], EYES[2][0] - 5, EYES[2][1] - 22), fill=(150, 110, 90), width=4)
    pen.line((*EYES[3], *EYES[4]), fill=(160, 60, 60), width=6)
    out = io.BytesIO()
    picture.save(out, "JPEG")
    return out.getvalue()


def seen(subject: wire.Subject, eyes: list[tuple[float, float]] | None = None) -> wire.Subject:
    """The same with landmarks on its samples."""
    found = [sample.model_copy(update={"landmarks": eyes or EYES}) for sample in subject.samples]
    return subject.model_copy(update={"samples": found})


def cluster(number: int = 1) -> wire.Case:
    """Three records, two pairs that were flagged."""
    people = [seen(samples.subject(one)) for one in (1, 2, 3)]
    return samples.case(number, subjects=people, pairs=[samples.pair(1, 2, 0.61), samples.pair(2, 3, 0.75)])


def matrix() -> list[wire.MatrixEntry]:
    def entry(a: int, b: int, score: float, relation: str) -> wire.MatrixEntry:
        ids = {"a": f"sub_0000000{a}", "b": f"sub_0000000{b}"}
        return wire.MatrixEntry(**ids, score=score, flagged=relation == "pair", relation=relation)  # type: ignore[arg-type]

    return [entry(1, 2, 0.61, "pair"), entry(1, 3, 0.44, "below"), entry(2, 3, 0.75, "pair")]


def decision(verdict: str, actor: str, **changes: Any) -> wire.DecisionRecord:
    values: dict[str, Any] = {
        "id": f"dec_{actor}", "verdict": verdict, "actor": f"usr_{actor}", "actor_name": actor,
        "at": samples.now() - timedelta(minutes=5),
    }  # fmt: skip
    return wire.DecisionRecord(**(values | changes))


def preview(count: int, *left_out: wire.LeftOut, **changes: Any) -> wire.BulkPreview:
    items = [
        wire.BulkItem(case_id=f"case_1000{place:04}", version=1, survivor_id=f"sub_1000{place:04}") for place in range(count)
    ]
    values: dict[str, Any] = {
        "bulk_id": "bulk_" + "a" * 32, "items": items, "found": count + len(left_out), "more": False, "left_out": list(left_out),
    }  # fmt: skip
    return wire.BulkPreview(**(values | changes))
