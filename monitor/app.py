"""The composition root of `python -m monitor run`: settings, parts, serve, stop."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import logging.handlers
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from monitor.api import problems
from monitor.api.alert_routes import alert_routes
from monitor.api.operator_routes import operator_routes
from monitor.api.routes import open_routes, routes
from monitor.fleet_file import FleetFile, parse
from monitor.metrics import registry_of
from monitor.monitor import Monitor
from monitor.settings import Settings
from monitor.store.database import Database
from monitor.store.history import History
from monitor.version import version

log = logging.getLogger(__name__)

LOG_BYTES = 10 * 1024 * 1024


class NotOnLoopback(ValueError):
    """Without keys and signers the API is open: it may listen on this machine only."""


def build(settings: Settings, file: FleetFile, database: Database) -> FastAPI:
    """The HTTP application; its lifespan is the monitor's life. Raises `FleetFileError` when the first fleet is wrong."""
    text = file.changed()
    described = parse(text if text is not None else file.path.read_bytes(), path=file.path)
    monitor = Monitor(settings, file=file, described=described, history=History(database), database=database)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await monitor.start()
        log.info("watching %d backends of %s", len(described.backends), file.path)
        try:
            yield
        finally:
            await monitor.stop()

    app = FastAPI(title="Face authentication: monitor", version=version(), lifespan=life)
    app.state.monitor = monitor
    app.state.registry = registry_of(monitor)
    app.include_router(routes)
    app.include_router(alert_routes)
    app.include_router(operator_routes)
    app.include_router(open_routes)
    problems.install(app)
    return app


def run(settings: Settings, fleet_path: Path) -> None:
    """Serve until SIGTERM or SIGINT; then finish the probes in flight, write, and come back.

    Raises:
        NotOnLoopback, FleetFileError, StoreBusy: before anything listens.
    """
    refuse_open_network(settings)
    log_to(settings)
    signal.signal(signal.SIGTERM, _leave)
    database = Database.open(settings.database_url.get_secret_value())
    try:
        app = build(settings, FleetFile(fleet_path), database)
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(settings.drain_s) + 1,
        )
        server = uvicorn.Server(config)
        asyncio.run(server.serve())
        if not server.started:
            raise OSError("the monitor could not start: its log says why")
    finally:
        database.close()


def _leave(number: int, frame: FrameType | None) -> None:
    """Before uvicorn takes over SIGTERM, and once more after it has stopped and raised it again: end with status 0."""
    raise SystemExit(0)


def refuse_open_network(settings: Settings) -> None:
    """Raises `NotOnLoopback`."""
    if settings.signers_file is None and settings.keys_file is None and not _is_loopback(settings.host):
        raise NotOnLoopback(
            f"without MONITOR_SIGNERS_FILE or MONITOR_KEYS_FILE the monitor listens on loopback only, not on {settings.host}"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def log_to(settings: Settings) -> None:
    """Standard error, and `monitor.log` in the log folder."""
    sinks: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if settings.log_dir is not None:
        settings.log_dir.mkdir(parents=True, exist_ok=True)
        # Rotated from outside (logrotate) or by size, whichever comes first.
        sinks.append(logging.handlers.RotatingFileHandler(settings.log_dir / "monitor.log", maxBytes=LOG_BYTES, backupCount=5))
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", handlers=sinks, force=True
    )
    for noisy in ("apscheduler", "httpx", "httpcore", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
