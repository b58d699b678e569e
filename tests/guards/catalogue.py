"""Every guard of the program that has a test of its own."""

from __future__ import annotations

from tests.guards import durability, enrolment, erasure, galleries, models, restoring, reviewing, scans, service, trail
from tests.guards.guard import Guard

GUARDS: tuple[Guard, ...] = (
    *durability.GUARDS,
    *enrolment.GUARDS,
    *scans.GUARDS,
    *galleries.GUARDS,
    *models.GUARDS,
    *service.GUARDS,
    *erasure.GUARDS,
    *restoring.GUARDS,
    *reviewing.GUARDS,
    *trail.GUARDS,
)
