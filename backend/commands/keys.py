"""`python -m backend keys`: API keys, directly on the database, so that the first one can be made before the service runs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel

from backend import settings, wire
from backend.errors import FaceAuthError
from backend.store.api_keys import Keys
from backend.store.database import Store
from backend.store.dialect import UnsafeDatabase
from backend.store.keyring import Keyring, KeyringError

FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a key; its secret is shown once")
    create.add_argument("--name", required=True, help="what the key is for")
    create.add_argument(
        "--scope", action="append", required=True, choices=list(wire.Scope), dest="scopes", help="may be repeated"
    )
    create.add_argument("--expires-days", type=_days, metavar="N", help="days until it expires (default: never)")
    listing = actions.add_parser("list", help="show all keys")
    revoke = actions.add_parser("revoke", help="refuse a key from now on")
    revoke.add_argument("id", help="its id, key_…")
    for action in (create, listing, revoke):
        action.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    try:
        with _keys() as keys:
            return _ACTIONS[args.action](keys, args)
    except (FaceAuthError, KeyringError, UnsafeDatabase) as error:
        print(error, file=sys.stderr)
        return FAILED


@contextmanager
def _keys() -> Iterator[Keys]:
    chosen = settings.load()
    store = Store.open(chosen.database_url.get_secret_value(), keyring=Keyring.load(chosen.master_key_file))
    try:
        yield Keys(store)
    finally:
        store.close()


def _create(keys: Keys, args: argparse.Namespace) -> int:
    expires_at = None if args.expires_days is None else datetime.now(UTC) + timedelta(days=args.expires_days)
    key = keys.create(args.name, [wire.Scope(scope) for scope in args.scopes], expires_at)
    if args.json:
        _print_json(key)
    else:
        print(f"{key.id}  {' '.join(key.scopes)}\n{key.secret}\nThe secret is not shown again.")
    return 0


def _list(keys: Keys, args: argparse.Namespace) -> int:
    found = keys.list()
    if args.json:
        print(json.dumps({"items": [key.model_dump(mode="json") for key in found], "next": None, "total": len(found)}, indent=2))
    elif not found:
        print("There are no keys yet: `python -m backend keys create`.")
    else:
        for key in found:
            print(f"{key.id}  {_state(key):8}  {','.join(key.scopes):20}  {key.name}")
    return 0


def _revoke(keys: Keys, args: argparse.Namespace) -> int:
    key = keys.revoke(args.id)
    if args.json:
        _print_json(key)
    else:
        print(f"{key.id} is revoked.")
    return 0


_ACTIONS = {"create": _create, "list": _list, "revoke": _revoke}


def _state(key: wire.Key) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= datetime.now(UTC) else "valid"


def _print_json(model: BaseModel) -> None:
    print(model.model_dump_json(indent=2))


def _days(text: str) -> float:
    days = float(text)
    if not 0 < days <= 36_500:
        raise argparse.ArgumentTypeError("give a number of days above 0")
    return days
