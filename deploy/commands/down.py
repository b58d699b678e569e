"""`python3 -m deploy down`: nothing of the run lives on, whether its supervisor is alive, hung or long gone."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from deploy import processes
from deploy.layout import RunFolder, run_folder
from deploy.local import temporary
from deploy.say import aloud
from deploy.sentence import Sentence

SUPERVISOR_S = 30
"""Longer than the supervisor itself gives its programs."""
ORPHANS_S = 8


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    ended = stop(run_folder())
    if options.json:
        print(json.dumps(ended))
    else:
        aloud(f"Stopped {ended['stopped']} processes." if ended["stopped"] else "Nothing was running.")
    return 0


def stop(run: RunFolder) -> dict[str, int]:
    """End the supervisor, which ends its programs; then whatever else carries the fleet's mark.

    Raises:
        Sentence: something could not be ended (another user's processes).
    """
    found = set(processes.members(run))
    killed: list[int] = []
    try:
        if (pid := processes.supervisor(run)) is not None:
            found.add(pid)
            killed += processes.end([pid], ask_s=SUPERVISOR_S)
        found.update(processes.members(run))
        killed += end_orphans(run)
    except PermissionError:
        raise Sentence(f"the fleet of {run.path} runs as another user: stop it as that user or as root") from None
    for file in (run.supervisor_file, run.programs_file):
        file.unlink(missing_ok=True)
    return {"stopped": len(found), "killed": len(killed)}


def end_orphans(run: RunFolder) -> list[int]:
    """End every process of the fleet but a supervisor of it that calls this; answers with those that had to be killed.

    Raises:
        Sentence: some live on.
    """
    killed = processes.end(processes.members(run), ask_s=ORPHANS_S)
    if left := processes.members(run):
        raise Sentence(f"these processes do not end: {', '.join(map(str, left))}")
    temporary.forget(run.balancer)
    return killed
