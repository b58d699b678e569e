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


_ALL = frozenset(Role)
_REVIEW = frozenset({Role.reviewer, Role.supervisor, Role.admin})

HOLDERS: dict[Right, frozenset[Role]] = {
    Right.see_fleet: frozenset({Role.operator, Role.supervisor, Role.admin}),
    Right.see_queue: _REVIEW,
    Right.see_faces: _REVIEW,
    Right.see_subjects: _ALL,
    Right.enrol: frozenset({Role.operator, Role.admin}),
    Right.recognise: _ALL,
    Right.decide: _REVIEW,
    Right.take_over: frozenset({Role.supervisor, Role.admin}),
}


def may(roles: Iterable[Role], right: Right) -> bool:
    return bool(HOLDERS[right] & frozenset(roles))
