"""Templates of another model from stored crops, beside the live gallery; then the switch, or the way back.

What is done is what stands in the ledger: a template is there or is not. So a run may be killed at any moment, and the next one
goes on with what is missing. Transactions are short; inference is outside of them. One run at a time, by a lease.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from backend.errors import FaceAuthError
from backend.faces.capture import embedded_again
from backend.faces.engine import Engine, Vector
from backend.store import gallery_log, job_leases, missing_templates, model_change, scrubbing
from backend.store.database import Store
from backend.store.missing_templates import ChangeClosed, Missing
from backend.store.model_change import Checked, ModelChangeError, NotComplete
from backend.store.tables import ModelChange, SampleState

log = logging.getLogger(__name__)

JOB = "re-embed"
LEASE_S = 10.0
BATCH = 16
"""templates written in one transaction: it holds the ledger lock for some milliseconds"""
DROP = 100
REST = 0.5
"""How long the ledger lock is left alone after a batch of deletions, as a share of what that took: requests come first."""
MOST_PASSES = 20
PENDING_WAIT_S, LOOK_S = 60.0, 0.2


class Bar(Protocol):
    """What shows how far it came."""

    def begin(self, total: int) -> None: ...
    def advance(self, count: int) -> None: ...


class NoBar:
    def begin(self, total: int) -> None: ...
    def advance(self, count: int) -> None: ...


class Busy(ModelChangeError):
    def __init__(self) -> None:
        super().__init__("another `re-embed` is at work: wait for it (after a kill some seconds), or end it")


class WouldBeLeftBehind(ModelChangeError):
    """`sample_ids` have no template of the model, and none can be made."""

    def __init__(self, sample_ids: Sequence[str]) -> None:
        super().__init__(
            f"{len(sample_ids)} samples have no template of that model and none can be made of them (no stored crop, or no face"
            " found in it): nobody would be found by them. Enrol those people anew, or leave them behind knowingly with"
            " --leave-behind"
        )
        self.sample_ids = sample_ids


@dataclass
class Filled:
    """`made` by this run; `without`: of which none can be made."""

    made: int = 0
    without: dict[str, SampleState] = field(default_factory=dict)


class ReEmbed:
    def __init__(
        self, store: Store, engines: Mapping[str, Engine], *, holder: str, workers: int = 1, bar: Bar | None = None
    ) -> None:
        """`engines`: by model id; those of which templates may have to be made. `workers`: images in inference at once."""
        self._store, self._engines = store, engines
        self._holder, self._workers = holder, workers
        self._bar = bar or NoBar()
        self._epoch: int | None = None

    # --- steps ----------------------------------------------------------------------------------------------------

    def fill(self, to_model_id: str) -> tuple[ModelChange, Filled]:
        """Begin the change where it is not begun, and make what is missing of the model. Raises ModelChangeError."""
        with self._leased():
            with self._store.write() as session:
                change = model_change.begin(self._store, session, to_model_id)
            filled = self._fill(change, to_model_id)
            return self._now(change), filled

    def switch(self, *, leave_behind: bool = False) -> tuple[ModelChange, Filled]:
        """Raises ModelChangeError, WouldBeLeftBehind."""
        change = self.current()
        return self._swapped(change, change.to_model_id, model_change.switch, leave_behind=leave_behind)

    def roll_back(self, *, leave_behind: bool = False) -> tuple[ModelChange, Filled]:
        """Raises ModelChangeError, WouldBeLeftBehind."""
        change = self.current()
        return self._swapped(change, change.from_model_id, model_change.roll_back, leave_behind=leave_behind)

    def finish(self) -> tuple[ModelChange, int]:
        """The change and how many templates were dropped; also what an earlier run left. Raises ModelChangeError."""
        return self._ended(model_change.finish)

    def abandon(self) -> tuple[ModelChange, int]:
        """As `finish`."""
        return self._ended(model_change.abandon)

    def current(self) -> ModelChange:
        """Raises ModelChangeError where none is open."""
        with self._store.read() as session:
            change = model_change.current(self._store, session)
        if change is None:
            raise ModelChangeError("no change of model is open: begin one with --to")
        return change

    # --- filling --------------------------------------------------------------------------------------------------

    def _fill(self, change: ModelChange, model_id: str) -> Filled:
        """Until nothing is missing but what cannot be made. What comes meanwhile is less with every pass."""
        filled = Filled()
        for _ in range(MOST_PASSES):
            if not self._pass(change, model_id, filled):
                return filled
        raise ModelChangeError(
            "enrolments come in faster than their templates are made: load the model in every replica (BACKEND_NEXT_MODEL_PACK),"
            " so that they write both"
        )

    def _pass(self, change: ModelChange, model_id: str, filled: Filled) -> int:
        """Once through what is missing; how many were tried that had not been tried before."""
        with self._store.read() as session:
            total = missing_templates.count(self._store, session, model_id)
        self._bar.begin(total)
        tried, after = 0, ""
        while page := self._page(model_id, after):
            after = page[-1].sample_id
            filled.without.update({one.sample_id: one.state for one in page if one.sample_id in filled.without})
            fresh = [one for one in page if one.sample_id not in filled.without]
            if fresh:
                self._make(change, model_id, fresh, filled)
            tried += len(fresh)
            self._bar.advance(len(page))
        return tried

    def _page(self, model_id: str, after: str) -> list[Missing]:
        with self._store.read() as session:
            return missing_templates.page(self._store, session, model_id, after=after, limit=BATCH)

    def _make(self, change: ModelChange, model_id: str, wanted: Sequence[Missing], filled: Filled) -> None:
        engine = self._engines.get(model_id)
        if engine is None:
            raise ModelChangeError(f"templates of {model_id} are missing, and its engine is not loaded: name its pack")
        with self._store.read() as session:
            crops = missing_templates.crops(self._store, session, [one.sample_id for one in wanted])
        vectors = _embedded(engine, crops, self._workers)
        self._keep_lease()
        try:
            with self._store.write() as session:
                filled.made += missing_templates.fill(self._store, session, change.id, model_id, vectors)
        except ChangeClosed:
            raise ModelChangeError("the change of model was ended meanwhile") from None
        filled.without.update({one.sample_id: one.state for one in wanted if one.sample_id not in vectors})

    # --- switching ------------------------------------------------------------------------------------------------

    def _swapped(
        self, change: ModelChange, model_id: str, swap: Callable[..., ModelChange], *, leave_behind: bool
    ) -> tuple[ModelChange, Filled]:
        made = 0
        with self._leased():
            for _ in range(MOST_PASSES):
                with self._store.read() as session:
                    up_to = gallery_log.head_seq(session, self._store.gallery_id)
                filled = self._settled(change, model_id)
                made += filled.made
                without = sorted(filled.without)
                if without and not leave_behind:
                    raise WouldBeLeftBehind(without)
                try:
                    with self._store.write() as session:
                        return swap(self._store, session, change.id, Checked(up_to, without)), Filled(made, filled.without)
                except NotComplete:
                    continue
        raise ModelChangeError("somebody came between the look and the switch, every time: load the model in every replica")

    def _settled(self, change: ModelChange, model_id: str) -> Filled:
        """As `_fill`, and none of those without is still between its two transactions: how it ends is by its template."""
        until = time.monotonic() + PENDING_WAIT_S
        while True:
            filled = self._fill(change, model_id)
            there = self._still(model_id, filled)
            if SampleState.pending not in there.without.values():
                return there
            if time.monotonic() >= until:
                raise ModelChangeError("an enrolment without a template of that model is still pending: is a replica running?")
            time.sleep(LOOK_S)

    def _still(self, model_id: str, filled: Filled) -> Filled:
        """Without those that were erased since."""
        still: dict[str, SampleState] = {}
        after = ""
        while page := self._page(model_id, after):
            after = page[-1].sample_id
            still.update({one.sample_id: one.state for one in page if one.sample_id in filled.without})
        return Filled(filled.made, still)

    # --- ending ---------------------------------------------------------------------------------------------------

    def _ended(self, end: Callable[..., ModelChange]) -> tuple[ModelChange, int]:
        with self._leased():
            with self._store.write() as session:
                change, left = model_change.current(self._store, session), missing_templates.given_up(self._store, session)
                if change is not None:
                    change = end(self._store, session, change.id)
                elif not left or (change := model_change.latest(self._store, session)) is None:
                    raise ModelChangeError("no change of model is open, and nothing of an earlier one is left")
            dropped = self._drop()
            scrubbing.settle(self._store)
            return change, dropped

    def _drop(self) -> int:
        with self._store.read() as session:
            models = missing_templates.given_up(self._store, session)
        dropped = 0
        for model_id in models:
            while (count := self._drop_some(model_id)) > 0:
                dropped += count
                self._bar.advance(count)
        return dropped

    def _drop_some(self, model_id: str) -> int:
        started = time.monotonic()
        self._keep_lease()
        with self._store.write() as session:
            count = missing_templates.drop_some(self._store, session, model_id, limit=DROP)
        time.sleep(REST * (time.monotonic() - started))
        return count

    # --- the lease ------------------------------------------------------------------------------------------------

    def _leased(self) -> _Lease:
        return _Lease(self)

    def take_lease(self) -> None:
        """Waits for as long as that of a run that was killed may last. Raises Busy."""
        until = time.monotonic() + LEASE_S + 1
        while self._epoch is None:
            self._epoch = job_leases.hold(self._store, JOB, holder=self._holder, seconds=LEASE_S)
            if self._epoch is None and time.monotonic() >= until:
                raise Busy()
            time.sleep(0 if self._epoch else LOOK_S)

    def _keep_lease(self) -> None:
        """Raises Busy where somebody else has it by now. One that ran out is taken anew: nothing is written twice."""
        self._epoch = job_leases.hold(self._store, JOB, holder=self._holder, seconds=LEASE_S)
        if self._epoch is None:
            raise Busy()

    def let_go(self) -> None:
        if self._epoch is not None:
            job_leases.release(self._store, JOB, holder=self._holder, epoch=self._epoch)
            self._epoch = None

    def _now(self, change: ModelChange) -> ModelChange:
        with self._store.read() as session:
            return session.get_one(ModelChange, change.id)


class _Lease:
    def __init__(self, run: ReEmbed) -> None:
        self._run = run

    def __enter__(self) -> None:
        self._run.take_lease()

    def __exit__(self, *_: object) -> None:
        self._run.let_go()


def _embedded(engine: Engine, crops: Mapping[str, bytes], workers: int) -> dict[str, Vector]:
    """Of those in which the engine finds a face."""
    if workers == 1:
        found: Iterator[Vector | None] = (_one(engine, crop) for crop in crops.values())
        return {sample_id: vector for sample_id, vector in zip(crops, found, strict=True) if vector is not None}
    with ThreadPoolExecutor(workers) as pool:
        vectors = list(pool.map(lambda crop: _one(engine, crop), crops.values()))
    return {sample_id: vector for sample_id, vector in zip(crops, vectors, strict=True) if vector is not None}


def _one(engine: Engine, crop: bytes) -> Vector | None:
    """A crop that this engine cannot read is one without a face, and no reason to leave the others without a template."""
    try:
        return embedded_again(engine, crop)
    except FaceAuthError:
        return None
