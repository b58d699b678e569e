"""This process's index of the gallery by one model: follows the ledger's log, and is rebuilt beside and swapped when in doubt.

It follows while its model is in force, and while it is the other one of a change of model: see `sides`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from backend.errors import GalleryBehind, SeqUnknown, Unavailable
from backend.faces.engine import ModelCard, Vector
from backend.gallery.batcher import Batcher
from backend.gallery.flat import FlatIndex
from backend.gallery.follow import Batch, GalleryDisagrees, Position, apply, read_batch, rebuild, stated
from backend.gallery.gate import Gate
from backend.gallery.index import BlockHits, Hits
from backend.gallery.memory import GalleryTooLarge, Room, room_for
from backend.stages import Stage, timed
from backend.store import gallery_log
from backend.store.database import Store
from backend.store.keyring import KeyringError
from backend.store.tables import Gallery

log = logging.getLogger(__name__)

PATROL_S = 30.0
"""In so long all of the index's memory is looked at once, a slice at a time."""
PATROL_LEAST = 8_192
STOP_S = 2.0
SHARED_FROM = 5_000 * 512
"""components of all vectors together"""


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
    memory_bytes: int
    memory_limit_bytes: int
    warning: str | None


@dataclass(frozen=True)
class _Told:
    """What `status` says, as of the last time the log was followed."""

    seq: int = 0
    size: int = 0
    checksum: int = 0
    epoch: str = ""


@dataclass(frozen=True)
class Standing:
    """Where an index stands in the log, and every id that counts there: the ghosts too."""

    position: Position
    epoch: str
    seq: int
    ids: NDArray[np.int64]


