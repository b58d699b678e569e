"""Secrets of the fleet file: ``env:NAME`` and ``file:PATH``, read at the moment of use, so that a changed one is used at once."""

from __future__ import annotations

import os
from pathlib import Path

from monitor.fleet_alerts import is_reference


class SecretMissing(Exception):
    """The message names the place, never a value."""


def revealed(text: str, *, base: Path) -> str:
    """What a reference stands for; what is none is given back. A relative path is below `base`. Raises `SecretMissing`."""
    if not is_reference(text):
        return text
    kind, _, name = text.partition(":")
    try:
        value = os.environ.get(name, "") if kind == "env" else (base / name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SecretMissing(f"{text} cannot be read") from error
    if not value.strip():
        raise SecretMissing(f"{text} is empty")
    return value.strip()


def read_key(reference: str, *, base: Path) -> str:
    """A secret that goes into a header: printable ASCII. Raises `SecretMissing`."""
    value = revealed(reference, base=base)
    if not value.isascii() or not value.isprintable():
        raise SecretMissing(f"{reference} holds no key")
    return value
