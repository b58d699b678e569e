"""Rows of pairs: what was found, under which circumstances, written once per two records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from backend.store.ids import new_id
from backend.store.tables import CaseKind, DuplicatePair, PairState

_OPEN = (
    select(DuplicatePair)
    .where(DuplicatePair.case_id == bindparam("case_id"), DuplicatePair.state == PairState.open)
    .order_by(col(DuplicatePair.score).desc(), col(DuplicatePair.id))
)
_OF_TWO = select(DuplicatePair).where(
    DuplicatePair.gallery_id == bindparam("gallery_id"),
    DuplicatePair.a_subject_id == bindparam("a"),
    DuplicatePair.b_subject_id == bindparam("b"),
    DuplicatePair.held_sample_id == "",
)


@dataclass(frozen=True)
class Circumstances:
    """What was in force when pairs were found; stored with each of them."""

    threshold: float
    gallery_size: int
    expected_fpir: float | None
    calibration_id: str | None
    model_id: str
    source: Literal["enrolment", "scan", "manual"]
    at: datetime


@dataclass(frozen=True)
class Margin:
    """How far a score lies above the best of the same newcomer with any other person; negative where somebody scored higher.

    Only what reaches the threshold of the search is seen. Where nobody else did, `value` is the distance to that threshold,
    and the margin is `at_least` that.
    """

    value: float
    at_least: bool


@dataclass(frozen=True)
class FoundPair:
    """Two records and the two samples of theirs that score best; in any order."""

    subject_ids: tuple[str, str]
    sample_ids: tuple[str, str]
    score: float
    band: Literal["review", "certain"]
    margin: Margin | None = None

    def ordered(self) -> FoundPair:
        if self.subject_ids[0] <= self.subject_ids[1]:
            return self
        return replace(self, subject_ids=self.subject_ids[::-1], sample_ids=self.sample_ids[::-1])


def margin_of(score: float, person: str, reach: Mapping[str, float], *, threshold: float) -> Margin:
    """`reach`: the best score of the newcomer with each person (root) that reached `threshold`, `person` among them."""
    others = [best for root, best in reach.items() if root != person]
    return Margin(score - max(others), at_least=False) if others else Margin(score - threshold, at_least=True)


def band_of(score: float, certain_threshold: float) -> Literal["review", "certain"]:
    return "certain" if score >= certain_threshold else "review"


def band_of_case(pairs: Iterable[DuplicatePair]) -> Literal["review", "certain"]:
    """Of its best pair."""
    return "certain" if any(pair.band == "certain" for pair in pairs) else "review"


def open_pairs(session: Session, case_id: str) -> list[DuplicatePair]:
    """Best score first."""
    return list(session.exec(_OPEN, params={"case_id": case_id}))


def ends(pairs: Iterable[DuplicatePair]) -> set[str]:
    return {subject for pair in pairs for subject in (pair.a_subject_id, pair.b_subject_id)}


OF_WHO_ASKED = ("asked_by", "asked_by_name", "asked_at", "sealed_asking_note", "overrides_distinct", "left_cases")
"""That a person asked about two stays, whatever evidence turns up later."""


def write(session: Session, found: FoundPair, gallery_id: str, circumstances: Circumstances) -> tuple[DuplicatePair, bool]:
    """The row, open, and whether it is new or better than it was: a closed one lost its evidence, so any is better, and of two
    models the scores cannot be compared, so the later is.
    """
    known = find(session, found, gallery_id)
    fresh = new_pair(found, gallery_id, circumstances, kind=CaseKind.duplicate)
    if known is None:
        session.add(fresh)
        session.flush()
        return fresh, True
    better = known.state != PairState.open or known.model_id != fresh.model_id or found.score > known.score
    if better:
        renew(known, fresh)
    return known, better


def renew(known: DuplicatePair, fresh: DuplicatePair) -> None:
    """The same two records, by other evidence."""
    known.sqlmodel_update(fresh.model_dump(exclude={"id", "case_id", *OF_WHO_ASKED}))


def find(session: Session, found: FoundPair, gallery_id: str) -> DuplicatePair | None:
    """The row of these two records, in the order of `FoundPair.ordered`."""
    a, b = found.subject_ids
    return session.exec(_OF_TWO, params={"gallery_id": gallery_id, "a": a, "b": b}).first()


def new_pair(
    found: FoundPair, gallery_id: str, circumstances: Circumstances, *, kind: CaseKind, held_sample_id: str = ""
) -> DuplicatePair:
    return DuplicatePair(
        id=new_id("pair"),
        gallery_id=gallery_id,
        kind=kind,
        state=PairState.open,
        a_subject_id=found.subject_ids[0],
        b_subject_id=found.subject_ids[1],
        a_sample_id=found.sample_ids[0],
        b_sample_id=found.sample_ids[1],
        held_sample_id=held_sample_id,
        score=found.score,
        threshold=circumstances.threshold,
        band=found.band,
        gallery_size=circumstances.gallery_size,
        expected_fpir=circumstances.expected_fpir,
        calibration_id=circumstances.calibration_id,
        model_id=circumstances.model_id,
        source=circumstances.source,
        margin=None if found.margin is None else found.margin.value,
        margin_at_least=None if found.margin is None else found.margin.at_least,
        found_at=circumstances.at,
    )
