"""Runs the short commands of our own programs while a fleet starts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.sentence import Sentence

LIMIT_S = 120


def run(command: Sequence[str], *, environment: Mapping[str, str], folder: Path, given: str | None = None) -> str:
    """What the command printed. Raises `Sentence` with the last of its own words when it fails."""
    try:
        done = subprocess.run(
            command, env=dict(environment), cwd=folder, input=given if given is not None else "", timeout=LIMIT_S,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Sentence(f"`{_shown(command)}` did not end within {LIMIT_S} s") from None
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()[-8:]
        raise Sentence(f"`{_shown(command)}` failed with status {done.returncode}:\n" + "\n".join(words))
    return done.stdout


def run_json(command: Sequence[str], *, environment: Mapping[str, str], folder: Path, given: str | None = None) -> dict[str, Any]:
    """The object that the command printed."""
    printed = run(command, environment=environment, folder=folder, given=given)
    try:
        found: dict[str, Any] = json.loads(printed[printed.index("{") :])
    except ValueError:
        raise Sentence(f"`{_shown(command)}` printed no JSON") from None
    return found


def _shown(command: Sequence[str]) -> str:
    return " ".join(("python", *command[1:]))
