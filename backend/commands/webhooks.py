"""`python -m backend webhooks`: is the receiver there, and what has it not got yet?"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime

from backend import settings
from backend.endpoint import EndpointError, Message, endpoint_of
from backend.errors import FaceAuthError
from backend.store import outbox
from backend.store.audit import Audit
from backend.store.caller import SYSTEM
from backend.store.database import Store
from backend.store.dialect import UnsafeDatabase
from backend.store.ids import new_id
from backend.store.keyring import Keyring, KeyringError
from backend.store.tables import Outbox

FAILED = 1
MOST_LISTED = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    test = actions.add_parser("test", help="send a signed webhook.test event now")
    listing = actions.add_parser("list", help="show the events that wait, or were given up")
    retry = actions.add_parser("retry", help="try again what was given up, for another three days")
    which = retry.add_mutually_exclusive_group(required=True)
    which.add_argument("ids", nargs="*", default=[], metavar="ID", help="its id, evt_…")
    which.add_argument("--all", action="store_true", help="all of them")
    for action in (test, listing, retry):
        action.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """0: it was taken with a 2xx, or listed; for `retry`: something was found to try again."""
    try:
        return _ACTIONS[args.action](args)
    except (FaceAuthError, KeyringError, UnsafeDatabase, EndpointError) as error:
        print(error, file=sys.stderr)
        return FAILED


def _test(args: argparse.Namespace) -> int:
    event_id = new_id("evt")
    body = {"type": "webhook.test", "timestamp": datetime.now(UTC).isoformat(), "data": {}}
    with endpoint_of(settings.load()).connected() as connection:
        answer = connection.post(Message(event_id, body))
    if args.json:
        print(
            json.dumps({"id": event_id, "status": answer.status, "problem": answer.problem, "seconds": round(answer.seconds, 3)})
        )
    else:
        print(f"{event_id}  {answer.word}  {answer.seconds:.3f} s  {'delivered' if answer.ok else 'NOT delivered'}")
    return 0 if answer.ok else FAILED


@contextmanager
def _store() -> Iterator[Store]:
    chosen = settings.load()
    with closing(Store.open(chosen.database_url.get_secret_value(), keyring=Keyring.load(chosen.master_key_file))) as store:
        yield store


def _list(args: argparse.Namespace) -> int:
    with _store() as store:
        rows, total = outbox.undelivered(store, limit=MOST_LISTED)
    if args.json:
        print(json.dumps({"items": [_shown(row) for row in rows], "next": None, "total": total}, indent=2))
    elif not rows:
        print("Nothing waits, and nothing was given up.")
    else:
        for row in rows:
            shown = _shown(row)
            print(
                f"{row.event_id}  {shown['state']:7}  {row.topic:18}  {row.attempts:3}  {row.last_result or '-'}  {shown['at']}"
            )
    return 0


def _shown(row: Outbox) -> dict[str, object]:
    return {
        "id": row.event_id,
        "type": row.topic,
        "state": "waiting" if row.dropped_at is None else "dropped",
        "at": row.created_at.isoformat(),
        "attempts": row.attempts,
        "last_result": row.last_result,
        "next_at": row.next_at.isoformat() if row.next_at and row.dropped_at is None else None,
    }


def _retry(args: argparse.Namespace) -> int:
    with _store() as store:
        count = outbox.revive(store, None if args.all else args.ids)
        if count:
            Audit(store).record(SYSTEM, "webhook.retry", None, {"events": count})
    print(json.dumps({"tried_again": count}) if args.json else f"{count} will be tried again.")
    return 0 if count else FAILED


_ACTIONS = {"test": _test, "list": _list, "retry": _retry}
