"""Error rates, thresholds and agreement in words and rows. Every rate stands with what it was counted on, never alone."""

from __future__ import annotations

import math

from backend import wire
from dashboard import phrases

RATE_HEADS = ["Threshold", "Score", "False matches (FMR)", "False non-matches (FNMR)"]
BIN_HEADS = ["Score", "Pairs decided", "Same person", "Share", "95 % limits"]
COMPARED_HEADS = ["", "Now", "With the other threshold"]
NAMES = {"verification": "Verification (1:1)", "review": "Review (duplicates)", "certain": "Certain duplicate"}
SET_BY = {
    "setting": "BACKEND_REVIEW_THRESHOLD",
    "target": "BACKEND_TARGET_FPIR and the gallery's size",
    "engine": "the engine",
}
LIMITED_BY = {
    "calibration": "the calibration backs no rate that small: count more people, until then its strictest threshold is used",
    "certain_threshold": "the threshold would lie above the certain one (BACKEND_CERTAIN_THRESHOLD)",
}
KAPPA = ((0.8, "almost perfect"), (0.6, "substantial"), (0.4, "moderate"), (0.2, "fair"), (0.0, "slight"))
"""Landis and Koch, Biometrics 33 (1977): more than the number, up to the next"""
FEW = 30
"""cases judged by two: with fewer, kappa moves by much with each"""


def small(ratio: float | None) -> str:
    """A rate in percent with two significant digits, however small: `9.1 %`, `0.022 %`."""
    if ratio is None:
        return phrases.NOTHING
    value = 100 * ratio
    if value <= 0:
        return "0 %"
    digits = max(0, min(8, 1 - math.floor(math.log10(value))))
    return f"{value:.{digits}f} %"


def rate(counted: wire.ErrorRate | None, *, expected: float | None = None, unknown: str = "not counted") -> str:
    """What was seen, in how many, and the limits of the true rate; `expected` where there is a rate without counts."""
    if counted is None:
        return unknown if expected is None else f"{small(expected)} ({phrases.one_in(expected)}); no limits: only rates are known"
    trials = f"{counted.trials:,}"
    if counted.most == 0:
        return f"none seen in {trials}: below {small(counted.high)}"
    if counted.least == counted.most:
        share = counted.most / counted.trials
        return f"{counted.most:,} of {trials}: {small(share)} ({small(counted.low)} to {small(counted.high)})"
    between = f"{counted.least:,} to {counted.most:,}" if counted.least else f"at most {counted.most:,}"
    limits = f"{small(counted.low)} to {small(counted.high)}" if counted.least else f"below {small(counted.high)}"
    return f"{between} of {trials}: {limits}"


def rates(in_force: wire.RatesInForce, *, unknown: str) -> list[tuple[str, str, str, str]]:
    """One row per threshold, the lowest first."""
    found = [(name, rates) for name in NAMES if (rates := getattr(in_force, name)) is not None]
    return [
        (
            NAMES[name],
            f"{one.threshold:.3f}",
            rate(one.false_match, expected=one.expected_fmr, unknown=unknown),
            rate(one.false_non_match, unknown="no pairs of one person were counted"),
        )
        for name, one in sorted(found, key=lambda item: item[1].threshold)
    ]


def headline(told: wire.CalibrationInForce) -> tuple[str, str]:
    """Tone and sentence: what the review threshold comes to at the gallery's present size."""
    expected = told.expected
    begin = f"Duplicates are reviewed from a score of {told.thresholds.review:.3f}."
    if expected.expected_fpir is None:
        return "mute", f"{begin} How often it flags strangers is not known. {expected.reason or ''}".strip()
    size = phrases.counted(told.gallery_size, "template")
    per_day = _per_day(expected.expected_false_flags_per_day)
    tone = "warn" if told.target is not None and not told.target.supported else "good"
    return tone, f"{begin} With {size}, an enrolment flags a stranger {phrases.one_in(expected.expected_fpir)}{per_day}."


def target(told: wire.CalibrationInForce) -> str:
    """What the target comes to, or how to set one."""
    if told.target is None:
        return "No target is set: the number of false flags grows with the gallery (BACKEND_TARGET_FPIR fixes it instead)."
    aim = f"Target: a false flag at no more than {phrases.one_in(told.target.fpir)} enrolments"
    if told.target.supported:
        return f"{aim}; met at {told.target.threshold:.3f}."
    why = LIMITED_BY.get(told.target.limited_by or "", "it cannot be met")
    return f"{aim}; not met, {phrases.one_in(told.target.expected_fpir)} is to be expected: {why}."


def decided(found: wire.ResolvedPairs) -> tuple[int, int]:
    """Pairs decided as one person, and as different people."""
    return found.same_flagged + found.same_missed, found.different_flagged + found.different_spared


