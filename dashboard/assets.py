"""Files that our own pages need beside Streamlit's: served by this site, so that no other host is ever asked."""

from __future__ import annotations

from importlib.metadata import version
from importlib.resources import as_file, files

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

PLOTLY = "/assets/plotly.min.js"


def plotly_url() -> str:
    """With the version, so that a browser keeps it until the next one."""
    return f"{PLOTLY}?v={version('plotly')}"


def routes() -> list[Route]:
    return [Route(PLOTLY, _plotly)]


async def _plotly(request: Request) -> Response:
    with as_file(files("plotly").joinpath("package_data", "plotly.min.js")) as path:
        return FileResponse(path, media_type="text/javascript", headers={"Cache-Control": "private, max-age=31536000, immutable"})
