"""How well the system tells people apart: asked as the person who looks, kept in that person's session.

Scores of pairs come as counts by band, never one by one.
"""

from __future__ import annotations

from backend import wire
from dashboard import parts
from dashboard.fetch.abreast import abreast
from dashboard.fetch.seen import Seen, own


def calibration() -> Seen[wire.CalibrationInForce]:
    return own().ask("calibration", parts.current().backend.calibration, parts.current().now)


def beside_numbers(days: int) -> tuple[Seen[wire.CalibrationInForce], Seen[wire.ReviewNumbers]]:
    """`calibration` and `review_numbers`, at the same time."""
    told: list[Seen[wire.CalibrationInForce]] = []
    numbers: list[Seen[wire.ReviewNumbers]] = []
    abreast([lambda: told.append(calibration()), lambda: numbers.append(review_numbers(days))])
    return told[0], numbers[0]


def simulation(threshold: float | None, target_fpir: float | None) -> Seen[wire.Simulation]:
    """Exactly one of the two."""

    def ask() -> wire.Simulation:
        return parts.current().backend.simulate(threshold=threshold, target_fpir=target_fpir)

    return own().ask(("simulation", threshold, target_fpir), ask, parts.current().now)


def review_numbers(days: int) -> Seen[wire.ReviewNumbers]:
    return own().ask(("review numbers", days), lambda: parts.current().backend.review_numbers(days=days), parts.current().now)
