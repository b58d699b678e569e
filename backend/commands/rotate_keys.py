"""`python -m backend rotate-keys`: another key in the key file's place, in three steps, while replicas run."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from backend import settings
from backend.errors import FaceAuthError
from backend.store.database import Store
from backend.store.dialect import UnsafeDatabase
from backend.store.key_file import add_key, keep_newest
from backend.store.keyring import Keyring, KeyringError
from backend.store.rotation import RotationError, retire, rotate

FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    step = parser.add_mutually_exclusive_group()
    step.add_argument("--prepare", action="store_true", help="first: put a new key into the key file, behind the present one")
    step.add_argument("--finish", action="store_true", help="last: take the old key out of the key file, if nothing needs it")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    chosen = settings.load()
    path, url = chosen.master_key_file, chosen.database_url.get_secret_value()
    try:
        if args.prepare:
            answer, sentences = _prepare(path)
        else:
            with closing(Store.open(url, keyring=Keyring.load(path))) as store:
                answer, sentences = _finish(store, path) if args.finish else _rotate(store)
    except (FaceAuthError, KeyringError, UnsafeDatabase, RotationError, OSError) as error:
        print(error, file=sys.stderr)
        return FAILED
    print(json.dumps(answer, indent=2) if args.json else "\n".join(sentences))
    return 0


def _prepare(path: Path) -> tuple[dict[str, object], list[str]]:
    present, new = add_key(path).check_values
    return {"present": present, "new": new}, [
        f"{path} holds a second key now; it is not in use yet. Back the file up apart from the database.",
        "Next: copy the file to the host of every replica. Each logs `key file read anew` when it has it.",
        "Then, and not before: `python -m backend rotate-keys`. A replica without the new key is not ready from then on.",
    ]


def _rotate(store: Store) -> tuple[dict[str, object], list[str]]:
    done = rotate(store)
    return asdict(done), [
        f"{done.subjects} keys of subjects and {done.snapshots} of index snapshots are wrapped by the new key.",
        "Next: `python -m backend rotate-keys --finish`. Backups made before now need the old key: keep a copy of the file.",
    ]


def _finish(store: Store, path: Path) -> tuple[dict[str, object], list[str]]:
    retired = retire(store)
    if retired:
        keep_newest(path)
    return {"retired": retired}, [
        f"{path} holds the new key alone: copy it to the host of every replica." if retired else f"{path} holds one key already.",
        "To restore a backup from before the rotation, put the old key's line first into the file.",
    ]
