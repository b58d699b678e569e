"""The service's life: settings, parts, serve, stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypedDict

from fastapi import FastAPI

from backend import logs, problems
from backend.background import every
from backend.lifecycle import Lifecycle
from backend.metrics import Metrics
from backend.openapi import describe
from backend.parts import CannotStart, Parts, parts_of
from backend.routes import audit, bulk, calibration, docs, duplicates, fleet, keys, probes, recognition, scans, subjects
from backend.served import Served
from backend.server import Server, listen, make_server
from backend.settings import Settings
from backend.version import version

ROUTERS = tuple(
    module.router for module in (probes, subjects, recognition, duplicates, bulk, scans, calibration, fleet, keys, audit)
)

log = logging.getLogger(__name__)


class State(TypedDict):
    parts: Parts


def run(settings: Settings) -> int:
    """Serve until told to stop; the exit status. Raises `CannotStart`."""
    life = Lifecycle()
    metrics = Metrics(life=life)
    with logs.logging_to(settings.log_dir, level=settings.log_level, form=settings.log_format):
        with parts_of(settings, life=life, metrics=metrics) as parts:
            app = Served(
                make_app(parts),
                instance=settings.instance,
                life=life,
                metrics=metrics,
                deadline_s=settings.request_deadline_s,
            )
            server, listener = _server(app, settings, life)
            log.info(
                "serving", extra={"fields": {"host": settings.host, "port": settings.port, "model": parts.side.card.model_id}}
            )
            _set_apart_what_stays()
            server.run(sockets=[listener])
        log.info("stopped", extra={"fields": {"status": server.exit_code}})
    return server.exit_code


def _set_apart_what_stays() -> None:
    """Models, routes and statements live as long as the process. Each full collection of garbage would go through all of them,
    while every thread stands still: a tenth of a second, once in a hundred enrolments.
    """
    gc.collect()
    gc.freeze()


def _server(app: Served, settings: Settings, life: Lifecycle) -> tuple[Server, socket.socket]:
    try:
        server = make_server(app, settings=settings, life=life)
    except (OSError, ssl.SSLError) as error:
        raise CannotStart(f"the TLS certificate or key cannot be used ({type(error).__name__})") from error
    try:
        return server, listen(settings.host, settings.port)
    except OSError as error:
        raise CannotStart(f"{settings.host}:{settings.port} cannot be listened on: {os.strerror(error.errno or 0)}") from error


def make_app(parts: Parts) -> FastAPI:
    """The HTTP API over `parts`."""
    app = FastAPI(
        title="Face authentication and de-duplication",
        version=version(),
        lifespan=_lifespan(parts),
        # It would record bodies and exception messages with whatever collector the environment names.
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False},
        redoc_url=None,
        docs_url=None,  # FastAPI's own page loads its scripts from a CDN; ours is backend.routes.docs
    )
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    docs.install(app)
    describe(app)
    return app


def _lifespan(parts: Parts) -> Callable[[FastAPI], AbstractAsyncContextManager[State]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(every(job, threads=parts.threads), name=job.name) for job in parts.jobs]
            yield State(parts=parts)
            for task in running:
                task.cancel()

    return lifespan
