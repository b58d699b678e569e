"""What /health and /ready answer: the checks of `backend.health` over this program's parts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from backend import health, wire
from backend.errors import Unavailable
from backend.faces.pool import InferencePool
from backend.lifecycle import Lifecycle
from backend.settings import Settings
from backend.shared_check import DEADLINE_S, SharedCheck
from backend.sides import Sides
from backend.store.database import Store
from backend.version import version


@dataclass(frozen=True)
class DatabaseState:
    """What one look at the database found; `problem` is None where it answered."""

    problem: str | None
    latency_ms: float
    schema_ok: bool = False
    schema: str = "not known: the database does not answer"
    pinned_model: str | None = None


def look_at_database(store: Store) -> DatabaseState:
    """Blocks for as long as the database takes."""
    started = time.monotonic()
    try:
        store.ping()
        latency_ms = (time.monotonic() - started) * 1000
        _, ok, sentence = store.schema_state()
        pinned = store.pinned_model() if ok else None
    except Unavailable as error:
        return DatabaseState(problem=error.detail, latency_ms=(time.monotonic() - started) * 1000)
    return DatabaseState(None, latency_ms, ok, sentence, pinned)


class Readiness:
    def __init__(self, *, settings: Settings, life: Lifecycle, store: Store, sides: Sides, pool: InferencePool) -> None:
        self._settings, self._life = settings, life
        self._sides, self._pool = sides, pool
        folders = [folder for folder in (store.folder, settings.log_dir, Path.cwd()) if folder is not None]
        self._database = SharedCheck(lambda: look_at_database(store))
        self._resources = SharedCheck(lambda: health.read_resources(folders))

    async def health(self) -> wire.Health:
        found = await self._database_state()
        return wire.Health(
            status="healthy" if found.problem is None else "unhealthy", version=version(), timestamp=health.timestamp()
        )

    async def ready(self) -> wire.Ready:
        checks = await self.checks()
        ready = health.is_ready(checks)
        self._life.ever_ready = self._life.ever_ready or ready
        return wire.Ready(
            status="ready" if ready else "not_ready",
            instance=self._settings.instance,
            version=version(),
            timestamp=health.timestamp(),
            ever_ready=self._life.ever_ready,
            reason=health.first_reason(checks),
            checks=checks,
        )

    async def checks(self) -> dict[str, wire.Check]:
        settings = self._settings
        found = await self._database_state()
        side = self._sides.of(found.pinned_model) or self._sides.shown()
        gallery = side.replica.status()
        stuck_for_s = self._pool.stuck_for_s(time.monotonic())
        checks = {
            "database": health.database(found.problem, found.latency_ms),
            "schema": health.schema(found.schema_ok, found.schema),
            "model": health.model([one.card.model_id for one in self._sides.all], found.pinned_model),
            "gallery": health.gallery(
                gallery.problem, lag_s=gallery.lag_s, max_lag_s=settings.gallery_max_lag_s, warning=gallery.warning
            ),
            "inference": health.inference(
                stuck_for_s=stuck_for_s, busy=self._pool.busy, waiting=self._pool.waiting, queue=settings.inference_queue
            ),
            "resources": health.resources(
                await self._resources.value(), min_disk=settings.min_disk_bytes, min_memory=settings.min_memory_bytes
            ),
            "draining": health.draining(self._life.draining),
        }
        if found.problem is not None:
            del checks["schema"], checks["model"]  # not known, and the reason is the database's
        return checks

    async def _database_state(self) -> DatabaseState:
        return await self._database.value() or DatabaseState(f"did not answer within {DEADLINE_S:g} s", DEADLINE_S * 1000)
