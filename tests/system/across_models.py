"""What the ledger says after a change of model, by brute force: each pair by the model that judged the later of the two."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from sqlmodel import Session, col, func, select

from backend.store import missing_templates, templates
from backend.store.database import Store
from backend.store.keyring import Keyring
from backend.store.tables import DuplicateCase, DuplicatePair, Enrolment, Subject
from tests.system.running_fleet import eventually

SWEEP_S = 60
ROUNDING = 1e-4
"""A pair this close to the threshold may fall to either side."""


@dataclass(frozen=True)
class Across:
    in_force: str | None
    active: int
    planted: int
    """pairs of one planted group that reached the threshold of the model that judged the later one"""
    missed: int
    """pairs of any two that did and are in no case"""
    in_two_cases: int
    lost: int
    """acknowledged and not there"""
    judged_by: Mapping[str, int]
    """enrolments by the model that decided them"""
    without_template: int
    """samples that have none of the model in force"""


def check(url: str, key_file: Path, acknowledged: Mapping[str, int]) -> Across:
    """Waits until every enrolment is decided. Cosine engines only."""
    with closing(Store.open(url, keyring=Keyring.load(key_file))) as store:
        eventually(lambda: _pending(store) == 0, within_s=SWEEP_S, every_s=0.5)
        with store.read() as session:
            return _compare(store, session, acknowledged)


def _pending(store: Store) -> int:
    with store.read() as session:
        return session.exec(select(func.count()).select_from(Enrolment).where(Enrolment.state == "pending")).one()


def _compare(store: Store, session: Session, acknowledged: Mapping[str, int]) -> Across:
    active = set(session.exec(select(Subject.id).where(Subject.state == "active")).all())
    made = {one.subject_id: one for one in session.exec(select(Enrolment)) if one.subject_id in active}
    in_cases: dict[frozenset[str], set[str]] = defaultdict(set)
    live = set(session.exec(select(DuplicateCase.id).where(col(DuplicateCase.joined_into).is_(None))).all())
    for pair in session.exec(select(DuplicatePair)).all():
        if pair.case_id in live:
            in_cases[frozenset((pair.a_subject_id, pair.b_subject_id))].add(pair.case_id)
    reached = _reached(store, session, made)
    judged_by: dict[str, int] = defaultdict(int)
    for one in made.values():
        judged_by[one.model_id] += 1
    in_force = store.gallery(session).model_id
    return Across(
        in_force=in_force,
        active=len(active),
        planted=len([pair for pair in reached if len({acknowledged.get(subject) for subject in pair}) == 1]),
        missed=len([pair for pair in reached if not in_cases[pair]]),
        in_two_cases=len([1 for cases in in_cases.values() if len(cases) > 1]),
        lost=len(set(acknowledged) - active),
        judged_by=dict(judged_by),
        without_template=missing_templates.count(store, session, in_force or ""),
    )


def _reached(store: Store, session: Session, made: Mapping[str, Enrolment]) -> set[frozenset[str]]:
    """Every two subjects who are a pair by the model, and at the threshold, of the later one's enrolment."""
    reached = set()
    for model_id in {one.model_id for one in made.values()}:
        vectors = {
            one.subject_id: one.vector
            for one in templates.all_of(session, store.keyring, gallery_id=store.gallery_id, model_id=model_id)
            if one.subject_id in made
        }
        ids = sorted(vectors)
        if not ids:
            continue
        matrix = np.stack([vectors[one] for one in ids])
        scores = matrix @ matrix.T
        for i, j in combinations(range(len(ids)), 2):
            later = max(made[ids[i]], made[ids[j]], key=lambda one: one.first_seq)
            if later.model_id == model_id and scores[i, j] >= later.review_threshold + ROUNDING:
                reached.add(frozenset((ids[i], ids[j])))
    return reached
