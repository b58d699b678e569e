"""The exact index: FAISS flat with ids. It deletes, needs no training, misses nothing."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from backend.faces.engine import Metric, Vector
from backend.gallery.index import Hits


class FlatIndex:
    """Cosine engines: inner product of unit vectors. L2 engines: FAISS gives squared distances, the score is 1 − distance."""

    def __init__(self, dimension: int, metric: Metric) -> None:
        self._metric = metric
        flat = faiss.IndexFlatIP(dimension) if metric is Metric.cosine else faiss.IndexFlatL2(dimension)
        self._index = faiss.IndexIDMap2(flat)

    @property
    def size(self) -> int:
        return int(self._index.ntotal)

    def ids(self) -> NDArray[np.int64]:
        return faiss.vector_to_array(self._index.id_map).astype(np.int64)

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        if len(ids):
            self._index.add_with_ids(np.ascontiguousarray(vectors, dtype=np.float32), np.ascontiguousarray(ids, dtype=np.int64))

    def remove(self, ids: NDArray[np.int64]) -> None:
        if len(ids):
            self._index.remove_ids(faiss.IDSelectorBatch(np.ascontiguousarray(ids, dtype=np.int64)))

    def within(self, query: Vector, least_score: float) -> Hits:
        radius = least_score if self._metric is Metric.cosine else max(0.0, 1.0 - least_score) ** 2
        _one_thread()
        _, raw, ids = self._index.range_search(_row(query), float(radius))
        return self._best_first(ids, raw)

    def nearest(self, query: Vector, k: int) -> Hits:
        _one_thread()
        raw, ids = self._index.search(_row(query), max(1, min(k, self.size)))
        found = ids[0] >= 0  # a miss comes back as id -1
        return self._best_first(ids[0][found], raw[0][found])

    def _best_first(self, ids: NDArray[np.int64], raw: NDArray[np.float32]) -> Hits:
        scores = raw if self._metric is Metric.cosine else 1.0 - np.sqrt(np.maximum(raw, 0.0))
        order = np.argsort(-scores, kind="stable")
        return Hits(ids=ids[order].astype(np.int64), scores=scores[order].astype(np.float32))


def _row(query: Vector) -> NDArray[np.float32]:
    return np.ascontiguousarray(query, dtype=np.float32).reshape(1, -1)


def _one_thread() -> None:
    """The setting belongs to the calling thread. Requests run side by side: more threads for each make all of them slower."""
    faiss.omp_set_num_threads(1)
