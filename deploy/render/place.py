"""Where a balancer runs: as Debian's package has it, or below the run folder of a local fleet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """What differs between a server's installation and a folder of our own."""

    packaged: bool
    folder: Path | None = None
    """of a local balancer: its working folder"""
    temporary: Path | None = None
    """of a local nginx: where its workers may write"""
    read_only: bool = False
    """the folder cannot be written to: in a container"""
    worker_user: str | None = None
    """of a local nginx: who its workers are; None = whoever starts it, when that is not root"""


PACKAGED = Place(packaged=True)
