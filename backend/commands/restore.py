"""`python -m backend restore FILE`: a backup becomes the ledger, as a new epoch."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

from backend import settings
from backend.errors import FaceAuthError, Unavailable
from backend.faces.load import EngineError, load_engine
from backend.gallery.candidates import best_comparison
from backend.settings import Settings
from backend.store import scrubbing
from backend.store.backup import BackupError, read_manifest
from backend.store.database import Store
from backend.store.dialect import UnsafeDatabase
from backend.store.keyring import Keyring, KeyringError
from backend.store.restore import Restored, restore
from backend.store.sample_erasure import Compare

FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="what `backup` wrote")
    parser.add_argument("--keys", type=Path, metavar="FILE", help="the subjects' keys, where they were kept apart")
    parser.add_argument("--replace", action="store_true", help="put it in the place of what the database holds")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    chosen = settings.load()
    try:
        keyring, compare = Keyring.load(chosen.master_key_file), _comparing(chosen, args.file)
        with closing(Store.open(chosen.database_url.get_secret_value(), keyring=keyring)) as store:
            done = restore(store, args.file, compare=compare, keys_file=args.keys, replace=args.replace)
            with suppress(Unavailable):  # it is restored all the same, and a replica's sweep does what is left
                scrubbing.settle(store)
    except (FaceAuthError, KeyringError, UnsafeDatabase, EngineError, BackupError, OSError) as error:
        print(error, file=sys.stderr)
        return FAILED
    print(json.dumps(asdict(done), indent=2) if args.json else _sentences(done))
    return 0


def _comparing(chosen: Settings, file: Path) -> Compare:
    """Pairs may have to be judged anew, on the scale of the model that the backup's templates are of."""
    slots = [slot for slot in (chosen, chosen.next_model()) if slot is not None]
    cards = [load_engine(slot.engine, model_pack=slot.model_pack).card for slot in slots]
    model_id = read_manifest(file).model_id
    for card in cards:
        if model_id in (None, card.model_id):
            return partial(best_comparison, card.metric)
    raise BackupError(f"the backup's templates are of {model_id}, the engine here is {cards[0].model_id}: choose theirs")


def _sentences(done: Restored) -> str:
    told = [f"{done.rows} rows restored as epoch {done.epoch}: running replicas read the gallery anew"]
    if done.replaced_position:
        told.append(f"what was there before, up to place {done.replaced_position} of the audit trail, is gone")
    if done.erased_again:
        told.append(f"{done.erased_again} people who were erased since, here or from the file of keys, are erased again")
    if done.samples_erased_again:
        told.append(f"{done.samples_erased_again} samples that were erased since are erased again")
    if done.left_bare:
        told.append(f"{len(done.left_bare)} subjects have no sample left, add one to each: {', '.join(done.left_bare)}")
    if done.revoked_again:
        told.append(f"{done.revoked_again} API keys that were revoked since are revoked again")
    return "\n".join(told)
