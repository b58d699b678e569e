"""A score between its two distributions: comparisons of different people, and of one person, as they were counted. Pure.

A calibration counts how many comparisons reach a score, at some scores. Between two of these lie the differences, drawn as steps:
each distribution to its own height, as the two were counted on different numbers of pairs. Most comparisons of different
people lie left of the first score that was counted and are not drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from backend import wire
from dashboard import phrases
from dashboard.components.markup import text

Across = Callable[[float], float]
"""a score's place in the drawing, in percent of its width"""
TICKS = 6


@dataclass(frozen=True)
class Step:
    """From one counted score to the next: share of all comparisons per unit of score."""

    start: float
    end: float
    density: float


def impostors(calibration: wire.Calibration) -> list[Step]:
    points = calibration.points
    return [_step(a.score, b.score, a.fmr - b.fmr) for a, b in pairwise(points)]


def genuines(calibration: wire.Calibration) -> list[Step]:
    counts = calibration.genuine
    if counts is None:
        return []
    below = counts.below
    return [_step(a.score, b.score, (b.count - a.count) / counts.trials) for a, b in pairwise(below)]


def figure(calibration: wire.Calibration, pair: wire.CasePair, *, certain: float | None = None) -> str:
    """HTML that the style sheet draws (pages strip SVG of what they are given); the same in words is `sentences`."""
    strangers, same = impostors(calibration), genuines(calibration)
    review = pair.threshold if pair.threshold_now is None else pair.threshold_now
    marks = [pair.score, review, *([certain] if certain is not None else [])]
    ends = [*marks, *(edge for step in (*strangers, *same) for edge in (step.start, step.end))]
    low, high = min(ends) - 0.02, max(ends) + 0.02

    def across(score: float) -> float:
        return 100 * (score - low) / (high - low)

    drawn = [
        *_hump(strangers, across, "strangers", "different people"),
        *_hump(same, across, "one", "one person"),
        _mark(across(review), "review", "limit"),
        *([_mark(across(certain), "certain", "limit")] if certain is not None else []),
        _mark(across(pair.score), f"{pair.score:.3f}", "score"),
        *(_tick(low + (high - low) * (place + 0.5) / TICKS, across) for place in range(TICKS)),
    ]
    return f'<div class="two" role="img" aria-label="{text(" ".join(sentences(pair)))}">{"".join(drawn)}</div>'


def sentences(pair: wire.CasePair) -> list[str]:
    """What the two distributions say of this score; what they do not say is said too."""
    if pair.impostor_above is None:
        why = f" {_ended(pair.expected_fmr_reason)}" if pair.expected_fmr_reason else ""
        return [f"Nothing is known of how often strangers reach this score: no calibration of this model says.{why}"]
    said = [
        f"Different people reach this score in {_at(pair.impostor_above)}{_one_in(pair.impostor_above.share)} comparisons"
        f"{_trials(pair.impostor_above)}."
    ]
    if pair.genuine_below is not None:
        said.append(
            f"Pictures of one person score lower in {_at(pair.genuine_below)}{phrases.percent(pair.genuine_below.share)} of"
            f" comparisons{_trials(pair.genuine_below)}."
        )
        said += _odds(pair.impostor_above, pair.genuine_below)
    if pair.expected_fpir_at_score is not None and pair.gallery_size_now is not None:
        bound = "at most " if pair.impostor_above.bound == "at_most" else ""
        said.append(
            f"Among {phrases.counted(pair.gallery_size_now, 'template')} a search meets a stranger as alike as this"
            f" {bound}{phrases.one_in(pair.expected_fpir_at_score)} times."
        )
    if pair.still_flagged is False:
        said.append("By today's threshold this pair would not be flagged.")
    return said


def _odds(strangers: wire.DistributionPlace, same: wire.DistributionPlace) -> list[str]:
    """How much more often one person than two reaches the score; nothing where too few were counted to say."""
    reach = 1 - same.share
    if same.bound == "at_least" or reach <= 0 or strangers.share <= 0 or strangers.bound == "at_least":
        return []
    bound = "at least" if "at_most" in (strangers.bound, same.bound) else "about"
    times = reach / strangers.share
    if times < 2:
        return ["So a score this high says little: one person reaches it hardly more often than two do."]
    return [f"So one person reaches it {bound} {_rounded(times):,} times as often as two people do."]


def _rounded(value: float) -> int:
    """To two digits: the counts bear no more."""
    return int(float(f"{value:.1e}"))


def _step(start: float, end: float, share: float) -> Step:
    return Step(start, end, max(0.0, share) / (end - start))


def _hump(steps: Sequence[Step], across: Across, kind: str, word: str) -> list[str]:
    most = max((step.density for step in steps), default=0.0)
    if most <= 0:
        return []
    bars = [
        f'<i class="{kind}" style="left:{across(step.start):.2f}%;width:{across(step.end) - across(step.start):.2f}%;'
        f'height:{60 * step.density / most:.1f}%"></i>'
        for step in steps
    ]
    highest = max(steps, key=lambda step: step.density)
    return [*bars, f'<b class="{kind}" style="left:{across((highest.start + highest.end) / 2):.2f}%">{word}</b>']


def _tick(score: float, across: Across) -> str:
    return f'<small style="left:{across(score):.2f}%">{score:.2f}</small>'


def _mark(at: float, word: str, kind: str) -> str:
    return f'<u class="{kind}" style="left:{at:.2f}%"><span>{text(word)}</span></u>'


def _at(place: wire.DistributionPlace) -> str:
    return {"at_most": "at most ", "at_least": "at least ", "measured": ""}[place.bound]


def _one_in(share: float) -> str:
    return f"1 of {round(1 / share):,}" if 0 < share <= 0.5 else phrases.percent(share) + " of"


def _trials(place: wire.DistributionPlace) -> str:
    return f" ({place.trials:,} were counted)" if place.trials else ""


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith(".") else f"{sentence}."
