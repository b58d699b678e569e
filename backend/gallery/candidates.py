"""Which stored templates reach a threshold against new ones: range search in the index, exact scores from SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.faces.engine import Metric
from backend.faces.score import scores
from backend.gallery.replica import Replica
from backend.store import templates
from backend.store.database import Store
from backend.store.sample_erasure import Comparison
from backend.store.templates import StoredTemplate

MARGIN = 1e-3
"""How much a score of the index may be off: it only chooses who is scored exactly.

Most of it is for vectors that come from a snapshot, rounded to half precision (up to 8·10⁻⁴, see `snapshot.LARGEST_NORM`), the
rest for float32 arithmetic. So it holds for exact vectors that search the index, not for two of the index's own with each other.
"""


@dataclass(frozen=True)
class Match:
    """`score` is of the stored float32 vectors, on the engine's scale."""

    new: StoredTemplate
    old: StoredTemplate
    score: float


@dataclass(frozen=True)
class Wanted:
    """Everything that entered the log before `before_seq` and scores `threshold` or better with one of `new`."""

    new: Sequence[StoredTemplate]
    before_seq: int
    threshold: float


def matches(store: Store, replica: Replica, metric: Metric, wanted: Sequence[Wanted]) -> list[list[Match]]:
    """For each of `wanted`, in order; the gallery is passed over once for all of them.

    The caller has waited for the replica. Templates still pending are among the matches; those gone since are not.
    """
    asked = [(one, template) for one in wanted for template in one.new]
    hits = replica.within_each([(template.vector, one.threshold - MARGIN) for one, template in asked])
    near: dict[int, set[int]] = {id(one): set() for one in wanted}
    for (one, _), found in zip(asked, hits, strict=True):
        near[id(one)].update(int(seq) for seq in found.ids if seq < one.before_seq)
    with store.read() as session:
        seqs = set[int]().union(*near.values())
        old = {t.seq: t for t in templates.by_seqs(session, store.keyring, gallery_id=store.gallery_id, seqs=seqs)}
    return [_reaching(metric, one, [old[seq] for seq in sorted(near[id(one)] & old.keys())]) for one in wanted]


def _reaching(metric: Metric, one: Wanted, old: Sequence[StoredTemplate]) -> list[Match]:
    return [match for match in scored(metric, one.new, old) if match.score >= one.threshold]


def best_comparison(metric: Metric, a: Sequence[StoredTemplate], b: Sequence[StoredTemplate]) -> Comparison | None:
    """Of one side's templates with the other's; None where a side is empty."""
    found = max(scored(metric, a, b), key=lambda match: match.score, default=None)
    return None if found is None else Comparison((found.new.sample_id, found.old.sample_id), found.score)


def scored(metric: Metric, new: Sequence[StoredTemplate], old: Sequence[StoredTemplate]) -> list[Match]:
    """Every one of `new` with every one of `old`."""
    if not new or not old:
        return []
    table = scores(metric, np.stack([template.vector for template in new]), np.stack([template.vector for template in old]))
    return [Match(one, other, float(table[i, j])) for i, one in enumerate(new) for j, other in enumerate(old)]
