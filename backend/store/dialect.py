"""What the ledger needs of a database: the seam between `Store` and SQLite or PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Engine

from backend.errors import FaceAuthError

BUSY_TIMEOUT_S = 10.0
"""How long a writer waits for the ledger lock, and a caller for a connection."""
NO_SCHEMA = "The database has no schema yet, or an older one than this program: run `python -m backend migrate`"


class UnsafeDatabase(Exception):
    """The database could lose what was acknowledged, or keep what was erased; or it is of a kind that we do not run on."""


class Database(Protocol):
    """Durability is asserted on each live connection: an acknowledged commit is on the disk."""

    engine: Engine
    snapshot_options: Mapping[str, Any]
    """execution options of a transaction that sees one moment throughout"""
    clock: ColumnElement[Any]
    """the time of the statement that it stands in: the one clock that leases are measured by"""
    scrubs_quickly: bool
    """whether somebody who waits for an answer may wait for `scrub` as well"""

    @property
    def folder(self) -> Path | None:
        """Where its files are, if this machine has them."""
        ...

    def prepare(self) -> None:
        """Before the first migration: make what a migration cannot."""
        ...

    def writing(self, *, bounded: bool = True) -> AbstractContextManager[Connection]:
        """A connection in a transaction that holds the ledger lock; commits at the end, durably.

        `bounded`: no statement of it runs longer than a request may wait; for what works on whole tables it is False.
        """
        ...

    def moment(self, said: Any) -> datetime:
        """What `clock` said."""
        ...

    def continue_numbering(self, connection: Connection, table: str, column: str, *, above: int) -> None:
        """The next number that this column gives by itself is above `above` and above all that are there."""
        ...

    def announce(self, connection: Connection) -> None:
        """Within a transaction that lengthened the gallery's log: wake those who follow it once it commits."""
        ...

    def listen(self, wake: Callable[[], None], stopping: threading.Event) -> None:
        """Call `wake` at every announcement until `stopping` is set; returns at once where there are none.

        Only a wake-up: announcements get lost, so whoever follows polls as well.
        """
        ...

    def scrub(self) -> bool:
        """Leave no erased byte where the database itself would keep it; False where it could not now."""
        ...

    def translate(self, error: Exception) -> FaceAuthError | None:
        """What a driver's error means for a caller; None: it is a defect of ours and stays as it is."""
        ...
