"""The gallery's search beside plain FAISS with one thread, on the same vectors."""

from __future__ import annotations

from collections.abc import Iterator

import faiss
import numpy as np

from backend.faces.engine import Metric
from backend.gallery.flat import FlatIndex
from tests.bench.measure import Benchmark, Setting, compared, seconds

TEMPLATES, DIMENSION, QUERIES = 100_000, 512, 20
THRESHOLD = 0.3


def search(setting: Setting) -> Iterator[Benchmark]:
    rng = np.random.default_rng(7)
    vectors = rng.standard_normal((TEMPLATES, DIMENSION), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries = vectors[rng.integers(0, TEMPLATES, QUERIES)]
    ours, plain = FlatIndex(DIMENSION, Metric.cosine), faiss.IndexFlatIP(DIMENSION)
    ours.add(np.arange(TEMPLATES, dtype=np.int64), vectors)
    plain.add(vectors)
    faiss.omp_set_num_threads(1)

    def mine() -> float:
        return seconds(lambda: [ours.within(query, THRESHOLD) for query in queries]) / QUERIES * 1000

    def peers() -> float:
        return seconds(lambda: [plain.range_search(query[None], THRESHOLD) for query in queries]) / QUERIES * 1000

    yield compared(
        "range search of 100,000 templates (512-d)",
        mine,
        peers,
        unit="ms",
        peer="faiss.IndexFlatIP, one thread",
        aim="≤ 1.2",
        rounds=setting.rounds,
    )
