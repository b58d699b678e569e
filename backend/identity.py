"""Who is calling: machines by API key, people by the short-lived token that their dashboard signed.

A token is verified offline with the dashboards' public keys (a JWKS file, read again when it changes). The algorithm is
pinned to EdDSA over Ed25519: what the token's own header claims is never believed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from backend.errors import Unauthenticated
from backend.store.caller import Caller
from backend.wire import Scope

ISSUER = "face-auth-dashboard"
AUDIENCE = "face-auth-backend"
LEEWAY_S = 30
LONGEST_S = 300
"""A dashboard signs for five minutes at most: what is good for longer was not signed by the program that we know."""
REQUIRED = ["aud", "iss", "exp", "iat", "sub", "sid"]
KEY_PREFIX = "fa_"
ROLES_OF_PEOPLE = frozenset({Scope.operator, Scope.reviewer, Scope.supervisor, Scope.admin})

log = logging.getLogger(__name__)


class Signers:
    """The public keys of a JWKS file by `kid`, read again when it changes; a damaged file leaves the last good keys."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: Mapping[str, Ed25519PublicKey] = {}

    def key(self, kid: str) -> Ed25519PublicKey | None:
        self._refresh()
        return self._keys.get(kid)

    def __len__(self) -> int:
        self._refresh()
        return len(self._keys)

    def _refresh(self) -> None:
        if self._path is None:
            return
        try:
            found = self._path.stat()
            mark = (found.st_mtime_ns, found.st_size, found.st_ino)
            if mark == self._seen:
                return
            self._keys = read_jwks(self._path.read_text("utf-8"))
            self._seen = mark
        except FileNotFoundError:
            self._keys, self._seen = {}, None
        except (OSError, ValueError, jwt.PyJWTError) as error:
            log.error("the signers file cannot be used (%s): the last good keys stay in force", type(error).__name__)


def read_jwks(text: str) -> dict[str, Ed25519PublicKey]:
    """Ed25519 public keys by `kid`; entries of other kinds are left out. Raises ValueError for what is not a JWKS."""
    document = json.loads(text)
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("not a JWKS")
    keys: dict[str, Ed25519PublicKey] = {}
    for entry in document["keys"]:
        if not isinstance(entry, dict) or "d" in entry or (entry.get("kty"), entry.get("crv")) != ("OKP", "Ed25519"):
            continue
        key = jwt.PyJWK.from_dict(entry, algorithm="EdDSA").key
        if isinstance(key, Ed25519PublicKey) and isinstance(entry.get("kid"), str):
            keys[entry["kid"]] = key
    return keys


def person(token: str, signers: Signers) -> Caller:
    """The person whom `token` names. Raises `Unauthenticated`, which says what is wrong with the token."""
    try:
        kid = jwt.get_unverified_header(token).get("kid")
        key = signers.key(kid) if isinstance(kid, str) else None
        if key is None:
            raise Unauthenticated("The token was not signed by a dashboard that this service trusts")
        claims = jwt.decode(
            token, key, algorithms=["EdDSA"], audience=AUDIENCE, issuer=ISSUER, leeway=LEEWAY_S, options={"require": REQUIRED}
        )
    except jwt.ExpiredSignatureError as error:
        raise Unauthenticated("The token has expired: sign in again") from error
    except jwt.ImmatureSignatureError as error:
        raise Unauthenticated("The token is from the future: the clocks of dashboard and service differ") from error
    except jwt.PyJWTError as error:
        raise Unauthenticated("The token is not valid here") from error
    return _caller(claims, kid=str(kid))


def _caller(claims: Mapping[str, Any], *, kid: str) -> Caller:
    roles = claims.get("roles")
    if not isinstance(roles, list) or not isinstance(claims["sid"], str) or not claims["sub"]:
        raise Unauthenticated("The token is not valid here")
    if int(claims["exp"]) - int(claims["iat"]) > LONGEST_S:
        raise Unauthenticated("The token is not valid here")
    return Caller(
        id=claims["sub"],
        name=str(claims.get("name") or claims["sub"]),
        kind="person",
        roles=ROLES_OF_PEOPLE.intersection(role for role in roles if isinstance(role, str)),
        sid=claims["sid"],
        kid=kid,
    )


class Identity:
    """Turns what stands behind `Authorization: Bearer` into a `Caller`."""

    def __init__(self, *, signers: Signers, key_holder: Callable[[str], Awaitable[Caller | None]]) -> None:
        """`key_holder`: the caller whose API key this is, or None; it looks into the database, so it is awaited."""
        self._signers = signers
        self._key_holder = key_holder

    async def caller(self, secret: str | None) -> Caller:
        """Raises `Unauthenticated`; `DatabaseAway` where a key cannot be looked up."""
        if not secret:
            raise Unauthenticated
        if not secret.startswith(KEY_PREFIX):
            return person(secret, self._signers)
        caller = await self._key_holder(secret)
        if caller is None:
            raise Unauthenticated("The API key is unknown, revoked or expired")
        return caller
