"""What answers by one model, and which of them answers now: the side in force judges, the other one is kept ready."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from backend.adjudication import Adjudication
from backend.errors import ModelMismatch, NotReady
from backend.evidence import Evidence
from backend.faces.engine import Engine, EngineError
from backend.faces.load import load_engine
from backend.gallery.memory import Room, room_for, together
from backend.gallery.replica import Replica
from backend.gallery.snapshot import Snapshots
from backend.gallery.snapshot_folder import Place
from backend.recognition import Recognition
from backend.review_codes import Codes
from backend.scan_job import ScanJob
from backend.scans import Scans
from backend.scoring import Scoring
from backend.settings import Settings
from backend.sides import Side, Sides
from backend.store.database import Store
from backend.store.due import DueTimes
from backend.subjects import Subjects
from backend.threads import Threads
from backend.thresholds import calibrated, review_set_by, thresholds_of
from backend.together import Together

MOST_TURNS = 5
"""Changes of the gallery's model that one request may meet."""
BESIDE = "-next"
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Loaded:
    """A model of this process, before anything is built on it. `settings` are those of its own slot."""

    settings: Settings
    engine: Engine
    side: Side
    snapshots: Snapshots | None


@dataclass(frozen=True)
class ModelParts:
    """Everything that works with scores of one model."""

    side: Side
    engine: Engine
    snapshots: Snapshots | None
    recognition: Recognition
    subjects: Subjects
    adjudication: Adjudication
    together: Together
    scans: Scans
    scan_job: ScanJob
    scoring: Scoring


def load(settings: Settings, store: Store) -> list[Loaded]:
    """The engine of the settings, and the second one where they name one. Raises EngineError, ThresholdsError."""
    slots = [(settings, load_engine(settings.engine, model_pack=settings.model_pack))]
    if (second := settings.next_model()) is not None:
        slots.append((second, _second_engine(second)))
        if slots[0][1].card.model_id == slots[1][1].card.model_id:  # after a change, where both name the new one
            del slots[1]
    rooms = together([room_for(engine.card, settings.gallery_memory_bytes) for _, engine in slots])
    beside = ("", BESIDE)
    return [_loaded(store, *slot, room, place) for slot, room, place in zip(slots, rooms, beside, strict=False)]


def _second_engine(settings: Settings) -> Engine:
    try:
        return load_engine(settings.engine, model_pack=settings.model_pack)
    except EngineError as error:
        raise EngineError(f"BACKEND_NEXT_ENGINE, BACKEND_NEXT_MODEL_PACK: {error}") from error


def _loaded(store: Store, settings: Settings, engine: Engine, room: Room, beside: str) -> Loaded:
    card = calibrated(settings, engine.card)
    thresholds = thresholds_of(settings, card)
    snapshots = None
    if settings.snapshot_dir is not None:
        place = Place(
            settings.snapshot_dir, holder=settings.instance, every_s=settings.snapshot_every_s,
            min_free_bytes=settings.min_disk_bytes, beside=beside,
        )  # fmt: skip
        snapshots = Snapshots(store, card, place)
    start_from = snapshots.load if snapshots else lambda _: None
    replica = Replica(store, card, poll_s=settings.gallery_poll_s, room=room, start_from=start_from)
    return Loaded(settings, engine, Side(card, thresholds, replica), snapshots)


def build(loaded: Loaded, store: Store, *, holder: str, codes: Codes, due: DueTimes) -> ModelParts:
    settings, side = loaded.settings, loaded.side
    card, thresholds = side.card, side.thresholds
    evidence = Evidence(store, card, thresholds, due)
    return ModelParts(
        side=side,
        engine=loaded.engine,
        snapshots=loaded.snapshots,
        recognition=Recognition(store, side.replica, card, thresholds),
        subjects=Subjects(store, card.metric),
        adjudication=Adjudication(
            store, evidence, lease_s=settings.case_lease_s, second_review=settings.second_review, codes=codes
        ),
        together=Together(store, evidence, card, thresholds),
        scans=Scans(store, card, thresholds),
        scan_job=ScanJob(store, side.replica, card, thresholds, holder=holder),
        scoring=Scoring(store, card, thresholds, review_set_by=review_set_by(settings)),
    )


class Models:
    """By model, what answers; `sides` knows which is in force."""

    def __init__(self, sides: Sides, parts: Sequence[ModelParts], threads: Threads) -> None:
        self.sides, self._threads = sides, threads
        self._by_model = {one.side.card.model_id: one for one in parts}

    @property
    def all(self) -> Sequence[ModelParts]:
        return tuple(self._by_model.values())

    @property
    def now(self) -> ModelParts:
        """Of the model in force. Raises NotReady where this replica has not loaded it."""
        return self._by_model[self.sides.in_force().card.model_id]

    @property
    def shown(self) -> ModelParts:
        """As `now`, or another one where that is not loaded: for what needs no score."""
        return self._by_model[self.sides.shown().card.model_id]

    def engines(self) -> tuple[Engine, Engine | None]:
        """By which a face is enrolled, and by which beside while a change of model is open. Raises as `now`."""
        now, beside = self.now, self._by_model.get(self.sides.beside or "")
        return now.engine, None if beside is None or beside is now else beside.engine

    async def answered(self, do: Callable[[ModelParts], Awaitable[Answer]]) -> Answer:
        """By the model in force; anew where that turned out to be another one by then.

        Raises NotReady where this replica has not loaded it.
        """
        for _ in range(MOST_TURNS):
            try:
                return await do(self.now)
            except ModelMismatch:
                await self.look()
        raise NotReady("The gallery's model is being changed")

    async def asked(self, do: Callable[[ModelParts], Answer]) -> Answer:
        """As `answered`, for what blocks."""
        return await self.answered(lambda it: self._threads.ledger(do, it))

    async def look(self) -> None:
        await self._threads.ledger(self.sides.look)