def by_score(bins: list[wire.ScoreBin]) -> list[tuple[str, str, str, str, str]]:
    """Highest scores first."""
    return [
        (
            f"{one.score_from:.2f} to {one.score_to:.2f}",
            f"{one.same.of:,}",
            f"{one.same.count:,}",
            phrases.percent(one.same.count / one.same.of if one.same.of else None),
            f"{phrases.percent(one.same.low)} to {phrases.percent(one.same.high)}",
        )
        for one in sorted(bins, key=lambda one: -one.score_from)
    ]


def compared(found: wire.Simulation) -> list[tuple[str, str, str]]:
    """The threshold in force beside the other one."""
    now, then = found.now, found.then
    old, new = found.rates_now, found.rates_then
    same, different = decided(found.resolved)
    missed, spared = found.resolved.same_missed, found.resolved.different_spared
    waiting = found.waiting
    return [
        ("Review threshold", f"{now.threshold:.3f}", f"{then.threshold:.3f}"),
        ("A stranger is flagged at an enrolment", phrases.one_in(now.expected_fpir), phrases.one_in(then.expected_fpir)),
        ("False flags per day", _flags(now), _flags(then)),
        (
            "FMR of one comparison",
            rate(old.false_match, expected=old.expected_fmr) if old else small(now.expected_fmr),
            rate(new.false_match, expected=new.expected_fmr) if new else small(then.expected_fmr),
        ),
        (
            "FNMR (pairs of one person below it)",
            rate(old.false_non_match) if old else phrases.NOTHING,
            rate(new.false_non_match) if new else phrases.NOTHING,
        ),
        ("Decided as one person, and flagged", f"{same:,}", _less(same, missed, "missed")),
        ("Decided as different, and flagged", f"{different:,}", _less(different, spared, "spared")),
        ("Cases that wait", f"{waiting.cases:,}", _less(waiting.cases, waiting.cases_spared, "would not have been opened")),
    ]


def simulated(found: wire.Simulation) -> tuple[str, str]:
    """Tone and sentence: what the other threshold would have cost and saved, of what is known."""
    if abs(found.then.threshold - found.now.threshold) < 5e-4:
        return "mute", "This is the threshold in force: move it to see what another one would have done."
    if found.then.threshold < found.now.threshold:
        lowest = found.now.threshold if found.unknown_below is None else found.unknown_below
        return "warn", (
            f"A lower threshold flags everything that is flagged now, and more. How much more is not known:"
            f" pairs below {lowest:.3f} were never looked for; a scan as a dry run counts them."
        )
    missed = found.resolved.missed_at_least
    lost = (
        f"at least {phrases.counted(missed.count, 'duplicate')} of {missed.of:,} would have been missed"
        f" (95 %: {small(missed.low)} to {small(missed.high)})"
        if missed is not None
        else "no decided pair tells what would have been missed"
    )
    saved = f"{phrases.counted(found.resolved.different_spared, 'decision')} on different people would have been spared"
    tone = "warn" if missed is not None and missed.count else "good"
    return tone, f"Of what reviewers decided, {lost}; {saved}."


def agreement(found: wire.Agreement) -> tuple[str, str]:
    """Tone and sentence on how far two who judge blind agree."""
    if not found.cases:
        return "mute", "No case was judged by two of late: second reviews (BACKEND_SECOND_REVIEW) tell how far reviewers agree."
    ratio = phrases.percent(found.agreed / found.cases)
    share = f"{found.agreed:,} of {phrases.counted(found.cases, 'case')} judged by two agreed ({ratio})"
    few = f" With fewer than {FEW} cases one more changes these numbers by much." if found.cases < FEW else ""
    if found.kappa is None:
        return "mute", f"{share}. Kappa says nothing here: both gave one verdict throughout, as chance alone would.{few}"
    word = kappa_word(found.kappa)
    tone = "good" if found.kappa > KAPPA[1][0] else "warn"
    return tone, f"{share}; Cohen's kappa {found.kappa:.2f}, {word} agreement beyond chance.{few}"


def kappa_word(kappa: float) -> str:
    return next((word for above, word in KAPPA if kappa > above), "no")


def _less(total: int, fewer: int, word: str) -> str:
    return f"{total - fewer:,} ({fewer:,} {word})" if fewer else f"{total:,}"


def _flags(expected: wire.Expectation) -> str:
    value = expected.expected_false_flags_per_day
    return phrases.NOTHING if value is None else f"{value:,.2f}" if value >= 0.01 or value == 0 else "less than 0.01"


def _per_day(value: float | None) -> str:
    if value is None or value <= 0:
        return ""
    return f", {value:.1f} times a day" if value >= 0.1 else f", about once in {phrases.span(86_400 / value)}"
