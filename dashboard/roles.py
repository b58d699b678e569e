"""What each role of people may see and do here. The servers check again: this only decides what is offered."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Role(StrEnum):
    operator = "operator"
    reviewer = "reviewer"
    supervisor = "supervisor"
    admin = "admin"


class Right(StrEnum):
    """One thing that a page offers."""

    see_fleet = "see_fleet"
    see_queue = "see_queue"
    see_faces = "see_faces"
    see_subjects = "see_subjects"
    enrol = "enrol"
    recognise = "recognise"
    decide = "decide"
    take_over = "take_over"
    arbitrate = "arbitrate"
    operate = "operate"
    """Drain, return, maintain, silence, acknowledge, diagnose."""
    export = "export"
    erase = "erase"
    see_scans = "see_scans"
    scan = "scan"
    see_accuracy = "see_accuracy"
    see_numbers = "see_numbers"
    """What reviewers decided and whether they agree."""
    see_audit = "see_audit"
    manage = "manage"
    """Keys and settings."""
    see_api = "see_api"


_ALL = frozenset(Role)
_REVIEW = frozenset({Role.reviewer, Role.supervisor, Role.admin})
_OPERATE = frozenset({Role.operator, Role.admin})
_SUPERVISE = frozenset({Role.supervisor, Role.admin})

HOLDERS: dict[Right, frozenset[Role]] = {
    Right.see_fleet: _OPERATE | _SUPERVISE,
    Right.see_queue: _REVIEW,
    Right.see_faces: _REVIEW,
    Right.see_subjects: _ALL,
    Right.enrol: _OPERATE,
    Right.recognise: _ALL,
    Right.decide: _REVIEW,
    Right.take_over: _SUPERVISE,
    Right.arbitrate: _SUPERVISE,
    Right.operate: _OPERATE,
    Right.export: _SUPERVISE,
    Right.erase: _SUPERVISE,
    Right.see_scans: _ALL,
    Right.scan: _OPERATE | _SUPERVISE,
    Right.see_accuracy: _OPERATE | _SUPERVISE,
    Right.see_numbers: _SUPERVISE,
    Right.see_audit: _SUPERVISE,
    Right.manage: frozenset({Role.admin}),
    Right.see_api: _ALL,
}


def may(roles: Iterable[Role], right: Right) -> bool:
    return bool(HOLDERS[right] & frozenset(roles))
