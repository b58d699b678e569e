"""One file over HTTP, resumed where an earlier attempt ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx

from backend.faces.pack_error import PackError

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes that there will be, if the server says so."""

_TIMEOUT = httpx.Timeout(30.0, connect=10.0)


def download(url: str, path: Path, *, progress: Progress | None = None) -> None:
    """`path` holds the whole file afterwards; what an interrupted attempt left there is continued. Raises PackError."""
    have = path.stat().st_size if path.exists() else 0
    try:
        with httpx.stream("GET", url, headers=_range(have), follow_redirects=True, timeout=_TIMEOUT) as response:
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                path.unlink()  # as long as the file or longer: not a beginning of it
                raise PackError("The interrupted download does not fit the file: run the command again to start over")
            response.raise_for_status()
            _write(response, path, have, progress)
    except httpx.HTTPStatusError as error:
        raise PackError(f"{_host(url)} answered {error.response.status_code} for {url}: {_ELSEWHERE}") from None
    except httpx.HTTPError as error:
        raise PackError(f"{_host(url)} cannot be reached ({type(error).__name__}): {_ELSEWHERE}") from None
    except httpx.InvalidURL:
        raise PackError(f"{url} is not an address to download from") from None


_ELSEWHERE = "download the file on another machine and use `python -m backend models import`"


def _range(have: int) -> dict[str, str]:
    return {"Range": f"bytes={have}-", "Accept-Encoding": "identity"} if have else {"Accept-Encoding": "identity"}


def _write(response: httpx.Response, path: Path, have: int, progress: Progress | None) -> None:
    continued = response.status_code == httpx.codes.PARTIAL_CONTENT and _starts_at(response) == have
    if response.status_code == httpx.codes.PARTIAL_CONTENT and not continued:
        raise PackError("The server sent another part than was asked for: remove the .part file and run the command again")
    done = have if continued else 0
    length = response.headers.get("Content-Length", "")
    total = done + int(length) if length.isdigit() else None
    with path.open("ab" if continued else "wb") as file:
        for piece in response.iter_raw():
            file.write(piece)
            done += len(piece)
            if progress:
                progress(done, total)


def _starts_at(response: httpx.Response) -> int | None:
    """Of `Content-Range: bytes 100-199/200`."""
    start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(start) if start.isdigit() else None


def _host(url: str) -> str:
    return httpx.URL(url).host or url
