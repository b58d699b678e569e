"""This process's index of the gallery: follows the ledger's log, and is rebuilt beside and swapped when in doubt."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from backend.errors import GalleryBehind, Unavailable
from backend.faces.engine import ModelCard, Vector
from backend.gallery.flat import FlatIndex
from backend.gallery.follow import GalleryDisagrees, Position, apply, read_batch, rebuild
from backend.gallery.gate import Gate
from backend.gallery.index import Hits
from backend.store import gallery_log
from backend.store.database import Store
from backend.store.keyring import KeyringError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReplicaStatus:
    """`lag_s`: how long the index has been behind the log, or without news of it; 0 when in step."""

    seq: int
    head_seq: int
    lag_s: float
    size: int
    checksum: str
    epoch: str
    problem: str | None


@dataclass(frozen=True)
class _Told:
    """What `status` says, as of the last time the log was followed."""

    seq: int = 0
    size: int = 0
    checksum: int = 0
    epoch: str = ""


class Replica:
    """Safe to use from many threads. Searches run side by side; changes come between them."""

    def __init__(self, store: Store, card: ModelCard, poll_s: float = 0.5) -> None:
        self._store = store
        self._card = card
        self._poll_s = poll_s
        self._gate = Gate()
        self._following = threading.Lock()
        self._position = Position(FlatIndex(card.dimension, card.metric), epoch="")
        self._told = _Told()
        self._head_seq = 0
        self._in_step_at = time.monotonic()
        self._problem: str | None = "The gallery has not been read yet"
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    # --- following ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread = threading.Thread(target=self._follow, name="gallery", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _follow(self) -> None:
        while not self._stopping.is_set():
            try:
                self.catch_up()
            except Unavailable:
                pass  # the database is away: `status` tells the lag, and the next round tries again
            except Exception as error:  # the follower must outlive whatever it meets; /ready fails meanwhile
                self._problem = f"The gallery cannot be followed ({type(error).__name__})"
                log.exception("gallery not followed")
            self._stopping.wait(self._poll_s)

    def catch_up(self, *, within_s: float | None = None) -> None:
        """Follow the log to its end. Raises DatabaseAway or NotReady; GalleryBehind where another thread takes too long at it."""
        if not self._following.acquire(timeout=-1 if within_s is None else max(0.0, within_s)):
            raise GalleryBehind(self._problem)
        try:
            self._problem = self._follow_to_the_end()
            self._tell()
            if self._problem is None:
                self._in_step_at = time.monotonic()
        finally:
            self._following.release()

    def _follow_to_the_end(self) -> str | None:
        """What stands in the way, as a sentence for /ready."""
        try:
            if (trouble := self._trouble()) is None:
                self._apply_all()
            return trouble
        except GalleryDisagrees:
            return "The gallery's log and its templates disagree in the database"
        except KeyringError:
            return "Stored templates do not open: the key file is not the one that they were encrypted with"

    def _trouble(self) -> str | None:
        with self._store.read() as session:
            gallery = self._store.gallery(session)
        if gallery.key_check != self._store.keyring.check_value:
            return "The key file is not the one that this gallery was encrypted with"
        if gallery.model_id != self._card.model_id:
            return f"The gallery is pinned to {gallery.model_id or 'no model yet'}, this replica runs {self._card.model_id}"
        return None

    def _apply_all(self) -> None:
        if self._must_rebuild():
            self._swap()
        while True:
            with self._store.read() as session:
                batch = read_batch(self._store, session, after=self._position.seq)
            if batch is None:
                return
            self._head_seq = max(self._head_seq, batch.last.seq or 0)
            try:
                apply(self._position, batch, gate=self._gate)
            except GalleryDisagrees:
                log.warning("gallery differs from its log: building it anew", extra={"fields": {"seq": self._position.seq}})
                self._swap()

    def _must_rebuild(self) -> bool:
        """Another epoch (a restore), ahead of the database, or an index that changed by itself."""
        with self._store.read() as session:
            epoch = self._store.gallery(session).epoch
            head = gallery_log.head(session, self._store.gallery_id)
        self._head_seq = (head.seq or 0) if head else 0
        position = self._position
        if position.epoch != epoch or position.seq > self._head_seq:
            return True
        in_step = head is not None and head.seq == position.seq
        return in_step and head is not None and position.count_and_checksum() != (head.count, head.checksum)

    def _swap(self) -> None:
        self._problem = "The gallery is being built anew"  # nobody searches the old one meanwhile
        fresh = rebuild(self._store, self._card)
        with self._gate.change():
            self._position = fresh

    def wait_for(self, seq: int, timeout_s: float) -> bool:
        """True once everything up to `seq` is searchable. Does not wait for the next poll: follows by itself.

        Raises:
            GalleryBehind: not within `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while self._position.seq < seq or self._problem is not None:
            self.catch_up(within_s=deadline - time.monotonic())
            if self._position.seq >= seq and self._problem is None:
                break
            if time.monotonic() >= deadline:
                raise GalleryBehind(self._problem)
            self._stopping.wait(min(0.05, self._poll_s))
        return True

    # --- searching ------------------------------------------------------------------------------------------------

    def within(self, query: Vector, least_score: float) -> Hits:
        """Everything that scores `least_score` or better, best first. Raises GalleryBehind where the index is in doubt."""
        with self._gate.search():
            return self._trusted().index.within(query, least_score)

    def nearest(self, query: Vector, k: int) -> Hits:
        """The best `k`. Raises as `within`."""
        with self._gate.search():
            return self._trusted().index.nearest(query, k)

    def _trusted(self) -> Position:
        """An index that was never read, or is in doubt, is never taken for an empty one."""
        if self._problem is not None:
            raise GalleryBehind(self._problem)
        return self._position

    @property
    def size(self) -> int:
        return self._position.index.size

    @property
    def seq(self) -> int:
        return self._position.seq

    def status(self) -> ReplicaStatus:
        """Answers at once, from memory: it passes no gate, so probes never wait for a search."""
        told = self._told
        age = time.monotonic() - self._in_step_at
        fresh = self._problem is None and told.seq >= self._head_seq and age < 4 * self._poll_s
        return ReplicaStatus(
            seq=told.seq,
            head_seq=max(self._head_seq, told.seq),
            lag_s=0.0 if fresh else age,
            size=told.size,
            checksum=f"{told.checksum & 0xFFFFFFFFFFFFFFFF:016x}",
            epoch=told.epoch,
            problem=self._problem,
        )

    def _tell(self) -> None:
        """Only the thread that follows changes the index, so it may read it here."""
        position = self._position
        if (position.seq, position.epoch) != (self._told.seq, self._told.epoch):
            size, checksum = position.count_and_checksum()
            self._told = _Told(seq=position.seq, size=size - len(position.ghosts), checksum=checksum, epoch=position.epoch)
