"""What speaks for a pair, weighed by today's model, threshold and gallery; and how alike every two members of a case are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

from sqlmodel import Session

from backend import wire
from backend.faces.calibration import Place, expected_fmr, expected_fpir, genuine_below, impostor_above, why_unknown
from backend.faces.engine import ModelCard
from backend.gallery.candidates import best_comparison
from backend.recognition import Thresholds
from backend.review_policy import decisions_are_hidden
from backend.store import distinct, templates
from backend.store.case_view import view
from backend.store.database import Store
from backend.store.due import DUE_TIMES, DueTimes
from backend.store.forest import roots, trees
from backend.store.tables import DuplicateCase, SampleState
from backend.store.templates import StoredTemplate
from backend.wire import CaseState

MOST_MEMBERS = 12
"""of one matrix: 66 comparisons, and as many templates opened as its members have"""

Relation = Literal["pair", "below", "above", "distinct", "merged", "unknown"]


class Evidence:
    def __init__(self, store: Store, card: ModelCard, thresholds: Thresholds, due: DueTimes = DUE_TIMES) -> None:
        self._store, self._card, self._thresholds = store, card, thresholds
        self.due = due

    def view(self, session: Session, case: DuplicateCase) -> wire.Case:
        """As everybody may see it now: what must stay hidden from whoever judges next is not in it."""
        hidden = decisions_are_hidden(CaseState(case.state), case.closed_reason)
        return self._weighed(session, view(self._store, session, case, due=self.due, hide_unapplied=hidden))

    def _weighed(self, session: Session, case: wire.Case) -> wire.Case:
        """With what each of its pairs is worth today; pairs of another model stay as they are."""
        size = self._store.gallery(session).active_templates
        in_force = self._thresholds.at(size)
        return case.model_copy(update={"pairs": [self._today(pair, size, in_force) for pair in case.pairs]})

    def with_matrix(self, session: Session, case: wire.Case) -> wire.Case:
        """With the score of every two of its members, of those in its best pairs where they are many."""
        members = list(dict.fromkeys(side.subject_id for pair in case.pairs for side in (pair.a, pair.b)))
        shown = members[:MOST_MEMBERS]
        return case.model_copy(
            update={"matrix": self._matrix(session, case, shown), "matrix_left_out": len(members) - len(shown)}
        )

    def _today(self, pair: wire.CasePair, size: int, in_force: Thresholds) -> wire.CasePair:
        if pair.model_id != self._card.model_id:
            return pair
        calibration, stray = self._card.calibration, pair.a.subject_id == pair.b.subject_id
        threshold = in_force.verification if stray else in_force.review
        return pair.model_copy(
            update={
                "threshold_now": threshold,
                "still_flagged": (pair.score < threshold) if stray else (pair.score >= threshold),
                "gallery_size_now": size,
                "expected_fpir_now": None if stray else expected_fpir(calibration, threshold, size),
                "expected_fpir_at_score": None if stray else expected_fpir(calibration, pair.score, size),
                "expected_fmr": expected_fmr(calibration, pair.score),
                "expected_fmr_reason": why_unknown(calibration, pair.score),
                "impostor_above": _shown(impostor_above(calibration, pair.score)),
                "genuine_below": _shown(genuine_below(calibration, pair.score)),
            }
        )

    def _matrix(self, session: Session, case: wire.Case, members: Sequence[str]) -> list[wire.MatrixEntry]:
        flagged = {frozenset((pair.a.subject_id, pair.b.subject_id)): pair.score for pair in case.pairs}
        held = self._templates(session, members)
        people = _People(session, self._store.gallery_id, members)
        review = self._thresholds.at(self._store.gallery(session).active_templates).review
        found = []
        for a, b in combinations(members, 2):
            known = flagged.get(frozenset((a, b)))
            score = known if known is not None else self._score(held[a], held[b])
            relation = people.relation(a, b) or ("pair" if known is not None else _by_score(score, review))
            found.append(wire.MatrixEntry(a=a, b=b, score=score, flagged=known is not None, relation=relation))
        return found

    def _templates(self, session: Session, members: Sequence[str]) -> Mapping[str, list[StoredTemplate]]:
        """Of each record what the gallery has of it, by today's model."""
        found: defaultdict[str, list[StoredTemplate]] = defaultdict(list)
        gallery, model_id = self._store.gallery_id, self._card.model_id
        for one in templates.of_subjects(
            session, self._store.keyring, gallery_id=gallery, subject_ids=members, model_id=model_id
        ):
            if one.sample_state == SampleState.active:
                found[one.subject_id].append(one)
        return found

    def _score(self, a: Sequence[StoredTemplate], b: Sequence[StoredTemplate]) -> float | None:
        best = best_comparison(self._card.metric, a, b)
        return None if best is None else best.score


class _People:
    """Who of some records is one person by now, and who was decided to be somebody else."""

    def __init__(self, session: Session, gallery_id: str, members: Sequence[str]) -> None:
        self._root = roots(session, members)
        records: defaultdict[str, set[str]] = defaultdict(set)
        for record, person in trees(session, set(self._root.values())).items():
            records[person].add(record)
        self._differing = {
            person: {self._root[one] for one in members if one in self._root and not records[self._root[one]].isdisjoint(others)}
            for person, own in records.items()
            if (others := distinct.partners(session, gallery_id=gallery_id, records=own))
        }

    def relation(self, a: str, b: str) -> Relation | None:
        one, other = self._root.get(a), self._root.get(b)
        if one is None or other is None:
            return None
        if one == other:
            return "merged"
        return "distinct" if other in self._differing.get(one, ()) else None


def _by_score(score: float | None, review_threshold: float) -> Relation:
    if score is None:
        return "unknown"
    return "above" if score >= review_threshold else "below"


def _shown(place: Place | None) -> wire.DistributionPlace | None:
    if place is None:
        return None
    return wire.DistributionPlace(share=place.share, bound=place.bound, trials=place.trials, source=place.source)
