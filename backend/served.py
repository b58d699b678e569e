"""The outermost layer, pure ASGI: each request gets an id, a time, a count and a line in the log, and always an answer."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend import deadline, logs, problems, stages
from backend.errors import DeadlineExceeded, FaceAuthError
from backend.lifecycle import Lifecycle
from backend.metrics import MARK, PROBES, Metrics, traffic_of
from backend.rates import Allowance
from backend.store.caller import Caller

UNMATCHED = "unmatched"
CLIENT_GONE = 499
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")

access = logging.getLogger(logs.ACCESS)
log = logging.getLogger(__name__)


class Served:
    def __init__(self, app: ASGIApp, *, instance: str, life: Lifecycle, metrics: Metrics, deadline_s: float) -> None:
        """`deadline_s`: from a request's first byte to its answer's, the upload of its body included; then the answer is 503."""
        self._app, self._instance, self._life, self._metrics = app, instance, life, metrics
        self._deadline_s = deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = _request_id(headers.get(b"x-request-id"))
        scope.setdefault("state", {})["request_id"] = request_id
        logs.request_id.set(request_id)
        deadline.begin(self._deadline_s)
        synthetic = MARK.encode() in headers
        stages.listen(None if synthetic else self._metrics.staged)
        status: int | None = None
        started = time.perf_counter()

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._mark(MutableHeaders(scope=message), request_id, scope["state"].get("allowance"))
            await send(message)

        counted = int(scope["path"] not in PROBES)
        self._metrics.in_flight.inc(counted)
        try:
            if (failure := await self._in_time(scope, receive, answer)) is not None and status is None:
                await problems.answer(failure, request_id=request_id)(scope, receive, answer)
        except ClientDisconnect:
            status = status or CLIENT_GONE
        finally:
            self._metrics.in_flight.dec(counted)
            self._record(scope, status or CLIENT_GONE, time.perf_counter() - started, synthetic=synthetic)

    async def _in_time(self, scope: Scope, receive: Receive, send: Send) -> FaceAuthError | None:
        """What went wrong, to be answered where no answer has begun."""
        try:
            async with asyncio.timeout(self._deadline_s) as limit:

                async def go_on(message: Message) -> None:
                    """What is sent piece by piece may take longer, as long as it goes on."""
                    await send(message)
                    if not limit.expired():
                        limit.reschedule(asyncio.get_running_loop().time() + self._deadline_s)

                await self._app(scope, receive, go_on)
        except ClientDisconnect:
            raise
        except Exception as error:
            if limit.expired() and isinstance(error, TimeoutError):
                return DeadlineExceeded(f"The request was not answered within {self._deadline_s:g} s: try again later")
            log.error("a request failed unexpectedly", exc_info=error)
            return FaceAuthError()
        return None

    def _mark(self, headers: MutableHeaders, request_id: str, allowance: Allowance | None) -> None:
        headers["X-Request-ID"] = request_id
        headers["X-Served-By"] = self._instance
        if allowance is not None:
            headers.update(allowance.headers())
        if self._life.draining:
            headers["Connection"] = "close"  # the balancer opens its next connection elsewhere

    def _record(self, scope: Scope, status: int, seconds: float, *, synthetic: bool) -> None:
        route = getattr(scope.get("route"), "path_format", None) or UNMATCHED
        traffic = traffic_of(route, synthetic=synthetic)
        self._metrics.observe(traffic, method=scope["method"], route=route, status=status, seconds=seconds)
        caller = scope["state"].get("caller")
        fields: dict[str, Any] = {
            "method": scope["method"],
            "route": route,
            "status": status,
            "duration_ms": round(seconds * 1000, 1),
            "client": scope["client"][0] if scope.get("client") else "-",
            "caller": _word(caller),
            "traffic": str(traffic),
        }
        access.info("Request completed", extra={"fields": fields})


def _word(caller: Caller | None) -> str:
    """A key's id, or that it was a person: people are named in the audit trail only."""
    if caller is None:
        return "-"
    return caller.id if caller.kind == "key" else caller.kind


def _request_id(given: bytes | None) -> str:
    """The caller's own id where it is harmless in a log, else a new one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return uuid.uuid4().hex
