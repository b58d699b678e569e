"""One pass over all templates for several queries at once, on all cores.

A pass for one query waits for memory, so that a few more queries in it cost little. The matrix product is ONNX Runtime's: it
reads the templates where they lie, while OpenBLAS (numpy's and FAISS's) first copies each of them into an order of its own,
which for so few columns takes as long as the product.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from backend.faces.cores import usable_cores
from backend.faces.engine import Metric
from backend.gallery.index import Hits

TILE = 16_384
"""templates at a time: with 16 queries 1 MiB of scores"""
Tile = tuple[NDArray[np.int64], NDArray[np.float32]]
"""ids (n,) of its templates, and scores (n, m) of them for m queries"""


def tiles(ids: NDArray[np.int64], stored: NDArray[np.float32], queries: NDArray[np.float32], metric: Metric) -> Iterator[Tile]:
    """`ids` (n,), `stored` (n, d) and `queries` (m, d), contiguous; all of `stored`, in its order."""
    columns = np.ascontiguousarray(queries.T)
    for start in range(0, len(stored), TILE):
        tile = stored[start : start + TILE]
        product: NDArray[np.float32] = _session().run(None, {"templates": tile, "queries": columns})[0]
        yield ids[start : start + TILE], product if metric is Metric.cosine else distance_scores(tile, queries, product)


def within(tiles: Iterable[Tile], least: NDArray[np.float32]) -> list[Hits]:
    """For each query everything that scores `least[query]` or better."""
    bound = least[0] if np.all(least == least[0]) else least  # with a single number numpy compares several times as fast
    found, queries, scores = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    for ids, table in tiles:
        place, query = _where(table >= bound)
        if len(place):
            found.append(ids[place])
            queries.append(query)
            scores.append(table[place, query])
    return _of_each(len(least), np.concatenate(queries), np.concatenate(found), np.concatenate(scores))


def nearest(tiles: Iterable[Tile], ks: Sequence[int]) -> list[Hits]:
    """For each query the best `ks[query]`, or all where there are fewer."""
    best = [Hits(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in ks]
    least = np.full(len(ks), -np.inf, dtype=np.float32)
    for ids, table in tiles:
        for one, k in enumerate(ks):
            if len(best[one].ids) < k:
                least[one] = _just_below_best(table[:, one], k)
        place, query = _where(table > least)
        for one in np.unique(query):
            mine = place[query == one]
            best[one] = _best(best[one], Hits(ids[mine], table[mine, one]), ks[one])
            if len(best[one].ids) == ks[one]:
                least[one] = best[one].scores[-1]
    return best


def _just_below_best(scores: NDArray[np.float32], k: int) -> float:
    """Under the k-th best of these, so that no more than needed is put in order; −∞ where there are not so many."""
    if len(scores) <= k:
        return -np.inf
    kth = -np.partition(-scores, k - 1)[k - 1]  # negative, as numpy takes a NaN for the largest
    return -np.inf if np.isnan(kth) else float(np.nextafter(kth, np.float32(-np.inf)))


def _where(reached: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`np.nonzero` of a table (n, m), which looks at every element by itself where `flatnonzero` skips what has none."""
    place, query = np.divmod(np.flatnonzero(reached), reached.shape[1])
    return place, query


def _of_each(count: int, of: NDArray[np.int64], ids: NDArray[np.int64], scores: NDArray[np.float32]) -> list[Hits]:
    """`of[i]`: whose hit the i-th is; sorted once for all queries, as most have few hits or none."""
    order = np.lexsort((-scores, of))
    ids, scores = ids[order], scores[order]
    ends = np.cumsum(np.bincount(of, minlength=count)).tolist()
    return [Hits(ids[start:end], scores[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


def best_first(ids: NDArray[np.int64], scores: NDArray[np.float32]) -> Hits:
    order = np.argsort(-scores, kind="stable")
    return Hits(ids[order], scores[order])


def _best(one: Hits, other: Hits, k: int) -> Hits:
    ids, scores = np.concatenate([one.ids, other.ids]), np.concatenate([one.scores, other.scores])
    if len(scores) > k:
        kept = np.sort(np.argpartition(-scores, k - 1)[:k])
        ids, scores = ids[kept], scores[kept]
    return best_first(ids, scores)


def distance_scores(tile: NDArray[np.float32], queries: NDArray[np.float32], product: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 − distance, from |t − q|² = |t|² + |q|² − 2 t·q."""
    squared = np.einsum("ij,ij->i", tile, tile)[:, None] + np.einsum("ij,ij->i", queries, queries)[None, :] - 2 * product
    scores: NDArray[np.float32] = 1.0 - np.sqrt(np.maximum(squared, 0.0))
    return scores


@cache
def _session() -> onnxruntime.InferenceSession:
    """`scores (n, m) = templates (n, d) · queries (d, m)`, on all cores: one pass runs at a time."""
    shapes = {"templates": ["n", "d"], "queries": ["d", "m"], "scores": ["n", "m"]}
    values = {name: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["templates", "queries"], ["scores"])],
        "product", [values["templates"], values["queries"]], [values["scores"]],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = usable_cores(), 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
