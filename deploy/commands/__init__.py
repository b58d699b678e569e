"""The command line. Each command is a module, imported when it is asked for: some run before the environment exists."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from deploy.sentence import Sentence

COMMANDS = {
    "up": "start the whole system on this machine (what `make run` calls)",
    "down": "stop what is left of a run (`make stop`)",
    "status": "say what runs",
    "clean": "stop, and delete the run folder with its data, after asking (`make clean`)",
    "install": "make or update .venv (`make install`)",
    "render": "turn a fleet file into configuration: nginx, HAProxy, Kubernetes, AWS",
}


def run(arguments: Sequence[str]) -> int:
    options = _parser(arguments).parse_args(arguments)
    command = importlib.import_module(f"deploy.commands.{options.command}")
    try:
        status: int = command.run(options, arguments)
    except Sentence as sentence:
        print(f"deploy {options.command}: {sentence}", file=sys.stderr)
        return sentence.status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `deploy status | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy", description="Run and deploy the face authentication system.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    asked = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, what in COMMANDS.items():
        command = commands.add_parser(name, help=what, description=what)
        if name == asked:
            importlib.import_module(f"deploy.commands.{name}").options(command)
    return parser
