"""Keys of the fleet file: ``env:NAME`` and ``file:PATH``, read at the moment of use, so that a changed one is used at once."""

from __future__ import annotations

import os
from pathlib import Path


class KeyUnreadable(Exception):
    """The message names the place, never a value."""


def read_key(reference: str, *, base: Path) -> str:
    """What a reference stands for; a relative path is below `base`. Raises `KeyUnreadable`."""
    kind, _, place = reference.partition(":")
    try:
        value = os.environ.get(place, "") if kind == "env" else (base / place).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise KeyUnreadable(f"{reference} cannot be read") from error
    value = value.strip()
    if not value or not value.isascii() or not value.isprintable():
        raise KeyUnreadable(f"{reference} holds no key")
    return value
