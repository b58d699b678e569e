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
RATE = "requests per minute that each replica hears from it; 0: any number (default: BACKEND_KEY_RATE_PER_MINUTE)"
DEMO = "its requests that carry X-Synthetic count in no rate limit"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a key; its secret is shown once")
    create.add_argument("--name", required=True, help="what the key is for")
    create.add_argument(
        "--scope", action="append", required=True, choices=list(wire.Scope), dest="scopes", help="may be repeated"
    )
    create.add_argument("--expires-days", type=_days, metavar="N", help="days until it expires (default: never)")
    create.add_argument("--rate-per-minute", type=_rate, metavar="N", help=RATE)
    create.add_argument("--synthetic", action="store_true", help=DEMO)
    listing = actions.add_parser("list", help="show all keys")
    revoke = actions.add_parser("revoke", help="refuse a key from now on")
    revoke.add_argument("id", help="its id, key_…")
    rotate = actions.add_parser("rotate", help="make a key like it, and let the old one end")
    rotate.add_argument("id", help="its id, key_…")
    rotate.add_argument(
        "--overlap-hours",
        type=_hours,
        default=24.0,
        metavar="N",
        help="both are good so long (default: 24; 0: the new one alone)",
    )
    change = actions.add_parser("change", help="another limit, from its next request on")
    change.add_argument("id", help="its id, key_…")
    change.add_argument("--rate-per-minute", type=_rate_or_default, default=argparse.SUPPRESS, metavar="N|default", help=RATE)
    change.add_argument("--synthetic", action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=DEMO)
    for action in (create, listing, revoke, rotate, change):
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
    asked = wire.KeyRequest(
        name=args.name,
        scopes=[wire.Scope(scope) for scope in args.scopes],
        expires_at=expires_at,
        rate_per_minute=args.rate_per_minute,
        synthetic=args.synthetic,
    )
    return _show_new(keys.create(asked), args)


def _rotate(keys: Keys, args: argparse.Namespace) -> int:
    return _show_new(keys.replace(args.id, overlap=timedelta(hours=args.overlap_hours)), args)


def _show_new(key: wire.NewKey, args: argparse.Namespace) -> int:
    if args.json:
        _print_json(key)
    else:
        ends = f"ends {key.expires_at:%Y-%m-%d %H:%M} UTC" if key.expires_at else "does not end by itself"
        print(f"{key.id}  {' '.join(key.scopes)}  {ends}\n{key.secret}\nThe secret is not shown again.")
    return 0


def _change(keys: Keys, args: argparse.Namespace) -> int:
    named = {name: getattr(args, name) for name in wire.KeyChange.model_fields if hasattr(args, name)}
    key = keys.change(args.id, wire.KeyChange(**named))
    if args.json:
        _print_json(key)
    else:
        print(f"{key.id}: {_limit(key)}")
    return 0


def _list(keys: Keys, args: argparse.Namespace) -> int:
    found = keys.list()
    if args.json:
        print(json.dumps({"items": [key.model_dump(mode="json") for key in found], "next": None, "total": len(found)}, indent=2))
    elif not found:
        print("There are no keys yet: `python -m backend keys create`.")
    else:
        for key in found:
            used = f"used {key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never used"
            print(f"{key.id}  {_state(key):8}  {','.join(key.scopes):20}  {used:21}  {_limit(key):16}  {key.name}")
    return 0


def _revoke(keys: Keys, args: argparse.Namespace) -> int:
    key = keys.revoke(args.id)
    if args.json:
        _print_json(key)
    else:
        print(f"{key.id} is revoked.")
    return 0


_ACTIONS = {"create": _create, "list": _list, "revoke": _revoke, "rotate": _rotate, "change": _change}


def _state(key: wire.Key) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= datetime.now(UTC) else "valid"


def _limit(key: wire.Key) -> str:
    rate = "default limit" if key.rate_per_minute is None else f"{key.rate_per_minute}/min" if key.rate_per_minute else "no limit"
    return f"{rate}, synthetic" if key.synthetic else rate


def _print_json(model: BaseModel) -> None:
    print(model.model_dump_json(indent=2))


def _rate(text: str) -> int:
    rate = int(text)
    if not 0 <= rate <= 100_000:
        raise argparse.ArgumentTypeError("give a number from 0 (no limit) to 100000")
    return rate


def _rate_or_default(text: str) -> int | None:
    return None if text == "default" else _rate(text)


def _hours(text: str) -> float:
    hours = float(text)
    if not 0 <= hours <= 24 * 365:
        raise argparse.ArgumentTypeError("give a number of hours from 0 to 8760")
    return hours


def _days(text: str) -> float:
    days = float(text)
    if not 0 < days <= 36_500:
        raise argparse.ArgumentTypeError("give a number of days above 0")
    return days
