"""The models that this process has loaded, and which of them judges: the ledger says so, not the settings.

A side is one model with its index and thresholds. Usually there is one. During a change of model there are two, and a replica
is then two in one process: whoever asks is answered by the side in force. What this process knows of that is as of its last look;
whoever would act on it too late is refused at the ledger (`ModelMismatch`, `SearchOutdated`), looks again and does it anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from backend.errors import NotReady, Unavailable
from backend.faces.engine import ModelCard
from backend.gallery.replica import Replica
from backend.recognition import Thresholds
from backend.store.database import Store

Told = Callable[["Side"], None]


@dataclass(frozen=True)
class Side:
    card: ModelCard
    thresholds: Thresholds
    replica: Replica


class Sides:
    def __init__(self, store: Store, sides: Sequence[Side], *, told: Told = lambda _: None) -> None:
        """`sides`: at least one; `told` hears of each that comes into force."""
        self._store = store
        self._by_model = {side.card.model_id: side for side in sides}
        self._first, self._told = sides[0], told
        self._pinned: str | None = sides[0].card.model_id
        self._beside: str | None = None

    @property
    def all(self) -> Sequence[Side]:
        return tuple(self._by_model.values())

    @property
    def beside(self) -> str | None:
        """The other model of an open change of model, of which templates are kept too."""
        return self._beside

    def of(self, model_id: str | None) -> Side | None:
        return self._by_model.get(model_id or "")

    def shown(self) -> Side:
        """The side in force, or another one where that is not loaded: for those who tell what this replica is."""
        return self.of(self._pinned) or self._first

    def in_force(self) -> Side:
        """As of the last look. Raises NotReady where this replica has not loaded it."""
        side = self.of(self._pinned)
        if side is None and self._pinned is not None:
            raise NotReady(not_loaded(self._pinned, [one.card.model_id for one in self.all]))
        return side or self._first

    def look(self) -> None:
        """Ask the ledger. Raises DatabaseAway."""
        with self._store.read() as session:
            gallery = self._store.gallery(session)
        before, self._pinned, self._beside = self._pinned, gallery.model_id, gallery.other_model_id
        if self._pinned != before and (side := self.of(self._pinned)) is not None:
            self._told(side)

    def keep_looking(self) -> None:
        """The background job of every replica. That the database is away is told by others, and less often."""
        with suppress(Unavailable):
            self.look()


def not_loaded(pinned: str, loaded: Sequence[str]) -> str:
    return (
        f"The gallery is pinned to {pinned}, this replica runs {' and '.join(loaded)}: name its pack in BACKEND_MODEL_PACK or"
        " BACKEND_NEXT_MODEL_PACK, and its engine in BACKEND_ENGINE or BACKEND_NEXT_ENGINE"
    )
