"""How well the system tells people apart: asked as the person who looks, kept in that person's session.

Scores of pairs come as counts by band, never one by one.
"""

from __future__ import annotations

from backend import wire
from dashboard import parts
from dashboard.fetch.seen import Seen, own


def calibration() -> Seen[wire.CalibrationInForce]:
    return own().ask("calibration", parts.current().backend.calibration, parts.current().now)


def simulation(threshold: float | None, target_fpir: float | None) -> Seen[wire.Simulation]:
    """Exactly one of the two."""

    def ask() -> wire.Simulation:
        return parts.current().backend.simulate(threshold=threshold, target_fpir=target_fpir)

    return own().ask(("simulation", threshold, target_fpir), ask, parts.current().now)


def review_numbers(days: int) -> Seen[wire.ReviewNumbers]:
    return own().ask(("review numbers", days), lambda: parts.current().backend.review_numbers(days=days), parts.current().now)
