"""The exact index: FAISS flat with ids of our own. It deletes, needs no training, misses nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from backend.faces.engine import Metric, Vector
from backend.gallery import together
from backend.gallery.index import BlockHits, Hits, IndexChanged
from backend.store.gallery_log import checksum_of

TOGETHER_FROM = 4
"""From so many queries on, one pass over the gallery for all of them beats a pass for each."""
TILE = 4_096
"""templates compared with a block at once: 512 × 4,096 float32 scores are 8 MiB, and nobody waits for long"""
GROWTH = 1.5
Places = slice | NDArray[np.intp]


class FlatIndex:
    """Cosine engines: inner product of unit vectors. L2 engines: FAISS gives squared distances, the score is 1 − distance."""

    def __init__(self, dimension: int, metric: Metric) -> None:
        self._metric = metric
        self._dimension = dimension
        self._index = faiss.IndexFlatIP(dimension) if metric is Metric.cosine else faiss.IndexFlatL2(dimension)
        self._ids = np.empty(0, dtype=np.int64)
        self._digests = np.empty(0, dtype=np.uint64)
        self._checksum = 0

    @property
    def size(self) -> int:
        return int(self._index.ntotal)

    @property
    def checksum(self) -> int:
        return self._checksum

    def ids(self) -> NDArray[np.int64]:
        return self._ids[: self.size].copy()

    def vectors(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        found = np.full((len(ids), self._dimension), np.nan, dtype=np.float32)
        there, places = self._places(ids)
        found[there] = self._stored()[places]
        if not np.array_equal(_digests_of(ids[there], found[there]), self._digests[places]):
            raise IndexChanged()
        return found

    def _places(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which of `ids` are in it, and where those lie. Those that are asked for as they lie need no search for each."""
        mine = self._ids[: self.size]
        first = np.flatnonzero(mine == ids[0]) if len(ids) else np.empty(0, dtype=np.int64)
        if len(first) and np.array_equal(mine[first[0] : first[0] + len(ids)], ids):
            return np.ones(len(ids), dtype=np.bool_), np.arange(first[0], first[0] + len(ids))
        there = np.isin(ids, mine)
        order = np.argsort(mine)
        return there, order[np.searchsorted(mine, ids[there], sorter=order)]

    # --- changes --------------------------------------------------------------------------------------------------

    def reserve(self, size: int) -> None:
        if size <= self.size:
            return
        self._index.codes.resize(size * self._index.code_size)
        self._index.codes.resize(self.size * self._index.code_size)  # the memory stays
        self._ids, self._digests = (_grown(array, self.size, size) for array in (self._ids, self._digests))

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        if not len(ids):
            return
        before, after = self.size, self.size + len(ids)
        if after > len(self._ids):
            self._ids, self._digests = (_grown(array, before, int(after * GROWTH)) for array in (self._ids, self._digests))
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self._ids[before:after], self._digests[before:after] = ids, _digests_of(ids, vectors)
        self._index.add(vectors)
        self._checksum ^= checksum_of(np.asarray(ids, dtype=np.int64))

    def remove(self, ids: NDArray[np.int64]) -> None:
        """The last ones move into the gaps, and what they leave is overwritten: no vector that left stays in memory."""
        before = self.size
        going = np.isin(self._ids[:before], ids)
        if not going.any():
            return
        self._checksum ^= checksum_of(self._ids[:before][going])
        after = before - int(going.sum())
        gaps, movers = np.flatnonzero(going[:after]), np.flatnonzero(~going[after:]) + after
        stored = self._stored()
        stored[gaps], self._ids[gaps], self._digests[gaps] = stored[movers], self._ids[movers], self._digests[movers]
        stored[after:] = 0
        self._index.remove_ids(faiss.IDSelectorRange(after, before))

    # --- searches -------------------------------------------------------------------------------------------------

    def within(self, query: Vector, least_score: float) -> Hits:
        faiss.omp_set_num_threads(1)  # of the calling thread: passes of several requests run side by side
        _, raw, places = self._index.range_search(_row(query), self._radius(least_score))
        return self._named(together.best_first(places, self._scores(raw)))

    def nearest(self, query: Vector, k: int) -> Hits:
        faiss.omp_set_num_threads(1)
        (raw,), (places,) = self._index.search(_row(query), max(1, min(k, self.size)))
        there = places >= 0  # a miss comes back as -1
        return self._named(together.best_first(places[there], self._scores(raw[there])))

    def within_many(self, queries: NDArray[np.float32], least_scores: Sequence[float]) -> list[Hits]:
        if len(queries) < TOGETHER_FROM:
            return [self.within(query, least) for query, least in zip(queries, least_scores, strict=True)]
        return together.within(self._tiles(queries), np.asarray(least_scores, dtype=np.float32))

    def nearest_many(self, queries: NDArray[np.float32], ks: Sequence[int]) -> list[Hits]:
        if len(queries) < TOGETHER_FROM:
            return [self.nearest(query, k) for query, k in zip(queries, ks, strict=True)]
        return together.nearest(self._tiles(queries), ks)

    def _tiles(self, queries: NDArray[np.float32]) -> Iterator[together.Tile]:
        return together.tiles(self._ids[: self.size], self._stored(), queries, self._metric)

    def block_within(self, queries: NDArray[np.float32], query_ids: NDArray[np.int64], least_score: float) -> Iterator[BlockHits]:
        columns, table = np.ascontiguousarray(queries.T), np.empty((TILE, len(queries)), dtype=np.float32)
        newest, done = query_ids.max(initial=-1), 0
        compared = np.empty(self.size, dtype=np.int64)  # the id at each place, when it was compared; what is added later is newer
        while True:
            there = min(done, self.size)
            moved = np.flatnonzero(self._ids[:there] != compared[:there])  # into gaps, by a removal since then
            places: Places = moved[:TILE] if len(moved) else slice(done, min(done + TILE, self.size, len(compared)))
            ids = self._ids[places].copy()
            if not len(ids):
                return
            compared[places] = ids
            done = done if len(moved) else done + len(ids)
            if ids.min() < newest:
                scores = self._table(self._stored()[places], queries, columns, table[: len(ids)])
                yield _earlier(scores, ids, query_ids, least_score)

    def _table(
        self, tile: NDArray[np.float32], queries: NDArray[np.float32], columns: NDArray[np.float32], out: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Scores (n, m), in memory that is used again: new pages for each tile cost half as much as the product."""
        product = np.matmul(tile, columns, out=out)
        return product if self._metric is Metric.cosine else together.distance_scores(tile, queries, product)

    # --- what is stored -------------------------------------------------------------------------------------------

    def is_sound(self, rows: slice) -> bool:
        mine = slice(*rows.indices(self.size))
        return bool(np.array_equal(_digests_of(self._ids[mine], self._stored()[mine]), self._digests[mine]))

    def _stored(self) -> NDArray[np.float32]:
        """(n, d), the index's own memory: to be let go before the next `add`, which may move it."""
        if not self.size:
            return np.empty((0, self._dimension), dtype=np.float32)
        flat: NDArray[np.float32] = faiss.rev_swig_ptr(self._index.get_xb(), self.size * self._dimension)
        return flat.reshape(self.size, self._dimension)

    def _radius(self, least_score: float) -> float:
        return least_score if self._metric is Metric.cosine else max(0.0, 1.0 - least_score) ** 2

    def _scores(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        scores = raw if self._metric is Metric.cosine else 1.0 - np.sqrt(np.maximum(raw, 0.0))
        return scores.astype(np.float32)

    def _named(self, hits: Hits) -> Hits:
        """By id instead of by place."""
        return Hits(ids=self._ids[hits.ids], scores=hits.scores)


def _earlier(table: NDArray[np.float32], ids: NDArray[np.int64], query_ids: NDArray[np.int64], least_score: float) -> BlockHits:
    """Of the scores (n, m) those that reach the least one, of older templates alone; most templates reach none."""
    near = np.flatnonzero(table.max(axis=1) >= least_score)
    place, row = np.nonzero(table[near] >= least_score)
    place = near[place]
    earlier = ids[place] < query_ids[row]
    place, row = place[earlier], row[earlier]
    return BlockHits(row, ids[place], table[place, row])


def _row(query: Vector) -> NDArray[np.float32]:
    return np.ascontiguousarray(query, dtype=np.float32).reshape(1, -1)


def _grown(array: NDArray[Any], used: int, size: int) -> NDArray[Any]:
    return np.concatenate([array[:used], np.empty(size - used, dtype=array.dtype)])


def _digests_of(ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> NDArray[np.uint64]:
    """(n,): 64 bits of each id with its vector. Against accidents, not against somebody who wants it so."""
    stored = np.ascontiguousarray(vectors)
    words = stored.view(np.uint64) if stored.shape[1] % 2 == 0 else stored.view(np.uint32).astype(np.uint64)
    with np.errstate(over="ignore"):
        rows = np.einsum("ij,j->i", words, _multipliers(words.shape[1]))
        digests: NDArray[np.uint64] = (rows ^ (rows >> np.uint64(29))) + _MIX * ids.astype(np.uint64)
    return digests


_MIX = np.uint64(0x9E3779B97F4A7C15)


def _multipliers(words: int) -> NDArray[np.uint64]:
    """Odd and different for every word, so that no two of them can be exchanged unseen."""
    with np.errstate(over="ignore"):
        odd: NDArray[np.uint64] = (np.arange(1, words + 1, dtype=np.uint64) * _MIX) | np.uint64(1)
    return odd
