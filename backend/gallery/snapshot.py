"""Index snapshots: a replica keeps one encrypted copy of its index on its own disk, and starts from it instead of from SQL.

A copy is believed only where the file, the row of the database that holds its key, and the gallery's log say the same;
anything else is one line in the log and a start from SQL. Writing goes: new file under a new name, then the row (which destroys
the old key), then the old file away. So whatever is interrupted, the row names a whole file or none.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from backend.errors import GalleryBehind
from backend.faces.engine import ModelCard
from backend.gallery import snapshot_file
from backend.gallery.flat import FlatIndex
from backend.gallery.follow import GalleryDisagrees, Position, stated
from backend.gallery.index import IndexChanged
from backend.gallery.memory import Room
from backend.gallery.replica import Replica, Standing
from backend.gallery.snapshot_file import Half, Header, Unusable
from backend.gallery.snapshot_folder import Place, SnapshotFolder, SnapshotNotKept
from backend.store import gallery_log, index_snapshots
from backend.store.database import Store
from backend.store.ids import new_id
from backend.store.keyring import DataKey, KeyringError, fresh_key
from backend.store.tables import GalleryChange, IndexSnapshot

log = logging.getLogger(__name__)

LARGEST_NORM = 1.6
"""Half precision rounds a component x by at most 2⁻¹¹·|x|, or 2⁻²⁵ where x is tiny. So a vector moves by at most
2⁻¹¹·1.6 + 2⁻²⁵·√d < 8·10⁻⁴, and so does its distance to any other, and its inner product with any unit vector: less than
`candidates.MARGIN`. The offline engine's descriptors reach a norm of 1.59."""


