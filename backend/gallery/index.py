"""What a gallery index offers. It is a cache: ids are the ledger's `seq`, and every hit is looked up in SQL before use."""

from __future__ import annotations

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


class Index(Protocol):
    """Searches may run at once; nothing may be added or removed during one (the replica sees to it)."""

    @property
    def size(self) -> int: ...

    def ids(self) -> NDArray[np.int64]:
        """All ids that are really in it."""
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
