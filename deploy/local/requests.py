"""What other commands ask of the running supervisor: a file per request in the run folder, taken once. Standard library only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from deploy.atomic import write_private
from deploy.layout import RunFolder


def ask_restart(run: RunFolder, name: str) -> None:
    """End this program by SIGTERM and start it again at once."""
    run.requests.mkdir(mode=0o700, exist_ok=True)
    write_private(run.requests / name, "restart\n")


def restarts(run: RunFolder) -> Iterator[str]:
    """The programs that somebody asked to be restarted; each is told once."""
    with suppress(FileNotFoundError):
        for request in sorted(run.requests.iterdir()):
            if not request.name.startswith("."):  # one that is being written
                request.unlink()
                yield request.name
