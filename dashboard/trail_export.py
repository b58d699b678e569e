"""The trails as files: routes of our own, so that each download shows its session, and nothing stays behind at a URL.

Streamlit's download button keeps what it gives out at an address that anybody may open who knows it. Here the file is made
while it is sent, page by page, as the person whose cookie comes with the request; the server checks their roles again. Where a
later page cannot be had, the connection is cut: a file that looks whole is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from backend.client import BackendClient
from dashboard import failures
from dashboard.parts import Parts
from dashboard.roles import Right, may
from dashboard.sessions import COOKIE
from dashboard.signing import BACKEND, MONITOR
from dashboard.tables import trail
from monitor.client import MonitorClient

PATH = "/export"
MOST_ROWS = 50_000
AT_ONCE = 200
TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl; charset=utf-8"}
COLUMNS = {"audit": trail.EVENTS, "operators": trail.ACTIONS}


class Page(Protocol):
    """What both wires call a page."""

    @property
    def items(self) -> Sequence[Any]: ...
    @property
    def next(self) -> str | None: ...


class SessionOver(Exception):
    """The person signed out, or was disabled, while the file was sent."""


def routes(parts: Parts) -> list[Route]:
    async def export(request: Request) -> Response:
        return await _export(parts, request)

    return [Route(f"{PATH}/{{trail}}.{{kind}}", export, methods=["GET"])]


async def _export(parts: Parts, request: Request) -> Response:
    name, kind = request.path_params["trail"], request.path_params["kind"]
    person = parts.sessions.read(request.cookies.get(COOKIE), parts.now())
    if person is None:
        return PlainTextResponse("Sign in first.", status_code=401)
    if not may(person.roles, Right.see_audit):
        return PlainTextResponse("Your roles do not show the audit trails.", status_code=403)
    if name not in COLUMNS or kind not in TYPES:
        return PlainTextResponse("There is no such file.", status_code=404)
    try:
        ask = _asking(parts, request, name)
    except ValueError:
        return PlainTextResponse("A time is not RFC 3339 with an offset.", status_code=400)
    try:
        first = await run_in_threadpool(ask, None)
    except SessionOver:
        return PlainTextResponse("Sign in first.", status_code=401)
    except failures.FAILURES as error:
        return PlainTextResponse(failures.sentence(error), status_code=502)
    at = datetime.fromtimestamp(parts.now()).astimezone().strftime("%Y%m%d-%H%M%S")
    headers = {"Content-Disposition": f'attachment; filename="{name}-{at}.{kind}"', "Cache-Control": "no-store"}
    return StreamingResponse(written(first, ask, kind, COLUMNS[name]), media_type=TYPES[kind], headers=headers)


def written(first: Page, ask: Callable[[str | None], Page], kind: str, columns: tuple[str, ...]) -> Iterator[str]:
    """The file piece by piece, a page at a time and at most `MOST_ROWS` rows."""
    if kind == "csv":
        yield trail.csv_head(columns)
    page, rows = first, 0
    while True:
        items = page.items[: MOST_ROWS - rows]
        rows += len(items)
        yield trail.csv_lines(items, columns) if kind == "csv" else trail.json_lines(items)
        if page.next is None or rows >= MOST_ROWS:
            return
        page = ask(page.next)


def _asking(parts: Parts, request: Request, name: str) -> Callable[[str | None], Page]:
    """Each page is asked for with a fresh token, and only while the session lasts."""
    cookie, query = request.cookies.get(COOKIE), request.query_params

    def mint(audience: str) -> str:
        person = parts.sessions.read(cookie, parts.now())
        if person is None:
            raise SessionOver
        return parts.signer.mint(person, audience, parts.now())

    if name == "operators":
        return lambda cursor: _as_monitor(parts, mint, cursor)
    times = {side: datetime.fromisoformat(query[side]) for side in ("after", "before") if query.get(side)}
    if any(at.tzinfo is None for at in times.values()):
        raise ValueError("a time without an offset")
    words = {word: query.get(word) or None for word in ("actor", "action", "object_id")}
    return lambda cursor: _as_backend(parts, mint, cursor, {**words, **times})


def _as_backend(parts: Parts, mint: Callable[[str], str], cursor: str | None, asked: dict[str, Any]) -> Page:
    settings = parts.settings
    with BackendClient(
        settings.backend_urls, token=lambda: mint(BACKEND), ca_file=settings.ca_file, timeout=settings.backend_timeout_s
    ) as client:
        return client.audit(cursor=cursor, limit=AT_ONCE, **asked)


def _as_monitor(parts: Parts, mint: Callable[[str], str], cursor: str | None) -> Page:
    settings = parts.settings
    with MonitorClient(
        settings.monitor_url, token=lambda: mint(MONITOR), ca_file=settings.ca_file, timeout_s=settings.monitor_timeout_s
    ) as client:
        return client.audit(cursor=cursor, limit=AT_ONCE)
