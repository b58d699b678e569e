"""What a change of model changes: pairs of which something is known, as both models judge them. Scores stay here, ids go out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sqlmodel import Session, col, select

from backend.faces.engine import ModelCard
from backend.gallery.candidates import best_comparison
from backend.recognition import Thresholds
from backend.store import distinct, templates
from backend.store.database import Store
from backend.store.forest import roots, trees
from backend.store.tables import CaseKind, DuplicatePair, PairState, SampleState
from backend.store.templates import StoredTemplate

PAGE = 200
Known = Literal["same", "different", "open"]
Judged = Literal["both", "old_only", "new_only", "neither", "not_comparable"]


@dataclass(frozen=True)
class Judge:
    """A model with its thresholds."""

    card: ModelCard
    thresholds: Thresholds


@dataclass(frozen=True)
class Report:
    """`table`: what reviewers said of a pair → by which models it is flagged → how many. `changed`: those judged differently."""

    old_model_id: str
    new_model_id: str
    old_threshold: float
    new_threshold: float
    table: Mapping[Known, Mapping[Judged, int]]
    changed: Sequence[tuple[str, Known, Judged]] = field(default_factory=tuple)

    @property
    def agreement(self) -> float | None:
        """Share of the pairs that both models judge alike, of those that both can judge; None where there are none."""
        counts = Counter[Judged]()
        for row in self.table.values():
            counts.update(row)
        comparable = sum(count for judged, count in counts.items() if judged != "not_comparable")
        return None if comparable == 0 else (counts["both"] + counts["neither"]) / comparable

    def document(self) -> dict[str, object]:
        return {
            "old_model": self.old_model_id,
            "new_model": self.new_model_id,
            "old_threshold": self.old_threshold,
            "new_threshold": self.new_threshold,
            "agreement": self.agreement,
            "pairs": {known: dict(row) for known, row in self.table.items()},
            "changed": [{"pair": pair, "known": known, "flagged_by": judged} for pair, known, judged in self.changed],
        }


def compare(store: Store, old: Judge, new: Judge) -> Report:
    """Every pair of two records that was ever put before reviewers, or kept aside, and whose evidence is still there."""
    with store.read() as session:
        size = store.gallery(session).active_templates
    limits = old.thresholds.at(size).review, new.thresholds.at(size).review
    table: dict[Known, Counter[Judged]] = {"same": Counter(), "different": Counter(), "open": Counter()}
    changed: list[tuple[str, Known, Judged]] = []
    after = ""
    while True:
        with store.read() as session:
            pairs = _page(store, session, after)
            judged = _judged(store, session, pairs, (old, new), limits)
        if not pairs:
            break
        after = pairs[-1].id
        for pair, (known, by) in zip(pairs, judged, strict=True):
            table[known][by] += 1
            if by in ("old_only", "new_only"):
                changed.append((pair.id, known, by))
    return Report(old.card.model_id, new.card.model_id, *limits, table, changed)


def _page(store: Store, session: Session, after: str) -> Sequence[DuplicatePair]:
    query = select(DuplicatePair).where(
        DuplicatePair.gallery_id == store.gallery_id,
        DuplicatePair.kind == CaseKind.duplicate,
        DuplicatePair.state != PairState.closed,
        DuplicatePair.id > after,
    )
    return session.exec(query.order_by(col(DuplicatePair.id)).limit(PAGE)).all()


def _judged(
    store: Store, session: Session, pairs: Sequence[DuplicatePair], judges: tuple[Judge, Judge], limits: tuple[float, float]
) -> list[tuple[Known, Judged]]:
    records = sorted({record for pair in pairs for record in (pair.a_subject_id, pair.b_subject_id)})
    known = _Known(store, session, records)
    held = [_templates(store, session, records, judge.card.model_id) for judge in judges]
    found: list[tuple[Known, Judged]] = []
    for pair in pairs:
        flags = [
            _flagged(judge, limit, of.get(pair.a_subject_id, ()), of.get(pair.b_subject_id, ()))
            for judge, limit, of in zip(judges, limits, held, strict=True)
        ]
        found.append((known.of(pair), _by(*flags)))
    return found


def _templates(store: Store, session: Session, records: Sequence[str], model_id: str) -> Mapping[str, Sequence[StoredTemplate]]:
    found: defaultdict[str, list[StoredTemplate]] = defaultdict(list)
    for one in templates.of_subjects(session, store.keyring, gallery_id=store.gallery_id, subject_ids=records, model_id=model_id):
        if one.sample_state == SampleState.active:
            found[one.subject_id].append(one)
    return found


def _flagged(judge: Judge, limit: float, a: Sequence[StoredTemplate], b: Sequence[StoredTemplate]) -> bool | None:
    best = best_comparison(judge.card.metric, a, b)
    return None if best is None else best.score >= limit


def _by(old: bool | None, new: bool | None) -> Judged:
    if old is None or new is None:
        return "not_comparable"
    if old and new:
        return "both"
    return "old_only" if old else "new_only" if new else "neither"


class _Known:
    """What is decided of two records, by whatever was decided of those merged with them."""

    def __init__(self, store: Store, session: Session, records: Sequence[str]) -> None:
        self._root = roots(session, records)
        owner = trees(session, set(self._root.values()))
        by_person: defaultdict[str, set[str]] = defaultdict(set)
        for record, person in owner.items():
            by_person[person].add(record)
        self._differs = {
            person: {owner[other] for other in others if other in owner}
            for person, own in by_person.items()
            if (others := distinct.partners(session, gallery_id=store.gallery_id, records=own))
        }

    def of(self, pair: DuplicatePair) -> Known:
        a, b = self._root.get(pair.a_subject_id), self._root.get(pair.b_subject_id)
        if a == b:
            return "same"
        return "different" if b in self._differs.get(a or "", ()) else "open"
