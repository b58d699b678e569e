"""Pairs that were decided to be different people: never flagged again, whatever their samples and models."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from backend.store.forest import chunks
from backend.store.sides import of_either
from backend.store.tables import DistinctPair

_OF_THESE = select(DistinctPair.a_subject_id, DistinctPair.b_subject_id).where(
    of_either(DistinctPair, gallery_id=bindparam("gallery_id"), records=bindparam("records", expanding=True))
)


def partners(session: Session, *, gallery_id: str, records: Iterable[str]) -> set[str]:
    """Every record that was decided to be somebody else than one of `records`."""
    mine = set(records)
    found: set[str] = set()
    for chunk in chunks(mine):
        for a, b in session.exec(_OF_THESE, params={"gallery_id": gallery_id, "records": chunk}):
            found |= {b} if a in mine else set()
            found |= {a} if b in mine else set()
    return found


def differ(session: Session, *, gallery_id: str, ours: Iterable[str], theirs: Iterable[str]) -> bool:
    """Whether any record of one person was decided to be somebody else than any of the other's."""
    return not partners(session, gallery_id=gallery_id, records=ours).isdisjoint(theirs)


def contradiction(
    session: Session, *, gallery_id: str, owner: Mapping[str, str], excused: Collection[frozenset[str]] = ()
) -> DistinctPair | None:
    """`owner`: record → person. Two records of different persons among them that were decided to be different, if any.

    `excused`: pairs of persons of whom it was asked again although that was decided (see `asked`).
    """
    for chunk in chunks(owner):
        query = select(DistinctPair).where(DistinctPair.gallery_id == gallery_id, col(DistinctPair.a_subject_id).in_(chunk))
        for pair in session.exec(query.order_by(col(DistinctPair.id))):
            persons = frozenset(owner[record] for record in (pair.a_subject_id, pair.b_subject_id) if record in owner)
            if pair.b_subject_id in owner and len(persons) == 2 and persons not in excused:
                return pair
    return None
