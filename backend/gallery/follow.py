"""How an index is brought from one place in the log to another, and how it is built anew. Reads SQL, opens vectors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from backend.errors import GalleryBehind
from backend.faces.engine import ModelCard
from backend.gallery.flat import FlatIndex
from backend.gallery.gate import Gate
from backend.gallery.index import Index
from backend.gallery.memory import Room
from backend.store import gallery_log, templates
from backend.store.database import Store
from backend.store.tables import Change, GalleryChange
from backend.store.templates import StoredTemplate

BATCH = 2_000
_AFTER = (
    select(GalleryChange)
    .where(GalleryChange.gallery_id == bindparam("gallery_id"), col(GalleryChange.seq) > bindparam("after"))
    .order_by(col(GalleryChange.seq))
    .limit(BATCH)
)


class GalleryDisagrees(Exception):
    """The index is not what the log says it should be: build it anew."""


@dataclass
class Position:
    """An index and how far it has followed. `ghosts` are add rows whose template is gone and whose remove row is yet to come."""

    index: Index
    epoch: str
    seq: int = 0
    ghosts: set[int] = field(default_factory=set)

    def count_and_checksum(self) -> tuple[int, int]:
        """What the log's running count and checksum must be here."""
        return self.index.size + len(self.ghosts), self.index.checksum ^ gallery_log.checksum_of(_ids(self.ghosts))

    def compare(self, row: GalleryChange) -> None:
        if self.count_and_checksum() != (row.count, row.checksum):
            raise GalleryDisagrees()


@dataclass(frozen=True)
class Batch:
    """Some rows of the log with the templates that they add, read in one snapshot."""

    rows: list[GalleryChange]
    added: list[StoredTemplate]
    gone: set[int]
    removed: set[int]

    @property
    def last(self) -> GalleryChange:
        return self.rows[-1]


def read_batch(store: Store, session: Session, *, after: int) -> Batch | None:
    """The next rows of the log; None at its end."""
    rows = list(session.exec(_AFTER, params={"gallery_id": store.gallery_id, "after": after}))
    if not rows:
        return None
    adds = {row.seq for row in rows if row.kind == Change.add and row.seq is not None}
    removed = {row.add_seq for row in rows if row.kind == Change.remove and row.add_seq is not None}
    added = templates.by_seqs(session, store.keyring, gallery_id=store.gallery_id, seqs=adds - removed)
    return Batch(rows=rows, added=added, gone=adds - removed - {template.seq for template in added}, removed=removed - adds)


def apply(position: Position, batch: Batch, *, gate: Gate, room: Room) -> None:
    """Raises GalleryDisagrees where the result is not what the batch's last row states, GalleryTooLarge where it does not fit."""
    room.refuse(batch.last.count)
    with gate.change():
        position.index.remove(_ids(batch.removed - position.ghosts))
        position.index.add(*_stacked(batch.added))
        position.ghosts = (position.ghosts - batch.removed) | batch.gone
        position.compare(batch.last)  # before anybody may search it as being at this seq
        position.seq = batch.last.seq or 0


def rebuild(store: Store, card: ModelCard, room: Room, *, stopping: threading.Event | None = None) -> Position:
    """A new index beside the old one, from the templates themselves, in one snapshot.

    Raises:
        GalleryBehind: `stopping` was set meanwhile.
        GalleryDisagrees: templates and log disagree in the database itself.
        GalleryTooLarge: it does not fit into the memory that the plan allows.
    """
    index = FlatIndex(card.dimension, card.metric)
    with store.snapshot() as session:
        epoch = store.gallery(session).epoch
        head = gallery_log.head(session, store.gallery_id)
        if head is None:
            return Position(index, epoch)
        room.refuse(head.count)
        index.reserve(head.count)
        live = live_seqs(session, store.gallery_id)
        with closing(templates.all_of(session, store.keyring, gallery_id=store.gallery_id)) as stored:
            for some in _some(stored, lambda template: template.seq in live):
                if stopping is not None and stopping.is_set():
                    raise GalleryBehind("The service is shutting down")
                index.add(*_stacked(some))
    position = Position(index, epoch, seq=head.seq or 0)
    position.compare(head)
    return position


def live_seqs(session: Session, gallery_id: str) -> set[int]:
    """What the log leaves in the gallery: every add without a remove."""
    here = GalleryChange.gallery_id == gallery_id
    added = set(session.exec(select(GalleryChange.add_seq).where(here, GalleryChange.kind == Change.add)))
    removed = set(session.exec(select(GalleryChange.add_seq).where(here, GalleryChange.kind == Change.remove)))
    return {seq for seq in added - removed if seq is not None}


def _some(found: Iterator[StoredTemplate], wanted: Callable[[StoredTemplate], bool]) -> Iterator[list[StoredTemplate]]:
    while some := list(islice(found, BATCH)):
        yield [template for template in some if wanted(template)]


def _ids(values: Iterable[int]) -> NDArray[np.int64]:
    return np.array(sorted(values), dtype=np.int64)


def _stacked(found: list[StoredTemplate]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    if not found:
        return _ids(()), np.empty((0, 0), dtype=np.float32)
    return np.array([template.seq for template in found], dtype=np.int64), np.stack([template.vector for template in found])
