"""What is in force, what to expect of it, and what another review threshold would have done. Reads, and changes nothing."""

from __future__ import annotations

import math
from typing import Literal

from sqlmodel import Session

from backend import wire
from backend.errors import NoCalibration
from backend.faces.calibration import expected_fmr, expected_fpir, why_unknown
from backend.faces.engine import Calibration, ModelCard
from backend.faces.error_counts import Errors, false_matches, false_non_matches
from backend.faces.target import Met, ReviewTarget
from backend.recognition import Thresholds, must_be_on_scale
from backend.store import resolved_pairs
from backend.store.database import Store
from backend.store.resolved_pairs import Resolved, Waiting

COUNTED_DAYS = 7
BIN = 0.05
CENSORED = (
    "Resolved pairs are only those that reached the review threshold of their day: of lower scores nobody knows. They give the"
    " share of the same person at a score and a lower bound of what would be missed, but no false match rate."
)
NEVER_SEARCHED = (
    "Below {score:g} pairs were never looked for: how many more this threshold would flag is unknown without a scan"
    " (POST /v1/scans with this threshold and dry_run)."
)


class Scoring:
    def __init__(
        self, store: Store, card: ModelCard, thresholds: Thresholds, *, review_set_by: Literal["setting", "target", "engine"]
    ) -> None:
        self._store, self._card, self._thresholds = store, card, thresholds
        self._set_by = review_set_by

    def read(self) -> wire.CalibrationInForce:
        with self._store.read() as session:
            size, searches = self._numbers(session)
        in_force, target = self._thresholds.at(size), self._thresholds.target
        return wire.CalibrationInForce(
            model_id=self._card.model_id,
            calibration=None if self._card.calibration is None else _shown(self._card.calibration),
            thresholds=wire.Thresholds(
                verification=in_force.verification,
                review=in_force.review,
                certain=in_force.certain,
                review_set_by=self._set_by,
            ),
            target=None if target is None else _target(target.fpir, target.at(size, certain=in_force.certain)),
            gallery_size=size,
            searches_per_day=searches,
            expected=self._expected(in_force.review, size, searches),
            rates=wire.RatesInForce(
                verification=self._rates(in_force.verification),
                review=self._rates(in_force.review),
                certain=self._rates(in_force.certain),
            ),
        )

    def simulate(self, request: wire.SimulateRequest) -> wire.Simulation:
        """Raises InvalidThreshold; NoCalibration for a target where nothing gives it a threshold."""
        with self._store.read() as session:
            size, searches = self._numbers(session)
            resolved = resolved_pairs.resolved(self._store, session, model_id=self._card.model_id)
            threshold, target = self._asked(request, size)
            waiting = resolved_pairs.waiting(self._store, session, model_id=self._card.model_id, threshold=threshold)
        now = self._thresholds.at(size).review
        unknown = _unknown_below(threshold, now, resolved, waiting)
        return wire.Simulation(
            now=self._expected(now, size, searches),
            then=self._expected(threshold, size, searches),
            rates_now=self._rates(now),
            rates_then=self._rates(threshold),
            target=target,
            gallery_size=size,
            searches_per_day=searches,
            resolved=_resolved(resolved, threshold),
            waiting=wire.WaitingPairs(
                cases=waiting.cases,
                cases_spared=waiting.cases_spared,
                pairs=waiting.pairs,
                pairs_spared=waiting.pairs_spared,
            ),
            unknown_below=unknown,
            caveats=[CENSORED, *([] if unknown is None else [NEVER_SEARCHED.format(score=unknown)])],
        )

    def _numbers(self, session: Session) -> tuple[int, float]:
        """The gallery's size, and how many pictures are searched for in a day."""
        searched = resolved_pairs.searched_since(self._store, session, days=COUNTED_DAYS)
        return self._store.gallery(session).active_templates, searched / COUNTED_DAYS

    def _asked(self, request: wire.SimulateRequest, size: int) -> tuple[float, wire.Target | None]:
        if request.target_fpir is None:
            threshold = request.threshold or 0.0
            must_be_on_scale(self._card.metric, threshold)
            return threshold, None
        if self._card.calibration is None:
            raise NoCalibration()
        met = ReviewTarget(request.target_fpir, self._card.calibration).at(size, certain=self._thresholds.certain)
        return met.threshold, _target(request.target_fpir, met)

    def _expected(self, threshold: float, size: int, searches: float) -> wire.Expectation:
        calibration = self._card.calibration
        fpir = expected_fpir(calibration, threshold, size)
        return wire.Expectation(
            threshold=threshold,
            expected_fmr=expected_fmr(calibration, threshold),
            expected_fpir=fpir,
            expected_false_flags_per_day=None if fpir is None else fpir * searches,
            reason=why_unknown(calibration, threshold),
        )

    def _rates(self, threshold: float) -> wire.ErrorRates:
        calibration = self._card.calibration
        return wire.ErrorRates(
            threshold=threshold,
            false_match=_rate(false_matches(calibration, threshold)),
            expected_fmr=expected_fmr(calibration, threshold),
            false_non_match=_rate(false_non_matches(calibration, threshold)),
        )


