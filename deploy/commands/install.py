"""`python3 -m deploy install`: `.venv`, and nothing else."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from deploy.environment import Environment
from deploy.say import aloud


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    environment = Environment()
    took = environment.install(aloud)
    if options.json:
        print(json.dumps({"python": str(environment.python), "install_s": round(took, 1)}))
    return 0
