"""Who asks: a person with a token of a dashboard (EdDSA JWT, verified offline), or a program with an API key.

The backend has its own thirty lines like these, on purpose: the two programs share no code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import jwt
from pydantic import BaseModel, ConfigDict, TypeAdapter

from monitor.api.problems import BadRequest, Forbidden, Unauthenticated

ISSUER = "face-auth-dashboard"
AUDIENCE = "face-auth-monitor"
LEEWAY_S = 30
LONGEST_S = 300
ROLES_OF_PEOPLE = frozenset({"operator", "reviewer", "supervisor", "admin"})
READERS = ROLES_OF_PEOPLE | {"viewer"}

Content = TypeVar("Content")


class _Key(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    name: str
    sha256: str
    scopes: frozenset[str]


@dataclass(frozen=True)
class Caller:
    id: str
    name: str
    roles: frozenset[str]


class _Reloaded(Generic[Content]):
    """A file's content, parsed again when the file changed; what cannot be parsed trusts nobody."""

    def __init__(self, path: Path, parse: Callable[[bytes], Content], nothing: Content) -> None:
        self._path, self._parse, self._nothing = path, parse, nothing
        self._stamp: tuple[int, int, int] | None = None
        self._content = nothing

    def get(self) -> Content:
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp != self._stamp:
                self._content, self._stamp = self._parse(self._path.read_bytes()), stamp
        except (OSError, ValueError, jwt.PyJWTError):
            self._content, self._stamp = self._nothing, None
        return self._content


class Doorkeeper:
    """Lets in who may read. With neither file everybody on this machine may: the server then listens on loopback only."""

    def __init__(self, *, signers_file: Path | None, keys_file: Path | None) -> None:
        self._signers: _Reloaded[dict[str, jwt.PyJWK]] | None = None
        self._keys: _Reloaded[dict[str, _Key]] | None = None
        if signers_file is not None:
            self._signers = _Reloaded(signers_file, _signers, {})
        if keys_file is not None:
            self._keys = _Reloaded(keys_file, _keys, {})

    @property
    def open_to_all(self) -> bool:
        return self._signers is None and self._keys is None

    def admit(self, authorizations: Sequence[str]) -> Caller:
        """Who sent these Authorization headers. Raises `Unauthenticated`, `Forbidden`, `BadRequest` for more than one."""
        if self.open_to_all:
            return Caller("local", "local", READERS)
        if len(authorizations) > 1:
            raise BadRequest("Send one Authorization header")
        scheme, _, secret = "".join(authorizations).partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise Unauthenticated
        caller = self._by_key(secret) or self._by_token(secret)
        if caller is None:
            raise Unauthenticated
        if not caller.roles & READERS:
            raise Forbidden
        return caller

    def _by_key(self, secret: str) -> Caller | None:
        key = self._keys.get().get(hashlib.sha256(secret.encode()).hexdigest()) if self._keys else None
        return Caller(key.id, key.name, key.scopes) if key else None

    def _by_token(self, token: str) -> Caller | None:
        if self._signers is None:
            return None
        try:
            signer = self._signers.get()[jwt.get_unverified_header(token)["kid"]]
            required = ["exp", "iat", "sub", "sid", "aud", "iss"]
            claims: dict[str, Any] = jwt.decode(
                token,
                signer,
                algorithms=["EdDSA"],
                audience=AUDIENCE,
                issuer=ISSUER,
                leeway=LEEWAY_S,
                options={"require": required},
            )
        except (jwt.PyJWTError, KeyError, TypeError, ValueError):
            return None
        if not claims["sub"] or int(claims["exp"]) - int(claims["iat"]) > LONGEST_S:
            return None
        given = claims.get("roles")
        roles = ROLES_OF_PEOPLE.intersection(role for role in given if isinstance(role, str)) if isinstance(given, list) else ()
        return Caller(claims["sub"], str(claims.get("name", "")), frozenset(roles))


def _signers(text: bytes) -> dict[str, jwt.PyJWK]:
    keys = jwt.PyJWKSet.from_dict(json.loads(text)).keys
    return {key.key_id: key for key in keys if key.key_id and key.key_type == "OKP"}


def _keys(text: bytes) -> dict[str, _Key]:
    return {key.sha256.lower(): key for key in TypeAdapter(list[_Key]).validate_json(text)}
