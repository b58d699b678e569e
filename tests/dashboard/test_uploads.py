"""Photographs on their way in: in memory, under no address, never in a file."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.formparsers import MultiPartParser
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
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
    with TestClient(Starlette(routes=[Route("/", _where, methods=["PUT"])])) as client:
        assert client.put("/", files={"file": photograph}).text == ("in memory" if built else "on disk")


def test_an_upload_has_no_address_at_which_it_could_be_read() -> None:
    """Of Streamlit itself: whoever bumps it learns here that pictures became readable."""
    routes = starlette_routes.create_upload_routes(None, None, None)  # type: ignore[arg-type]
    methods = set().union(*(route.methods or set() for route in routes if isinstance(route, Route)))
    assert methods == {"PUT", "DELETE", "OPTIONS"}
