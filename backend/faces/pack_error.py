"""What can go wrong with model packs."""

from __future__ import annotations


class PackError(Exception):
    """The message is one sentence that says what to do."""