class Replica:
    """Safe to use from many threads. Searches run side by side; changes come between them."""

    def __init__(
        self,
        store: Store,
        card: ModelCard,
        poll_s: float = 0.5,
        room: Room | None = None,
        start_from: Callable[[Room], Position | None] = lambda _: None,
    ) -> None:
        """`start_from`: an index from a quicker place than SQL, asked at the start alone; None where there is none to trust."""
        self._store = store
        self._card = card
        self._poll_s = poll_s
        self._room = room or room_for(card)
        self._start_from = start_from
        self._begun = self._planned = False
        self._gate = Gate()
        self._following = threading.Lock()
        self._position = Position(FlatIndex(card.dimension, card.metric), epoch="")
        self._told = _Told()
        self._head_seq = 0
        self._in_step_at = time.monotonic()
        self._problem: str | None = "The gallery has not been read yet"
        self._within = Batcher(self._search_within)
        self._nearest = Batcher(self._search_nearest)
        self._patrolled = 0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    # --- following ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Follow by polling; announcements of the database only make the next look come sooner."""
        listening = (self._wake.set, self._stopping)
        self._threads = [
            threading.Thread(target=self._follow, name="gallery", daemon=True),
            threading.Thread(target=self._store.listen, args=listening, name="gallery-announcements", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, within_s: float = STOP_S) -> bool:
        """False where a thread hangs, in a driver that a frozen server does not answer: it is left behind, and ends with us."""
        self._stopping.set()
        self._wake.set()
        deadline = time.monotonic() + within_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _follow(self) -> None:
        while not self._stopping.is_set():
            try:
                self.catch_up()
                self.patrol()
            except Unavailable:
                pass  # the database is away: `status` tells the lag, and the next round tries again
            except Exception as error:  # the follower must outlive whatever it meets; /ready fails meanwhile
                self._problem = f"The gallery cannot be followed ({type(error).__name__})"
                log.exception("gallery not followed")
            self._wake.wait(self._poll_s)
            self._wake.clear()

    def catch_up(self, *, within_s: float | None = None) -> None:
        """Follow the log to its end. Raises DatabaseAway or NotReady; GalleryBehind where another thread takes too long at it."""
        if not self._following.acquire(timeout=-1 if within_s is None else max(0.0, within_s)):
            raise GalleryBehind(self._problem)
        try:
            self._follow_once()
        finally:
            self._following.release()

    def _follow_once(self) -> None:
        self._problem = self._follow_to_the_end()
        self._tell()
        if self._problem is None:
            self._in_step_at = time.monotonic()

    def _follow_to_the_end(self) -> str | None:
        """What stands in the way, as a sentence for /ready."""
        try:
            with self._store.read() as session:  # one look, as every enrolment takes it
                gallery = self._store.gallery(session)
                if (trouble := self._trouble(gallery)) is not None:
                    return trouble
                # The number first: what is read after it has every row up to it.
                self._head_seq = gallery_log.head_seq(session, self._store.gallery_id)
                anew = self._must_rebuild(session, gallery.epoch)
                batch = None if anew else self._read_batch(session)
            if anew:
                self._swap()
            self._apply_all(batch)
            return None
        except GalleryDisagrees:
            return "The gallery's log and its templates disagree in the database"
        except GalleryTooLarge as error:
            return str(error)
        except KeyringError:
            return "Stored templates do not open: the key file is not the one that they were encrypted with"

    def patrol(self) -> None:
        """Look at the next slice of the index's memory, and build it anew where that changed by itself.

        For the follower's thread: whoever waits for the log does not wait for this. Nobody changes the index meanwhile.
        """
        with self._following:
            index = self._position.index
            if self._patrolled >= index.size:
                self._patrolled = 0
            until = self._patrolled + max(PATROL_LEAST, round(index.size * self._poll_s / PATROL_S))
            if not index.is_sound(slice(self._patrolled, until)):
                fields = {"seq": self._position.seq}
                log.error("the gallery's memory changed by itself: building it anew", extra={"fields": fields})
                self._build_anew()
            self._patrolled = until

    def _build_anew(self) -> None:
        self._position.epoch = ""  # no epoch at all: it must be built anew, also where that fails now and is tried again
        self._problem = "The gallery is being built anew"
        self._follow_once()

    def _trouble(self, gallery: Gallery) -> str | None:
        if gallery.key_check not in self._store.keyring.check_values:
            return "The key file is not the one that this gallery was encrypted with"
        if self._card.model_id not in (gallery.model_id, gallery.other_model_id):
            self._forget()
            return f"The gallery is pinned to {gallery.model_id or 'no model yet'}, this replica runs {self._card.model_id}"
        return None

    def _forget(self) -> None:
        """A model that is not the gallery's any more is told of no erasure, so nothing of it stays in memory."""
        if self._position.index.size:
            with self._gate.change():
                self._position = Position(FlatIndex(self._card.dimension, self._card.metric), epoch="")

    def _apply_all(self, batch: Batch | None) -> None:
        """`batch`, and what follows it up to the head that was seen."""
        while batch is not None or self._position.seq < self._head_seq:
            if self._stopping.is_set():
                raise GalleryBehind("The service is shutting down")
            if (batch := batch or self._next_batch()) is None:
                self._position.seq = self._head_seq  # what lies between is of the other model
                return
            self._head_seq = max(self._head_seq, batch.up_to)
            try:
                apply(self._position, batch, gate=self._gate, room=self._room)
            except GalleryDisagrees:
                log.warning("gallery differs from its log: building it anew", extra={"fields": {"seq": self._position.seq}})
                self._swap()
            batch = None

    def _next_batch(self) -> Batch | None:
        with self._store.read() as session:
            return self._read_batch(session)

    def _read_batch(self, session: Session) -> Batch | None:
        after, head_seq = self._position.seq, self._head_seq
        if after >= head_seq:
            return None
        return read_batch(self._store, session, model_id=self._card.model_id, after=after, head_seq=head_seq)

    def _must_rebuild(self, session: Session, epoch: str) -> bool:
        """Another epoch (a restore), ahead of the database, or an index that changed by itself."""
        position = self._position
        if self._planned and position.epoch == epoch and position.seq < self._head_seq:
            return False  # what follows is compared when it is applied
        head = gallery_log.head(session, self._store.gallery_id, self._card.model_id, up_to=self._head_seq)
        self._show_plan(head.count if head else 0)
        if position.epoch != epoch or position.seq > self._head_seq:
            return True
        return position.seq == self._head_seq and position.count_and_checksum() != stated(head)

    def _show_plan(self, templates: int) -> None:
        """Once, before the memory is taken: also of a gallery that will not fit."""
        if not self._planned:
            self._planned = True
            log.info("memory planned for the gallery", extra={"fields": self._room.plan(templates)})

    def _swap(self) -> None:
        self._problem = "The gallery is being built anew"  # nobody searches the old one meanwhile
        fresh = None if self._begun else self._start_from(self._room)
        fresh = fresh or rebuild(self._store, self._card, self._room, stopping=self._stopping)
        with self._gate.change():
            self._position = fresh
        self._begun = True

    def wait_for(self, seq: int, timeout_s: float, *, epoch: str | None = None) -> bool:
        """True once everything up to `seq` is searchable. Does not wait for the next poll: follows by itself.

        `epoch`: of which gallery `seq` is, where the caller knows: an index from before a restore never stands for it.

        Raises:
            GalleryBehind: not within `timeout_s`.
            SeqUnknown: nobody can have that number from this gallery.
        """
        deadline = time.monotonic() + timeout_s
        while not self._has(seq, epoch):
            self.catch_up(within_s=deadline - time.monotonic())
            if self._has(seq, epoch):
                break
            if epoch is None and self._problem is None and seq > self._head_seq:
                raise SeqUnknown  # the log was read after the caller had got his number
            if time.monotonic() >= deadline:
                raise GalleryBehind(self._problem)
            self._stopping.wait(min(0.05, self._poll_s))
        return True

    def _has(self, seq: int, epoch: str | None) -> bool:
        position = self._position
        return self._problem is None and position.seq >= seq and epoch in (None, position.epoch)

    # --- searching ------------------------------------------------------------------------------------------------

    @timed(Stage.search)
    def within(self, query: Vector, least_score: float) -> Hits:
        """Everything that scores `least_score` or better, best first. Raises GalleryBehind where the index is in doubt."""
        asked = (query, least_score)
        return self._within.ask(asked) if self._is_worth_sharing else self._search_within([asked])[0]

    def within_each(self, asked: Sequence[tuple[Vector, float]]) -> list[Hits]:
        """As `within` for each (query, least score), in one pass over the gallery. Raises as `within`."""
        if len(asked) == 1:
            return [self.within(*asked[0])]
        with timed(Stage.search):
            return self._search_within(asked)

    @timed(Stage.search)
    def nearest(self, query: Vector, k: int) -> Hits:
        """The best `k`. Raises as `within`."""
        asked = (query, k)
        return self._nearest.ask(asked) if self._is_worth_sharing else self._search_nearest([asked])[0]

    def block_within(self, queries: NDArray[np.float32], query_ids: NDArray[np.int64], least_score: float) -> Iterator[BlockHits]:
        """As `Index.block_within`: changes, and the searches behind them, wait for one part of it and not for all.

        Raises as `within`, and where the index was built anew since the last part.
        """
        with self._gate.search():
            position = self._trusted()
            parts = position.index.block_within(queries, query_ids, least_score)
        while True:
            with self._gate.search():
                if self._trusted() is not position:
                    raise GalleryBehind()
                hits = next(parts, None)
            if hits is None:
                return
            yield hits

    @property
    def _is_worth_sharing(self) -> bool:
        """A pass over a small gallery takes less time than handing a search to another thread."""
        return self._position.index.size * self._card.dimension >= SHARED_FROM

    def _search_within(self, asked: Sequence[tuple[Vector, float]]) -> list[Hits]:
        with self._gate.search():
            return self._trusted().index.within_many(np.stack([query for query, _ in asked]), [least for _, least in asked])

    def _search_nearest(self, asked: Sequence[tuple[Vector, int]]) -> list[Hits]:
        with self._gate.search():
            return self._trusted().index.nearest_many(np.stack([query for query, _ in asked]), [k for _, k in asked])

    def _trusted(self) -> Position:
        """An index that was never read, or is in doubt, is never taken for an empty one."""
        if self._problem is not None:
            raise GalleryBehind(self._problem)
        return self._position

    # --- copying --------------------------------------------------------------------------------------------------

    def standing(self) -> Standing:
        """What is to be copied; its vectors are asked for in parts. Raises GalleryBehind where the index is in doubt."""
        with self._gate.search():
            position = self._trusted()
            ids = np.concatenate([position.index.ids(), np.array(sorted(position.ghosts), dtype=np.int64)])
            return Standing(position, position.epoch, position.seq, ids)

    def vectors(self, standing: Standing, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, d), a row of NaN for each that has left since. Raises GalleryBehind where the index was built anew since."""
        with self._gate.search():
            if self._trusted() is not standing.position:
                raise GalleryBehind()
            return standing.position.index.vectors(ids)

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
            memory_bytes=self._room.needed(told.size),
            memory_limit_bytes=self._room.limit,
            warning=self._room.warning(told.size),
        )

    def _tell(self) -> None:
        """Only the thread that follows changes the index, so it may read it here."""
        position = self._position
        if (position.seq, position.epoch) != (self._told.seq, self._told.epoch):
            size, checksum = position.count_and_checksum()
            self._told = _Told(seq=position.seq, size=size - len(position.ghosts), checksum=checksum, epoch=position.epoch)
