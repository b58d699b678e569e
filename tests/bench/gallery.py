"""The gallery's search beside plain FAISS on the same vectors: alone, sixteen at once, and every two of the gallery."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import psutil
from numpy.typing import NDArray

from backend.faces.cores import usable_cores
from backend.faces.engine import Metric, ModelCard
from backend.gallery.flat import FlatIndex
from backend.gallery.follow import Position
from backend.gallery.replica import Replica
from backend.store.database import Store
from backend.store.keyring import Keyring
from tests.bench.measure import Benchmark, Setting, compared, seconds

DIMENSION = 512
SIZES, FEWER = (10_000, 100_000, 1_000_000), (10_000, 100_000)
CLIENTS, SEARCHED = 16, 4_000_000
"""Clients at once, and templates that each of them passes over in a round: enough that starting its thread does not count."""
LEAST_EACH, MOST_EACH = 3, 100
BLOCK, SCANNED = 512, 100_000
THRESHOLD = 0.3
AT_ONCE = 100_000


def search(setting: Setting) -> Iterator[Benchmark]:
    faiss.omp_set_num_threads(1)
    for n in FEWER if setting.quick else SIZES:
        before = psutil.Process().memory_info().rss
        ours = FlatIndex(DIMENSION, Metric.cosine)
        ours.reserve(n)
        for start in range(0, n, AT_ONCE):
            vectors = made(min(AT_ONCE, n - start), seed=start)
            ours.add(np.arange(start, start + len(vectors), dtype=np.int64), vectors)
        del vectors  # no part of a gallery
        grown = psutil.Process().memory_info().rss - before
        plain = _view_of(ours)
        yield _alone(setting, ours, plain, n)
        yield _at_once(setting, ours, plain, n)
        if n >= SCANNED:
            yield _memory(grown, n)
        if n == SCANNED:
            yield _scan(setting, ours)
        del ours, plain


def made(n: int, *, seed: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((n, DIMENSION), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _view_of(ours: FlatIndex) -> faiss.IndexFlatIP:
    """FAISS itself, on the very same memory: no second copy of a gallery of two gigabytes."""
    return ours._index


def replica_of(index: FlatIndex) -> Replica:
    """A replica that holds this index and follows nothing: the whole path of a search, without a ledger."""
    card = ModelCard("bench", "bench", "none", DIMENSION, Metric.cosine, "none", 0.5, 0.6, 0.9, None)
    replica = Replica(Store.open("sqlite:////nonexistent/bench.db", keyring=Keyring(bytes(32))), card)
    replica._position, replica._problem = Position(index, epoch="bench"), None
    return replica


def _alone(setting: Setting, ours: FlatIndex, plain: faiss.IndexFlatIP, n: int) -> Benchmark:
    queries, replica = made(8 if n > SCANNED else 20, seed=7), replica_of(ours)

    def mine() -> float:
        return seconds(lambda: [replica.within(query, THRESHOLD) for query in queries]) / len(queries) * 1000

    def peers() -> float:
        faiss.omp_set_num_threads(1)
        return seconds(lambda: [plain.range_search(query[None], THRESHOLD) for query in queries]) / len(queries) * 1000

    return compared(
        f"range search of {n:,} templates (512-d), alone", mine, peers,
        unit="ms", peer="faiss.IndexFlatIP, one thread", aim="≤ 1.2", rounds=setting.rounds,
    )  # fmt: skip


def _at_once(setting: Setting, ours: FlatIndex, plain: faiss.IndexFlatIP, n: int) -> Benchmark:
    """The peer is FAISS as a service would call it: each request searches for itself, in its own thread, with one thread each."""
    replica = replica_of(ours)
    queries, each = made(CLIENTS, seed=9), max(LEAST_EACH, min(MOST_EACH, SEARCHED // n))

    def by_itself(query: NDArray[np.float32]) -> None:
        faiss.omp_set_num_threads(1)
        plain.range_search(query[None], THRESHOLD)

    def rate(ask: object) -> float:
        def client(query: NDArray[np.float32]) -> None:
            for _ in range(each):
                ask(query)  # type: ignore[operator]

        with ThreadPoolExecutor(CLIENTS) as pool:
            return CLIENTS * each / seconds(lambda: list(pool.map(client, queries)))

    def shared(query: NDArray[np.float32]) -> None:
        replica.within(query, THRESHOLD)

    return compared(
        f"range searches of {n:,} templates by {CLIENTS} clients at once", lambda: rate(shared), lambda: rate(by_itself),
        unit="searches/s", peer=f"each its own faiss search, on {usable_cores()} cores", aim="≥ 3", rounds=setting.rounds,
    )  # fmt: skip


def _memory(grown: int, n: int) -> Benchmark:
    """Of the process, when the index was filled: once, so without a spread."""
    return compared(
        f"memory for each of {n:,} templates (512-d)", lambda: grown / n, lambda: float(4 * DIMENSION),
        unit="bytes", peer="the float32 vector by itself", aim="–", rounds=1,
    )  # fmt: skip


def _scan(setting: Setting, ours: FlatIndex) -> Benchmark:
    """A block in the middle of a whole-gallery scan, ids checked and hits taken out, beside the matrix products alone."""
    queries, ids = made(BLOCK, seed=11), np.full(BLOCK, SCANNED, dtype=np.int64)
    stored, operations = ours._stored(), 2 * BLOCK * SCANNED * DIMENSION / 1e9

    def products() -> None:
        for start in range(0, SCANNED, 16_384):
            queries @ stored[start : start + 16_384].T

    return compared(
        f"a scan's block of {BLOCK} against {SCANNED:,} templates",
        lambda: operations / seconds(lambda: list(ours.block_within(queries, ids, THRESHOLD))),
        lambda: operations / seconds(products),
        unit="GFLOP/s", peer="sgemm alone", aim="≥ 0.6", rounds=setting.rounds,
    )  # fmt: skip
