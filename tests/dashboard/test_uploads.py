"""Photographs on their way in: in memory, under no address, never in a file."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.formparsers import MultiPartParser
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from streamlit.web.server.starlette import starlette_routes

from dashboard import app
from tests.dashboard.conftest import Desktop


async def _where(request: Request) -> PlainTextResponse:
    """As Streamlit's route reads an upload."""
    async with request.form() as form:
        return PlainTextResponse("on disk" if form["file"].file._rolled else "in memory")  # type: ignore[union-attr]


@pytest.mark.parametrize("built", [False, True], ids=["as it comes", "in the dashboard"])
def test_the_largest_upload_that_is_accepted_is_never_laid_on_disk(
    desktop: Desktop, monkeypatch: pytest.MonkeyPatch, built: bool
) -> None:
    monkeypatch.setattr(MultiPartParser, "spool_max_size", 2**20)  # of the process: put back after this test
    if built:
        app.build(desktop.settings)
    photograph = b"\xff\xd8\xff" + b"\0" * (desktop.settings.max_upload_mb * 2**20 - 3)
    assert asyncio.run(_sent(photograph)) == ("in memory" if built else "on disk")


async def _sent(photograph: bytes) -> str:
    transport = httpx.ASGITransport(Starlette(routes=[Route("/", _where, methods=["PUT"])]))
    async with httpx.AsyncClient(transport=transport, base_url="http://dashboard.test") as client:
        return (await client.put("/", files={"file": photograph})).text


def test_an_upload_has_no_address_at_which_it_could_be_read() -> None:
    """Of Streamlit itself: whoever bumps it learns here that pictures became readable."""
    routes = starlette_routes.create_upload_routes(None, None, None)  # type: ignore[arg-type]
    methods = set().union(*(route.methods or set() for route in routes if isinstance(route, Route)))
    assert methods == {"PUT", "DELETE", "OPTIONS"}
