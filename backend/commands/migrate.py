"""`python -m backend migrate`: schema up to date, key file made, gallery pinned to the engine's model. Harmless to repeat."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from backend import settings
from backend.errors import FaceAuthError
from backend.faces.load import EngineError, load_engine
from backend.settings import Settings
from backend.store.dialect import UnsafeDatabase
from backend.store.keyring import Keyring, KeyringError
from backend.store.migration import MigrationError, key_is_pinned, pin, upgrade

FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    chosen = settings.load()
    url = chosen.database_url.get_secret_value()
    try:
        model_id, *others = _models(chosen)
        done = upgrade(url)
        made_key = not chosen.master_key_file.exists()
        keyring = _keyring(chosen.master_key_file, url)
        pinned_now = pin(url, keyring=keyring, model_id=model_id, others=others)
    except (MigrationError, KeyringError, UnsafeDatabase, EngineError, FaceAuthError) as error:
        print(error, file=sys.stderr)
        return FAILED
    if args.json:
        answer = {"before": done.before, "after": done.after, "model_id": model_id, "made_key": made_key, "pinned": pinned_now}
        print(json.dumps(answer, indent=2))
    else:
        print(
            f"schema {done.after}" + (" (was already so)" if done.before == done.after else f" (before: {done.before or 'none'})")
        )
        print(f"model {model_id}" + (" pinned" if pinned_now else ""))
        if made_key:
            print(f"key file {chosen.master_key_file} made: back it up apart from the database. Lost key = lost data")
    return 0


def _models(chosen: Settings) -> list[str]:
    """Of the settings' engine, and of the second one: after a change of model the gallery may be pinned to either."""
    slots = [slot for slot in (chosen, chosen.next_model()) if slot is not None]
    return [load_engine(slot.engine, model_pack=slot.model_pack).card.model_id for slot in slots]


def _keyring(path: Path, url: str) -> Keyring:
    """A new key only for a new database: with another key what is stored could never be opened."""
    if path.exists():
        return Keyring.load(path)
    if key_is_pinned(url):
        raise KeyringError(f"the key file {path} is missing, and the database was encrypted with it: put it back")
    return Keyring.create(path)
