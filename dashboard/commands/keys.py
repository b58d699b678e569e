"""`python -m dashboard keys`: the key that signs people's tokens, and its public half for the backends and the monitor."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dashboard import settings as configuration
from dashboard import signing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    for name, said in (
        ("init", "make the private key where there is none, and write its public half"),
        ("rotate", "make a new private key; the old public key stays listed until its last token has expired"),
        ("show", "print the public half"),
    ):
        action = actions.add_parser(name, help=said)
        action.add_argument("--key-file", type=Path, help="the private key (default: DASHBOARD_SIGNING_KEY_FILE)")
        action.add_argument(
            "--jwks", type=Path, help="the JWKS to write or to extend: BACKEND_SIGNERS_FILE, MONITOR_SIGNERS_FILE"
        )
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")


def run(options: argparse.Namespace) -> int:
    try:
        path = options.key_file or configuration.load().signing_key_file
        signer = _signer(options.action, path)
        jwks = signing.with_key(_present(options.jwks), signer.jwk)
        if options.jwks is not None and options.action != "show":
            _write(options.jwks, jwks)
    except (signing.SigningKeyError, ValidationError, configuration.UnknownSetting, OSError, ValueError) as error:
        print(f"dashboard: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps({"key_file": str(path), "kid": signer.jwk["kid"], "jwks": jwks}))
    else:
        print(f"{path} signs as {signer.jwk['kid']}")
        print(f"public keys: {options.jwks}" if options.jwks else json.dumps(jwks, indent=2))
    return 0


def _signer(action: str, path: Path) -> signing.Signer:
    if action == "init" and not path.exists():
        return signing.create(path)
    if action != "rotate":
        return signing.Signer.load(path)
    signing.Signer.load(path)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    signer = signing.create(fresh)
    fresh.replace(path)
    return signer


def _present(jwks: Path | None) -> dict[str, Any]:
    if jwks is None or not jwks.exists():
        return {}
    found = json.loads(jwks.read_text("utf-8"))
    if not isinstance(found, dict) or not isinstance(found.get("keys", []), list):
        raise ValueError(f"{jwks} is not a JWKS")
    return found


def _write(path: Path, jwks: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        json.dump(jwks, out, indent=2)
        out.write("\n")
    fresh.replace(path)
