"""Where a replica keeps the snapshots of its index."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

log = logging.getLogger(__name__)


class SnapshotNotKept(Exception):
    """This replica goes on without a new snapshot; the message says what to change."""


@dataclass(frozen=True)
class Place:
    """Which folder, whose, and how often its content is renewed."""

    folder: Path
    """one for all replicas of a machine will do: each makes a folder of its own in it"""
    holder: str
    """the replica's name; it must outlive the process, or no snapshot is found again"""
    every_s: float
    min_free_bytes: int
    """what must stay free on the disk"""
    beside: str = ""
    """of a second model of the same replica, which has a folder of its own"""


class SnapshotFolder:
    """One replica's own: nobody else writes there."""

    def __init__(self, place: Place, *, gallery_id: str) -> None:
        self._folder = place.folder / quote(f"{gallery_id}-{place.holder}{place.beside}", safe="")
        self._min_free_bytes = place.min_free_bytes

    def file(self, snapshot_id: str) -> Path:
        return self._folder / f"{snapshot_id}.snapshot"

    def prepare(self, size: int) -> None:
        """Before a file of `size` bytes is written. Raises SnapshotNotKept where there is no room for it beside the old one."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if shutil.disk_usage(self._folder).free < size + self._min_free_bytes:
            raise SnapshotNotKept(f"an index snapshot of {size} bytes finds no room in {self._folder}")

    def tidy(self, *, keep: str | None) -> None:
        """Away with every file but that of `keep`: no key opens the others, and no kill leaves them behind for long."""
        try:
            for path in [*self._folder.glob("*.snapshot"), *self._folder.glob("*.tmp")]:
                if keep is None or path != self.file(keep):
                    path.unlink(missing_ok=True)
        except OSError as error:  # they take room, and no more than that
            log.warning("old index snapshots stay on the disk", extra={"fields": {"why": os.strerror(error.errno or 0)}})
