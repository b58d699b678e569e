"""`python3 -m deploy clean`: delete the run folder, with every enrolled face in it, after asking."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence

from deploy.commands.down import stop
from deploy.layout import RunFolder, run_folder
from deploy.say import aloud
from deploy.sentence import Sentence


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    folder = run_folder()
    removed = folder.path.exists()
    if removed:
        _refuse_strangers(folder)
        if not options.yes:
            _ask(folder)
        stop(folder)
        _delete(folder)
    if options.json:
        print(json.dumps({"removed": str(folder.path) if removed else None}))
    else:
        aloud(f"Removed {folder.path}." if removed else f"{folder.path} does not exist.")
    return 0


def _delete(folder: RunFolder) -> None:
    """What a run makes, and the folder itself when nothing else is in it."""
    for entry in folder.entries:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
    if not any(folder.path.iterdir()):
        folder.path.rmdir()


def _refuse_strangers(folder: RunFolder) -> None:
    """A mistyped FLEET_RUN_DIR must not delete a home."""
    if not folder.engine_file.exists() and set(folder.path.iterdir()) - set(folder.entries):
        raise Sentence(f"{folder.path} is not a fleet's run folder: nothing was deleted")


def _ask(folder: RunFolder) -> None:
    if not sys.stdin.isatty():
        raise Sentence("this deletes every enrolled face; repeat it with --yes")
    answer = input(f"Stop the fleet and delete {folder.path} with all its data and keys? [y/N] ")
    if answer.strip().lower() not in ("y", "yes"):
        raise Sentence("nothing was deleted")