def _rate(errors: Errors | None) -> wire.ErrorRate | None:
    if errors is None:
        return None
    from backend.faces.accuracy.intervals import rate  # see `_share`

    low, high = rate(errors.least, errors.trials).low, rate(errors.most, errors.trials).high
    return wire.ErrorRate(
        least=errors.least, most=errors.most, trials=errors.trials, low=low or 0.0, high=1.0 if high is None else high
    )


def _target(fpir: float, met: Met) -> wire.Target:
    return wire.Target(
        fpir=fpir,
        threshold=met.threshold,
        supported=met.supported,
        limited_by=met.limited_by,
        needed_fmr=met.needed_fmr,
        expected_fpir=met.expected_fpir,
    )


def _shown(calibration: Calibration) -> wire.Calibration:
    genuine = calibration.genuine
    return wire.Calibration(
        id=calibration.id,
        source=calibration.source,
        trials=calibration.trials,
        supported_fmr=calibration.supported_fmr,
        supported_from=calibration.points[0].score,
        points=[wire.RatePoint(score=point.score, fmr=point.fmr) for point in calibration.points],
        genuine=None
        if genuine is None
        else wire.GenuineCounts(
            trials=genuine.trials,
            source=genuine.source,
            below=[wire.ScoreCount(score=score, count=count) for score, count in genuine.below],
        ),
    )


def _resolved(found: Resolved, threshold: float) -> wire.ResolvedPairs:
    missed, spared = (sum(pair.score < threshold for pair in pairs) for pairs in (found.same, found.different))
    return wire.ResolvedPairs(
        same_flagged=len(found.same) - missed,
        same_missed=missed,
        different_flagged=len(found.different) - spared,
        different_spared=spared,
        missed_at_least=_share(missed, len(found.same)) if found.same else None,
        by_score=_by_score(found),
    )


def _by_score(found: Resolved) -> list[wire.ScoreBin]:
    """Only those bins that hold a pair, lowest first."""
    counts: dict[int, list[int]] = {}
    for pairs, place in ((found.same, 0), (found.different, 1)):
        for pair in pairs:
            counts.setdefault(math.floor(pair.score / BIN + 1e-9), [0, 0])[place] += 1
    return [
        wire.ScoreBin(
            score_from=round(number * BIN, 2), score_to=round((number + 1) * BIN, 2), same=_share(same, same + different)
        )
        for number, (same, different) in sorted(counts.items())
    ]


def _share(count: int, of: int) -> wire.Share:
    from backend.faces.accuracy.intervals import clopper_pearson  # brings scipy, which a replica need not wait for at its start

    low, high = clopper_pearson(count, of)
    return wire.Share(count=count, of=of, low=low, high=high)


def _unknown_below(threshold: float, now: float, resolved: Resolved, waiting: Waiting) -> float | None:
    """The highest threshold by which anything was searched for, where the simulated one lies below it."""
    searched = max([now, waiting.searched or now, *(pair.threshold for pair in (*resolved.same, *resolved.different))])
    return searched if threshold < searched else None
