"""The version of this program: `pyproject.toml` is the one place where it is written."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

PROJECT_FILE = Path(__file__).parent.parent / "pyproject.toml"


@cache
def version() -> str:
    return str(tomllib.loads(PROJECT_FILE.read_text("utf-8"))["project"]["version"])
