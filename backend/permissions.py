"""Who may do what: one table for keys' scopes and people's roles, which are the same words."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from backend.errors import Forbidden, PersonNeeded
from backend.store.caller import Caller
from backend.wire import Scope


class Action(StrEnum):
    enrol = "enrol"
    recognise = "recognise"
    read_subjects = "read_subjects"
    change_subject = "change_subject"
    erase_subject = "erase_subject"
    export_subject = "export_subject"
    see_image = "see_image"
    read_cases = "read_cases"
    work_cases = "work_cases"
    take_over = "take_over"
    read_review_numbers = "read_review_numbers"
    watch = "watch"
    drain = "drain"
    manage_keys = "manage_keys"
    read_audit = "read_audit"
    scan = "scan"
    read_scans = "read_scans"
    simulate = "simulate"


_REVIEW = frozenset({Scope.reviewer, Scope.supervisor, Scope.admin})

PERMISSIONS: Mapping[Action, frozenset[Scope]] = MappingProxyType(
    {
        Action.enrol: frozenset({Scope.client, Scope.operator, Scope.admin}),
        Action.recognise: _REVIEW | {Scope.client, Scope.operator},
        Action.read_subjects: _REVIEW | {Scope.client, Scope.operator},
        Action.change_subject: frozenset({Scope.client, Scope.operator, Scope.admin}),
        Action.erase_subject: frozenset({Scope.client, Scope.supervisor, Scope.admin}),
        Action.export_subject: frozenset({Scope.supervisor, Scope.admin}),
        Action.see_image: _REVIEW,
        Action.read_cases: _REVIEW,
        Action.work_cases: _REVIEW,
        Action.take_over: frozenset({Scope.supervisor, Scope.admin}),
        Action.read_review_numbers: frozenset({Scope.supervisor, Scope.admin}),
        Action.watch: _REVIEW | {Scope.viewer, Scope.operator},
        Action.drain: frozenset({Scope.operator, Scope.admin}),
        Action.manage_keys: frozenset({Scope.admin}),
        Action.read_audit: frozenset({Scope.supervisor, Scope.admin}),
        Action.scan: frozenset({Scope.operator, Scope.supervisor, Scope.admin}),
        Action.read_scans: _REVIEW | {Scope.operator},
        Action.simulate: frozenset({Scope.operator, Scope.supervisor, Scope.admin}),
    }
)

PERSONS_ONLY = frozenset({Action.work_cases, Action.take_over})
"""Claims and decisions: a key could be anybody, and the four-eyes rule needs somebody."""


def require(caller: Caller, action: Action) -> None:
    """Raise `PersonNeeded` or `Forbidden` unless `caller` may do `action`."""
    if action in PERSONS_ONLY and caller.kind != "person":
        raise PersonNeeded
    if caller.roles.isdisjoint(PERMISSIONS[action]):
        raise Forbidden(f"`{action}` needs one of: {', '.join(sorted(PERMISSIONS[action]))}")
