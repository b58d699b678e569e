"""Merged subjects as a forest of pointers: the root stands for the person, its tree is the set of its records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from backend.store.tables import Subject

CHUNK = 500
Value = TypeVar("Value", int, str)

_POINTERS = select(Subject.id, Subject.merged_into)
_OF_THESE = _POINTERS.where(col(Subject.id).in_(bindparam("ids", expanding=True)))
_INTO_THESE = _POINTERS.where(col(Subject.merged_into).in_(bindparam("ids", expanding=True)))


def chunks(values: Iterable[Value]) -> Iterator[Sequence[Value]]:
    """At most `CHUNK` at a time: databases limit the values of one IN."""
    listed = sorted(set(values))
    for start in range(0, len(listed), CHUNK):
        yield listed[start : start + CHUNK]


def roots(session: Session, ids: Iterable[str]) -> dict[str, str]:
    """id → root, for those ids that exist, and for no other record on the way."""
    parents: dict[str, str | None] = {}
    wanted = asked = set(ids)
    while wanted:
        found = _parents(session, wanted)
        parents.update(found)
        wanted = {parent for parent in found.values() if parent is not None} - parents.keys()
    return {node: _climb(node, parents) for node in asked & parents.keys()}


def _parents(session: Session, ids: Iterable[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for chunk in chunks(ids):
        found.update(session.exec(_OF_THESE, params={"ids": chunk}).all())
    return found


def _climb(node: str, parents: dict[str, str | None]) -> str:
    parent = parents[node]
    while parent is not None:
        node, parent = parent, parents[parent]
    return node


def trees(session: Session, tops: Iterable[str]) -> dict[str, str]:
    """Every record under (and with) each of `tops` → that top. `tops` must not lie below one another."""
    owner = {top: top for top in tops}
    level = set(owner)
    while level:
        below: dict[str, str] = {}
        for chunk in chunks(level):
            found = session.exec(_INTO_THESE, params={"ids": chunk})
            below.update({child: owner[parent] for child, parent in found if parent is not None})
        owner.update(below)
        level = set(below)
    return owner


def sets(session: Session, tops: Iterable[str]) -> dict[str, set[str]]:
    """Each of `tops` → itself and every record under it. They may lie below one another, unlike those of `trees`."""
    listed = set(tops)
    below: defaultdict[str, list[str]] = defaultdict(list)
    level, seen = listed, set(listed)
    while level:
        found = [row for chunk in chunks(level) for row in session.exec(_INTO_THESE, params={"ids": chunk})]
        for child, parent in found:
            below[parent or ""].append(child)
        level = {child for child, _ in found} - seen
        seen |= level
    return {top: _under(top, below) for top in listed}


def _under(top: str, below: Mapping[str, Sequence[str]]) -> set[str]:
    found, level = {top}, [top]
    while level:
        level = [child for node in level for child in below.get(node, ()) if child not in found]
        found.update(level)
    return found


def tree(session: Session, top: str) -> list[str]:
    """`top` first, then every record merged into it, directly or not, by id."""
    return [top, *sorted(set(trees(session, [top])) - {top})]
