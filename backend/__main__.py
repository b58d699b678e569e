"""`python -m backend COMMAND`: each command is a module of `backend.commands`, imported only when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from backend.settings import SettingsError

COMMANDS = {
    "serve": "answer HTTP requests until told to stop",
    "migrate": "bring the database's schema up to date and pin the model",
    "enrol": "enrol a folder of photographs through the API",
    "import-compreface": "enrol the people of an Exadel CompreFace server through the API",
    "evaluate": "measure an engine on a folder of known faces",
    "calibrate": "measure an engine's scores on photographs of known people, into a calibration file",
    "models": "list, install, import and verify model packs",
    "keys": "create, list and revoke API keys",
    "audit": "verify the chain of the audit trail",
    "backup": "copy the ledger, as it is at one moment, into one file",
    "restore": "put a backup in the place of the ledger",
    "webhooks": "send a test event; list the undelivered ones, try again what was given up",
    "re-embed": "change the gallery's model beside the running service: fill, compare, switch, roll back, finish",
    "rotate-keys": "replace the key file's key while replicas run",
}
WRONG_USE = 2


class Command(Protocol):
    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int:
        """Returns the exit status."""
        ...


def main(arguments: Sequence[str]) -> int:
    asked = next((word for word in arguments if not word.startswith("-")), None)
    parser, command = _parser(asked)
    args = parser.parse_args(arguments)
    try:
        return command.run(args) if command else WRONG_USE
    except SettingsError as error:
        print(*error.sentences, sep="\n", file=sys.stderr)
        return WRONG_USE
    except KeyboardInterrupt:
        return 130


def _parser(asked: str | None) -> tuple[argparse.ArgumentParser, Command | None]:
    """A parser that knows every command's name but the arguments of the asked one only: importing an engine takes seconds."""
    parser = argparse.ArgumentParser(prog="python -m backend", description="The face authentication and de-duplication service.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    command: Command | None = None
    for name, sentence in COMMANDS.items():
        own = commands.add_parser(name, help=sentence, description=sentence[0].upper() + sentence[1:] + ".")
        if name == asked:
            command = cast(Command, importlib.import_module(f"backend.commands.{name.replace('-', '_')}"))
            command.add_arguments(own)
    return parser, command


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
