"""What the ledger says after the storm, compared by brute force with what it should say."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from sqlmodel import Session, col, func, select

from backend.store import templates
from backend.store.database import Store
from backend.store.keyring import Keyring
from backend.store.tables import DuplicateCase, DuplicatePair, Enrolment, Subject
from tests.system.running_fleet import eventually

SWEEP_S = 60
ROUNDING = 1e-5
"""A pair this close below or above the threshold may fall to either side in float32."""


@dataclass(frozen=True)
class Verdict:
    active_subjects: int
    cases: int
    planted_pairs: int
    """pairs of one planted group that reach the threshold"""
    acknowledged_lost: int
    planted_missed: int
    """pairs of any two active subjects that reach the threshold and are in no case"""
    pairs_in_two_cases: int
    """pairs, or members of clusters, that are in more than one open case"""
    lives_wrong: int
    """groups without exactly one active subject, active subjects of no group, and pairs of active ones that are certain"""


def check_ledger(url: str, key_file: Path, acknowledged: Mapping[str, int]) -> Verdict:
    """Compare every two active subjects; `acknowledged` maps the ids that clients were told to their planted group.

    Waits until the sweep has finished what the killed replicas left behind. Cosine engines only.
    """
    with closing(Store.open(url, keyring=Keyring.load(key_file))) as store:
        eventually(lambda: _pending(store) == 0, within_s=SWEEP_S, every_s=0.5)
        with store.read() as session:
            return _compare(store, session, acknowledged)


def _pending(store: Store) -> int:
    with store.read() as session:
        return session.exec(select(func.count()).select_from(Enrolment).where(Enrolment.state == "pending")).one()


def _compare(store: Store, session: Session, acknowledged: Mapping[str, int]) -> Verdict:
    active = set(session.exec(select(Subject.id).where(Subject.state == "active")).all())
    best = _best_scores(store, session, active)
    review, certain = session.exec(
        select(func.min(Enrolment.review_threshold), func.min(Enrolment.certain_threshold)).select_from(Enrolment)
    ).one()
    live = set(session.exec(select(DuplicateCase.id).where(col(DuplicateCase.joined_into).is_(None))).all())
    in_cases: dict[frozenset[str], set[str]] = defaultdict(set)
    for pair in session.exec(select(DuplicatePair)).all():
        if pair.case_id in live:
            in_cases[frozenset((pair.a_subject_id, pair.b_subject_id))].add(pair.case_id)
    reached = {pair for pair, score in best.items() if score >= review + ROUNDING}
    planted = {pair for pair in reached if len({acknowledged.get(subject) for subject in pair}) == 1}
    return Verdict(
        active_subjects=len(active),
        cases=len(live),
        planted_pairs=len(planted),
        acknowledged_lost=len(set(acknowledged) - active),
        planted_missed=len([pair for pair in reached if not in_cases[pair]]),
        pairs_in_two_cases=len([1 for cases in in_cases.values() if len(cases) > 1]) + _members_of_two(in_cases),
        lives_wrong=len([1 for lives in Counter(acknowledged.values()).values() if lives != 1])
        + len(active - set(acknowledged))
        + len([1 for score in best.values() if score >= certain + ROUNDING]),
    )


def _members_of_two(in_cases: Mapping[frozenset[str], set[str]]) -> int:
    memberships = {(subject, case) for pair, cases in in_cases.items() for subject in pair for case in cases}
    return len([1 for cases in Counter(subject for subject, _ in memberships).values() if cases > 1])


def _best_scores(store: Store, session: Session, active: set[str]) -> dict[frozenset[str], float]:
    """The best score of any two samples, for every two active subjects."""
    stored = [
        template
        for template in templates.all_of(
            session, store.keyring, gallery_id=store.gallery_id, model_id=store.gallery(session).model_id or ""
        )
        if template.subject_id in active
    ]
    if not stored:
        return {}
    matrix = np.stack([template.vector for template in stored])
    scores = matrix @ matrix.T
    best: dict[frozenset[str], float] = {}
    for i, j in combinations(range(len(stored)), 2):
        pair = frozenset((stored[i].subject_id, stored[j].subject_id))
        if len(pair) == 2:
            best[pair] = max(best.get(pair, -1.0), float(scores[i, j]))
    return best
