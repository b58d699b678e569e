"""What one block of a scan finds: some hundred templates against everything older, tile by tile, with exact scores from SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from backend.faces.engine import Metric
from backend.faces.score import scores
from backend.gallery.candidates import MARGIN
from backend.gallery.replica import Replica
from backend.store import templates
from backend.store.database import Store
from backend.store.forest import roots
from backend.store.pairs import FoundPair, band_of, margin_of
from backend.store.templates import StoredTemplate

MOST_PAIRS = 20_000
"""of one block: a threshold that finds more says nothing"""


class TooManyPairs(Exception):
    pass


@dataclass(frozen=True)
class Asked:
    """`certain`: from this score on a pair lies in the band of that name."""

    threshold: float
    certain: float


@dataclass
class _Seen:
    """The best two samples of every two records (ordered), and what each record of the block came near to."""

    best: dict[tuple[str, str], FoundPair] = field(default_factory=dict)
    newer: dict[tuple[str, str], str] = field(default_factory=dict)
    """whose sample is the newer one of the best two"""
    reach: dict[str, dict[str, float]] = field(default_factory=dict)
    """record of the block → older record → best score"""

    def add(self, newer: str, older: str, pair: FoundPair) -> None:
        near = self.reach.setdefault(newer, {})
        near[older] = max(pair.score, near.get(older, pair.score))
        if (known := self.best.get(pair.subject_ids)) is None or pair.score > known.score:
            self.best[pair.subject_ids], self.newer[pair.subject_ids] = pair, newer


class BlockSearch:
    def __init__(self, store: Store, replica: Replica, metric: Metric) -> None:
        self._store, self._replica, self._metric = store, replica, metric

    def pairs(self, new: Sequence[StoredTemplate], asked: Asked, *, between: Callable[[], None]) -> list[FoundPair]:
        """The best two samples of every two records. Every hit is judged, tile by tile, so none is lost for want of room.

        Raises:
            GalleryBehind: this replica's index is in doubt, or was built anew meanwhile.
            TooManyPairs.
            Whatever `between` raises, which is called between two tiles.
        """
        if not new:
            return []
        queries, ids = np.stack([one.vector for one in new]), np.array([one.seq for one in new], dtype=np.int64)
        seen = _Seen()
        for hits in self._replica.block_within(queries, ids, asked.threshold - MARGIN):
            self._judge(new, hits.rows, hits.ids, asked, seen)
            between()
        return self._with_margins(seen, asked.threshold)

    def _judge(
        self,
        new: Sequence[StoredTemplate],
        rows: NDArray[np.int64],
        seqs: NDArray[np.int64],
        asked: Asked,
        seen: _Seen,
    ) -> None:
        for row, old, score in self._scored(new, *self._of_others(new, rows, seqs)):
            if score < asked.threshold:
                continue
            one = new[row]
            pair = FoundPair(
                (one.subject_id, old.subject_id), (one.sample_id, old.sample_id), score, band_of(score, asked.certain)
            ).ordered()
            seen.add(one.subject_id, old.subject_id, pair)
            if len(seen.best) > MOST_PAIRS:
                raise TooManyPairs()

    def _with_margins(self, seen: _Seen, threshold: float) -> list[FoundPair]:
        """To the next person by who is one person now; a merge or its undo before the pairs are written changes no margin."""
        with self._store.read() as session:
            root = roots(session, {record for pair in seen.best for record in pair})
        found = []
        for records, pair in seen.best.items():
            newer = seen.newer[records]
            older = records[0] if records[1] == newer else records[1]
            own, reach = root.get(newer), dict[str, float]()
            for record, score in seen.reach[newer].items():
                person = root.get(record, record)
                if person != own:
                    reach[person] = max(score, reach.get(person, score))
            found.append(replace(pair, margin=margin_of(pair.score, root.get(older, older), reach, threshold=threshold)))
        return found

    def _of_others(
        self, new: Sequence[StoredTemplate], rows: NDArray[np.int64], seqs: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Without the hits between samples of one record, which may be nearly all: nothing of these is opened."""
        with self._store.read() as session:
            owners = templates.owners(session, gallery_id=self._store.gallery_id, seqs=set(seqs.tolist()))
        mine = [new[row].subject_id for row in rows.tolist()]
        others = [owners.get(seq, own) != own for seq, own in zip(seqs.tolist(), mine, strict=True)]
        kept = np.flatnonzero(np.array(others, dtype=np.bool_))
        return rows[kept], seqs[kept]

    def _scored(
        self, new: Sequence[StoredTemplate], rows: NDArray[np.int64], seqs: NDArray[np.int64]
    ) -> Iterator[tuple[int, StoredTemplate, float]]:
        """Of each of `new`, by its row, with all that it came near to; those gone since are left out."""
        with self._store.read() as session:
            found = templates.by_seqs(session, self._store.keyring, gallery_id=self._store.gallery_id, seqs=set(seqs.tolist()))
        old = {template.seq: template for template in found}
        for row in np.unique(rows).tolist():
            near = [old[seq] for seq in seqs[rows == row].tolist() if seq in old]
            if near:
                exact = scores(self._metric, new[row].vector[None], np.stack([template.vector for template in near]))[0]
                yield from ((row, template, score) for template, score in zip(near, exact.tolist(), strict=True))
