"""`python -m backend audit`: verify the chain of the audit trail, directly on the database."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from backend import settings
from backend.errors import FaceAuthError
from backend.store import audit_chain
from backend.store.audit_chain import Verdict
from backend.store.database import Store
from backend.store.dialect import UnsafeDatabase
from backend.store.keyring import Keyring, KeyringError

BROKEN = 1
COULD_NOT_LOOK = 3
_LOGGED = re.compile(r'audit head.*?position"?[=:] ?(\d+).*?hash"?[=:] ?"?([0-9a-f]{64})')
_PLAIN = re.compile(r"^\s*(\d+)\s+([0-9a-f]{64})\s*$")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    verify = actions.add_parser("verify", help="follow the chain from its beginning to its head")
    verify.add_argument(
        "--witness",
        type=Path,
        metavar="FILE",
        help="heads kept elsewhere: an app.log, or lines `place hash`; tells a cut-off end",
    )
    verify.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """0: the chain is whole; 1: it is broken; 3: it could not be looked at."""
    chosen = settings.load()
    try:
        witness = read_witness(args.witness) if args.witness else {}
        keyring = Keyring.load(chosen.master_key_file)
        with closing(Store.open(chosen.database_url.get_secret_value(), keyring=keyring)) as store:
            verdict, waiting = audit_chain.verify(store, witness), audit_chain.head(store).waiting
    except (FaceAuthError, KeyringError, UnsafeDatabase, OSError, WitnessError) as error:
        print(error, file=sys.stderr)
        return COULD_NOT_LOOK
    print(json.dumps({**asdict(verdict), "waiting": waiting}, indent=2) if args.json else _sentence(verdict, waiting))
    return 0 if verdict.holds else BROKEN


class WitnessError(Exception):
    """The file holds no head."""


def read_witness(file: Path) -> Mapping[int, str]:
    """Places and hashes of the lines that have some. Raises WitnessError for a file without any, and OSError."""
    lines = file.read_text("utf-8", errors="replace").splitlines()
    found = {int(match[1]): match[2] for line in lines if (match := _LOGGED.search(line) or _PLAIN.match(line))}
    if not found:
        raise WitnessError(f"{file} names no head of the audit chain: give an app.log, or lines `place hash`")
    return found


def _sentence(verdict: Verdict, waiting: int) -> str:
    if not verdict.holds:
        return f"BROKEN at {verdict.broken_at}: {verdict.why}"
    told = [f"whole: {verdict.position} events, head {verdict.hash}"]
    if verdict.witnessed or verdict.given_up:
        told.append(f"{verdict.witnessed} witnessed heads agree")
    if verdict.restores:
        told.append(f"restored at {', '.join(map(str, verdict.restores))} ({verdict.given_up} witnessed heads given up by that)")
    if waiting:
        told.append(f"{waiting} events not sealed yet")
    return "; ".join(told)
