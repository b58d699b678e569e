"""What a gallery index offers. It is a cache: ids are the ledger's `seq`, and every hit is looked up in SQL before use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from backend.faces.engine import Vector


@dataclass(frozen=True)
class Hits:
    """Parallel arrays, best first. Scores are on the engine's scale, as the index computed them: re-score before you decide."""

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]

    def at_least(self, score: float) -> Hits:
        kept = self.scores >= score
        return Hits(self.ids[kept], self.scores[kept])


@dataclass(frozen=True)
class BlockHits:
    """Parallel arrays: `rows` are places in the block of queries, `ids` what was found for each."""

    rows: NDArray[np.int64]
    ids: NDArray[np.int64]
    scores: NDArray[np.float32]


class IndexChanged(Exception):
    """Memory that changed by itself: nothing of it may be believed."""


class Index(Protocol):
    """Searches may run at once; nothing may be added or removed during one (the replica sees to it)."""

    @property
    def size(self) -> int: ...

    @property
    def checksum(self) -> int:
        """`gallery_log.checksum_of` of all that was added and not removed; kept, not computed."""
        ...

    def ids(self) -> NDArray[np.int64]:
        """All ids that are really in it."""
        ...

    def vectors(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, d), in the order of `ids`; a row of NaN for one that is not in it.

        Raises IndexChanged where one of them is not what was added.
        """
        ...

    def is_sound(self, rows: slice) -> bool:
        """Whether what is stored at these places is what was added: False for memory that changed by itself."""
        ...

    def reserve(self, size: int) -> None:
        """So many templates are to come: take the memory once, instead of growing into twice as much."""
        ...

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """`ids` (n,), new ones; `vectors` (n, d) float32."""
        ...

    def remove(self, ids: NDArray[np.int64]) -> None:
        """One pass over everything for all of them; unknown ids do no harm."""
        ...

    def within(self, query: Vector, least_score: float) -> Hits:
        """Everything that scores `least_score` or better: a top-k would miss the k+1st."""
        ...

    def nearest(self, query: Vector, k: int) -> Hits:
        """The best `k`, or all where there are fewer."""
        ...

    def within_many(self, queries: NDArray[np.float32], least_scores: Sequence[float]) -> list[Hits]:
        """`within` for each of (m, d), in fewer passes over the gallery."""
        ...

    def nearest_many(self, queries: NDArray[np.float32], ks: Sequence[int]) -> list[Hits]:
        """`nearest` for each of (m, d), in fewer passes over the gallery."""
        ...

    def block_within(self, queries: NDArray[np.float32], query_ids: NDArray[np.int64], least_score: float) -> Iterator[BlockHits]:
        """For each of (m, d): everything of a smaller id than its own that scores `least_score` or better, in no order.

        A part of the gallery at a time. Between two parts templates may be removed, and newer ones added: everything that stays
        is compared all the same (some of it twice where others were removed), so blocks that cover the gallery compare every
        two templates. Float32 arithmetic in another order than `within`'s.
        """
        ...
