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


def matches(
    store: Store, replica: Replica, metric: Metric, new: Sequence[StoredTemplate], *, before_seq: int, threshold: float
) -> list[Match]:
    """Every template that entered the log before `before_seq` and scores `threshold` or better with one of `new`.

    The caller has waited for the replica. Those still pending are among them; those gone since are not.
    """
    seqs: set[int] = set()
    for template in new:
        hits = replica.within(template.vector, threshold - MARGIN)
        seqs.update(int(seq) for seq in hits.ids if seq < before_seq)
    with store.read() as session:
        old = templates.by_seqs(session, store.keyring, gallery_id=store.gallery_id, seqs=seqs)
    return [match for match in scored(metric, new, old) if match.score >= threshold]


def scored(metric: Metric, new: Sequence[StoredTemplate], old: Sequence[StoredTemplate]) -> list[Match]:
    """Every one of `new` with every one of `old`."""
    if not new or not old:
        return []
    table = scores(metric, np.stack([template.vector for template in new]), np.stack([template.vector for template in old]))
    return [Match(one, other, float(table[i, j])) for i, one in enumerate(new) for j, other in enumerate(old)]
