"""`python3 -m deploy status`: what runs, from the supervisor's own record. Exit status 0 only when all of it does."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from deploy import processes
from deploy.layout import RunFolder, run_folder


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    found = look(run_folder())
    if options.json:
        print(json.dumps(found))
    elif found["supervisor"] is None:
        print(
            "Not running." + (f" Left over: {found['left_over']} processes; `make stop` ends them." if found["left_over"] else "")
        )
    else:
        print(f"Supervisor: process {found['supervisor']}")
        for name, program in found["programs"].items():
            print(f"  {name:10} {program['state']:9} process {program['pid'] or '-':<8} restarts {program['restarts']}")
    running = [program["state"] == "running" for program in found["programs"].values()]
    return 0 if found["supervisor"] and running and all(running) else 1


def look(run: RunFolder) -> dict[str, Any]:
    pid = processes.supervisor(run)
    if pid is None:
        return {"supervisor": None, "programs": {}, "left_over": len(processes.members(run))}
    try:
        programs = json.loads(run.programs_file.read_text())
    except (OSError, ValueError):
        programs = {}
    return {"supervisor": pid, "programs": programs, "left_over": 0}
