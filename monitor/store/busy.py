"""Why a database cannot be had."""

from __future__ import annotations


class StoreBusy(Exception):
    """Another monitor writes to this database."""
