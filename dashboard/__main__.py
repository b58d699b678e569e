"""`python -m dashboard serve | users | keys`."""

from __future__ import annotations

import argparse
import sys

from dashboard.commands import keys, serve, users

COMMANDS = {
    "serve": (serve, "the web server"),
    "users": (users, "the people who may sign in"),
    "keys": (keys, "the key that signs people's tokens"),
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m dashboard", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (command, said) in COMMANDS.items():
        sub = commands.add_parser(name, help=said)
        sub.add_argument("--json", action="store_true", help="print JSON")
        command.add_arguments(sub)
    options = parser.parse_args(arguments)
    status: int = COMMANDS[options.command][0].run(options)
    return status


if __name__ == "__main__":
    sys.exit(main())
