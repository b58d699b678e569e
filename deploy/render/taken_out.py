"""Who is taken out of nginx, beside its configuration: it keeps no state, and a rendering must not put anybody back.

One name per line. HAProxy needs no such file: it asks `/ready`.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.atomic import write

FILE = "taken-out.txt"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else changes who is taken out meanwhile: two at once would lose one."""
    with (folder / f".{FILE}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def read(folder: Path) -> frozenset[str]:
    """The names; none where there is no file."""
    try:
        return frozenset((folder / FILE).read_text("utf-8").split())
    except FileNotFoundError:
        return frozenset()


def store(folder: Path, names: frozenset[str]) -> None:
    if names:
        write(folder / FILE, "".join(f"{name}\n" for name in sorted(names)))
    else:
        (folder / FILE).unlink(missing_ok=True)
