"""The version that stands in `pyproject.toml`, wherever the program runs from."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

PROJECT = "face-auth-system"


@cache
def version() -> str:
    """From the source tree that runs, else from the installed distribution."""
    source = Path(__file__).parent.parent / "pyproject.toml"
    if source.is_file():
        return str(tomllib.loads(source.read_text("utf-8"))["project"]["version"])
    try:
        return metadata.version(PROJECT)
    except metadata.PackageNotFoundError:
        return "unknown"
