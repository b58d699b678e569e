"""How an index is brought from one place in the log to another, and how it is built anew. Reads SQL, opens vectors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import Select

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


@dataclass(frozen=True, slots=True)
class Logged:
    """Of a row of the log what an index needs; see `GalleryChange`."""

    seq: int
    kind: str
    add_seq: int | None
    count: int
    checksum: int


_AFTER: Select[*tuple[Any, ...]] = (
    Select(*(col(getattr(GalleryChange, name)) for name in Logged.__slots__))
    .where(
        GalleryChange.gallery_id == bindparam("gallery_id"),
        GalleryChange.model_id == bindparam("model_id"),
        col(GalleryChange.seq) > bindparam("after"),
    )
    .order_by(col(GalleryChange.seq))
    .limit(BATCH)
)


class GalleryDisagrees(Exception):
    """The index is not what the log says it should be: build it anew."""


@dataclass
class Position:
    """An index of one model and how far it has followed. `ghosts` are add rows whose template is gone and whose remove row is yet
    to come. `seq` is a number of the whole log: every row of the model up to it is applied.
    """

    index: Index
    epoch: str
    seq: int = 0
    ghosts: set[int] = field(default_factory=set)

    def count_and_checksum(self) -> tuple[int, int]:
        """What the log's running count and checksum must be here."""
        return self.index.size + len(self.ghosts), self.index.checksum ^ gallery_log.checksum_of(_ids(self.ghosts))

    def compare(self, row: GalleryChange | Logged | None) -> None:
        """`row`: the model's last one up to here."""
        if self.count_and_checksum() != stated(row):
            raise GalleryDisagrees()


def stated(row: GalleryChange | Logged | None) -> tuple[int, int]:
    """Count and checksum after a model's last row; of a model without any, those of nothing."""
    return (0, 0) if row is None else (row.count, row.checksum)


@dataclass(frozen=True)
class Batch:
    """Some rows of one model with the templates that they add, read in one snapshot; up to `up_to` there are no others."""

    rows: list[Logged]
    added: list[StoredTemplate]
    gone: set[int]
    removed: set[int]
    up_to: int

    @property
    def last(self) -> Logged:
        return self.rows[-1]


def read_batch(store: Store, session: Session, *, model_id: str, after: int, head_seq: int) -> Batch | None:
    """The next rows of a model; None where it has none. `head_seq`: the log's last number, read before."""
    asked = {"gallery_id": store.gallery_id, "model_id": model_id, "after": after}
    rows = [Logged(*row) for row in session.connection().execute(_AFTER, asked)]
    if not rows:
        return None
    last = rows[-1].seq
    adds = {row.seq for row in rows if row.kind == Change.add}
    removed = {row.add_seq for row in rows if row.kind == Change.remove and row.add_seq is not None}
    added = templates.by_seqs(session, store.keyring, gallery_id=store.gallery_id, seqs=adds - removed)
    gone = adds - removed - {template.seq for template in added}
    up_to = last if len(rows) == BATCH else max(last, head_seq)
    return Batch(rows=rows, added=added, gone=gone, removed=removed - adds, up_to=up_to)


def apply(position: Position, batch: Batch, *, gate: Gate, room: Room) -> None:
    """Raises GalleryDisagrees where the result is not what the batch's last row states, GalleryTooLarge where it does not fit."""
    room.refuse(batch.last.count)
    with gate.change():
        position.index.remove(_ids(batch.removed - position.ghosts))
        position.index.add(*_stacked(batch.added))
        position.ghosts = (position.ghosts - batch.removed) | batch.gone
        position.compare(batch.last)  # before anybody may search it as being at this seq
        position.seq = batch.up_to


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
        head_seq = gallery_log.head_seq(session, store.gallery_id)
        head = gallery_log.head(session, store.gallery_id, card.model_id)
        if head is None:
            return Position(index, epoch, seq=head_seq)
        room.refuse(head.count)
        index.reserve(head.count)
        live = live_seqs(session, store.gallery_id, card.model_id)
        with closing(templates.all_of(session, store.keyring, gallery_id=store.gallery_id, model_id=card.model_id)) as stored:
            for some in _some(stored, lambda template: template.seq in live):
                if stopping is not None and stopping.is_set():
                    raise GalleryBehind("The service is shutting down")
                index.add(*_stacked(some))
    position = Position(index, epoch, seq=head_seq)
    position.compare(head)
    return position


def live_seqs(session: Session, gallery_id: str, model_id: str) -> set[int]:
    """What the log leaves in the gallery of a model: every add without a remove."""
    here = (GalleryChange.gallery_id == gallery_id, GalleryChange.model_id == model_id)
    added = set(session.exec(select(GalleryChange.add_seq).where(*here, GalleryChange.kind == Change.add)))
    removed = set(session.exec(select(GalleryChange.add_seq).where(*here, GalleryChange.kind == Change.remove)))
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