class Snapshots:
    def __init__(self, store: Store, card: ModelCard, place: Place) -> None:
        self._store = store
        self._card = card
        self._place = place
        self._folder = SnapshotFolder(place, gallery_id=store.gallery_id)
        self._asked = False
        self._not_before = 0.0
        self._stopping = threading.Event()

    def stop(self) -> None:
        """What is being written or read is given up soon."""
        self._stopping.set()

    # --- starting from one ----------------------------------------------------------------------------------------

    def load(self, room: Room) -> Position | None:
        """The index as of the snapshot; None where there is none to trust, with a line in the log that says why.

        Raises as `Store.read`, GalleryTooLarge where it does not fit into `room`, GalleryBehind where it is told to stop.
        """
        with self._store.read() as session:
            row = index_snapshots.of(self._store, session, self._place.holder, self._card.model_id)
            epoch = self._store.gallery(session).epoch
            logged = self._logged(session, row) if row else None
        first, self._asked = not self._asked, True
        self._folder.tidy(keep=row.id if row else None)
        if row is None:
            if first:
                log.info("no index snapshot: reading the gallery from the database")
            return None
        room.refuse(row.count)
        started = time.monotonic()
        try:
            position = self._position(row, epoch, logged)
        except Unusable as why:
            log.warning("index snapshot refused: reading the gallery from the database", extra={"fields": {"why": str(why)}})
            self._discard(row)
            return None
        fields = {"seq": position.seq, "templates": position.index.size, "seconds": round(time.monotonic() - started, 2)}
        log.info("started from the index snapshot", extra={"fields": fields})
        return position

    def _logged(self, session: Session, row: IndexSnapshot) -> GalleryChange | None:
        """The model's last row up to the snapshot's place, which may be another model's."""
        if gallery_log.head_seq(session, row.gallery_id) < row.seq:
            return None
        return gallery_log.head(session, row.gallery_id, row.model_id, up_to=row.seq)

    def _position(self, row: IndexSnapshot, epoch: str, logged: GalleryChange | None) -> Position:
        if row.epoch != epoch:
            raise Unusable("the database was restored since")
        if logged is None or stated(logged) != (row.count, row.checksum):
            raise Unusable("the gallery's log says otherwise at its place")
        try:
            key = index_snapshots.key_of(self._store.keyring, row)
        except KeyringError as error:
            raise Unusable("its key does not open") from error
        position = Position(FlatIndex(self._card.dimension, self._card.metric), row.epoch, seq=row.seq)
        position.index.reserve(row.count)
        for ids, half in snapshot_file.read(self._folder.file(row.id), self._header_of(row), key):
            if self._stopping.is_set():
                raise GalleryBehind("The service is shutting down")
            gone = np.isnan(half[:, 0])
            vectors = half.astype(np.float32)
            position.index.add(*((ids[~gone], vectors[~gone]) if gone.any() else (ids, vectors)))
            position.ghosts.update(ids[gone].tolist())
        try:
            position.compare(logged)
        except GalleryDisagrees as error:
            raise Unusable("its ids are not those of the gallery's log") from error
        return position

    def _header_of(self, row: IndexSnapshot) -> Header:
        return Header(
            id=row.id,
            gallery_id=row.gallery_id,
            model_id=row.model_id,
            dimension=self._card.dimension,
            epoch=row.epoch,
            seq=row.seq,
            count=row.count,
            checksum=row.checksum,
        )

    def _discard(self, row: IndexSnapshot) -> None:
        """Once refused, never tried again; the next one is due at once."""
        with self._store.write() as session:
            index_snapshots.destroy(self._store, session, [row.id])
        self._folder.tidy(keep=None)

    # --- keeping one ----------------------------------------------------------------------------------------------

    def keep(self, replica: Replica) -> None:
        """The background job: renew this replica's own when it is due."""
        if not self._asked:
            return  # the start comes first, and may use the old one
        if time.monotonic() < self._not_before or not self._is_due(replica):
            return
        try:
            self._write(replica)
        except (GalleryBehind, IndexChanged) as error:  # in doubt or built anew meanwhile, or told to stop: the next turn sees
            log.info("index snapshot given up", extra={"fields": {"why": type(error).__name__}})
        except BaseException:
            self._not_before = time.monotonic() + self._place.every_s  # a full disk is not helped by trying at once
            raise

    def _is_due(self, replica: Replica) -> bool:
        status = replica.status()
        if status.problem is not None or status.seq == 0:
            return False
        with self._store.read() as session:
            row = index_snapshots.of(self._store, session, self._place.holder, self._card.model_id)
            now = self._store.now(session)
        if row is None or not self._folder.file(row.id).exists():
            return True
        moved = (row.seq, row.epoch) != (status.seq, status.epoch)
        return moved and now - row.created_at >= timedelta(seconds=self._place.every_s)

    def _write(self, replica: Replica) -> None:
        started, standing = time.monotonic(), replica.standing()
        header = Header(
            id=new_id("snp"),
            gallery_id=self._store.gallery_id,
            model_id=self._card.model_id,
            dimension=self._card.dimension,
            epoch=standing.epoch,
            seq=standing.seq,
            count=len(standing.ids),
            checksum=gallery_log.checksum_of(standing.ids),
        )
        self._folder.prepare(header.file_bytes)
        key = fresh_key()
        snapshot_file.write(self._folder.file(header.id), header, DataKey(key), self._chunks(replica, standing, header))
        row = self._put(header, key)
        self._folder.tidy(keep=row.id)
        fields = {"seq": row.seq, "templates": row.count, "seconds": round(time.monotonic() - started, 2)}
        log.info("index snapshot written", extra={"fields": fields})

    def _chunks(self, replica: Replica, standing: Standing, header: Header) -> Iterator[tuple[NDArray[np.int64], Half]]:
        """A few thousand templates at a time, so that no change of the index waits for more than that."""
        for rows in header.slices:
            if self._stopping.is_set():
                raise GalleryBehind()
            ids = standing.ids[rows]
            vectors = replica.vectors(standing, ids)
            if np.any(np.einsum("ij,ij->i", vectors, vectors) > LARGEST_NORM**2):
                raise SnapshotNotKept(f"vectors longer than {LARGEST_NORM} would lose too much in an index snapshot")
            yield ids, vectors.astype(np.float16)

    def _put(self, header: Header, key: bytes) -> IndexSnapshot:
        with self._store.write() as session:
            gallery = self._store.gallery(session)
            if header.model_id not in (gallery.model_id, gallery.other_model_id):
                raise GalleryBehind()  # dropped meanwhile: no copy may outlive it
            row = IndexSnapshot(
                gallery_id=header.gallery_id,
                holder=self._place.holder,
                id=header.id,
                epoch=header.epoch,
                model_id=header.model_id,
                seq=header.seq,
                count=header.count,
                checksum=header.checksum,
                wrapped_key=index_snapshots.wrapped(self._store, session, header.id, key),
                created_at=self._store.now(session),
            )
            index_snapshots.put(self._store, session, row)
        return row
