"""A command that an operator named: run to its end, its own words where it fails."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence

from deploy.sentence import Sentence


def run(command: Sequence[str], *, within_s: float) -> None:
    """Raises `Sentence`: it cannot be started, takes too long, or ends with another status than 0."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=within_s)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Sentence(f"`{shlex.join(command)}`: {error}") from None
    if done.returncode != 0:
        raise Sentence(f"`{shlex.join(command)}` ended with {done.returncode}: {(done.stdout + done.stderr).strip()}")
