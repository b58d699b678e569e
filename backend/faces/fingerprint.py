"""What tells one model from another: the bytes of its files, how images are prepared for it, and the engine that runs it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_id(name: str, files: Mapping[str, str], *, preprocessing: str, engine: str) -> str:
    """`name-` and 16 hex digits over the files' hashes, the preprocessing version and the engine's.

    File and folder names do not count: the same weights in another folder are the same model.
    """
    digest = hashlib.sha256("\n".join([engine, preprocessing, *sorted(files.values())]).encode()).hexdigest()
    return f"{name}-{digest[:16]}"
