"""`python -m backend backup FILE`: a consistent copy of the ledger, taken while replicas run."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from backend import settings
from backend.errors import FaceAuthError
from backend.store.backup import BackupError, back_up
from backend.store.database import Store
from backend.store.dialect import UnsafeDatabase
from backend.store.keyring import Keyring, KeyringError

FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="where to; it must not exist yet")
    parser.add_argument(
        "--keys",
        type=Path,
        metavar="FILE",
        help="keep the subjects' keys apart in this file: the backup alone opens nothing",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    chosen = settings.load()
    try:
        keyring = Keyring.load(chosen.master_key_file)
        with closing(Store.open(chosen.database_url.get_secret_value(), keyring=keyring)) as store:
            manifest = back_up(store, args.file, args.keys)
    except (FaceAuthError, KeyringError, UnsafeDatabase, BackupError, OSError) as error:
        print(error, file=sys.stderr)
        return FAILED
    if args.json:
        print(json.dumps(asdict(manifest), indent=2))
    else:
        print(f"{args.file}: {sum(manifest.rows.values())} rows, {manifest.rows['subject']} subjects, head {manifest.position}")
        print("The key file is not in it: back it up apart. Without it nothing here can be opened.")
    return 0
