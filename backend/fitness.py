"""Whether this replica can do the work that any of them may do: who cannot must leave it to the others, not hold its lease."""

from __future__ import annotations

from collections.abc import Callable

from backend.errors import GalleryBehind, NotReady, SeqUnknown
from backend.gallery.replica import Replica
from backend.store.database import Store


class Fitness:
    def __init__(self, store: Store, replica: Callable[[], Replica]) -> None:
        """`replica`: the one in force, where there are two; it may raise NotReady."""
        self._store, self._replica = store, replica

    def trouble(self, *, reaching: int = 0) -> str | None:
        """What stands in the way, as /ready says it: schema, key, model, room, or a gallery in doubt, or not yet at `reaching`.

        Looks once and waits for nobody. Raises DatabaseAway.
        """
        schema = self._store.schema_state()
        if not schema.ok:
            return schema.sentence
        try:
            self._replica().wait_for(reaching, timeout_s=0.0)
        except (GalleryBehind, NotReady, SeqUnknown) as error:
            return error.detail
        return None


def where_schema_fits(store: Store, do: Callable[[], object]) -> Callable[[], None]:
    """For work that needs no gallery: on a schema that it does not know a program would, for one, erase only half of somebody."""

    def work() -> None:
        if store.schema_state().ok:
            do()

    return work
