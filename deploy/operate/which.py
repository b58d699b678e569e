"""What says which fleet a command is about. Standard library only: these stand before the environment exists."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def fleet_options(parser: argparse.ArgumentParser, *, restart: bool = False) -> None:
    """What says which fleet is meant; without `--fleet` it is that of `make run`."""
    parser.add_argument("--fleet", type=Path, help="the fleet file (default: the fleet that `make run` started)")
    parser.add_argument("--out", type=Path, help="where `render --out` wrote this machine's balancer configuration")
    parser.add_argument("--key", metavar="file:PATH", help="an operator's key (default: drain.key of the fleet file)")
    parser.add_argument("--reload", metavar="COMMAND", help="reloads the balancer (default: systemctl reload nginx or haproxy)")
    if restart:
        parser.add_argument(
            "--restart", metavar="COMMAND",
            help="restarts one backend; {name} and {host} are filled in: 'ssh {host} systemctl restart face-auth-backend@{name}'",
        )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def absolute(options: argparse.Namespace, arguments: Sequence[str]) -> list[str]:
    """The same command for another working folder: `environment.enter` may start it again in the repository."""
    given = {str(path): str(path.absolute()) for path in (options.fleet, options.out) if path is not None}
    return [given.get(argument, argument) for argument in arguments]
