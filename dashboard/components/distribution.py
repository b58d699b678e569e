"""A check of the distribution: how far it came, what to think of it, and who served how much. Pure, values to HTML."""

from __future__ import annotations

from dashboard import phrases
from dashboard.components.load_findings import backend_link
from dashboard.components.markup import badge, facts, text, verdict
from dashboard.palette import DISTRIBUTION, SHARE_VERDICTS
from monitor import wire


def progress(check: wire.DistributionCheck) -> tuple[float, str]:
    """How much of it is done (0 to 1), and the same in words."""
    left = f", {phrases.span(check.estimated_s)} left" if check.estimated_s else ""
    return check.sent / check.requests, f"{check.sent} of {check.requests} requests sent{left}"


def result(check: wire.DistributionCheck, now: float) -> str:
    """The judgement of a check that has ended, with what it rests on."""
    if check.verdict is None or check.finished_at is None:
        return ""
    look = DISTRIBUTION[check.verdict]
    early = " It was stopped before all were sent." if check.state == "stopped" else ""
    took = phrases.span((check.finished_at - check.started_at).total_seconds())
    numbers = facts(
        [
            ("Strategy", check.strategy.replace("_", " ")),
            ("Sent", f"{check.sent} in {took}"),
            ("Answered", f"{check.answered}"),
            ("Failed", f"{sum(check.failures.values())}"),
            ("Variation (CV)", phrases.percent(check.cv, 1)),
            ("Noise floor of CV", phrases.percent(check.noise_floor_cv, 1)),
        ],
        wide=True,
    )
    said = f"{check.sentence or look.word.capitalize()}{early}"
    return verdict(look.tone, said, phrases.since(check.finished_at, now)) + numbers


def served(check: wire.DistributionCheck) -> str:
    """A bar per backend, with a mark where its expected share is; ± is what chance alone explains."""
    most = max([0.01, *(share for one in check.shares for share in (one.share, one.expected_share) if share is not None)])
    rows = "".join(_row(one, check, most) for one in check.shares)
    return f'<div class="served" role="table" aria-label="Who served the requests of the check">{rows}</div>'


def _row(one: wire.DistributionShare, check: wire.DistributionCheck, most: float) -> str:
    name = text(one.backend) if one.verdict is wire.ShareVerdict.not_in_fleet else backend_link(one.backend)
    bar = f'<i style="width:{100 * (one.share or 0.0) / most:.1f}%"></i>'
    if one.expected_share:
        bar += f'<u style="left:{100 * one.expected_share / most:.1f}%"></u>'
    count = f"{one.requests} of {check.answered} ({phrases.percent(one.share)})"
    expected = "" if one.expected_share is None else f"expected {phrases.percent(one.expected_share)}"
    if one.limit is not None and one.expected_share:
        expected += f" ± {phrases.percent(one.limit * one.expected_share)}"
    speed = "" if one.p50_ms is None else f" · p50 {phrases.milliseconds(one.p50_ms)}"
    badge_ = badge(SHARE_VERDICTS[one.verdict]) if check.verdict is not None else ""
    return (
        f'<div role="row"><span role="cell">{name}</span><span role="cell" class="meter" aria-hidden="true">{bar}</span>'
        f'<span role="cell"><strong>{count}</strong> <span class="soft">{text(expected + speed)}</span></span>'
        f'<span role="cell">{badge_}</span></div>'
    )
