"""The dashboard's Ed25519 key: it signs people's tokens, both APIs verify them offline with the public half (a JWKS).

`kid` is the key's RFC 7638 thumbprint.
"""

from __future__ import annotations

import hashlib
import json
import os
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_pem_private_key

from dashboard.sessions import Person

ISSUER = "face-auth-dashboard"
BACKEND = "face-auth-backend"
MONITOR = "face-auth-monitor"
LIFETIME_S = 270
"""Both APIs forgive clocks half a minute, so that a token is refused everywhere five minutes after it was signed."""


class SigningKeyError(Exception):
    """There is no usable key; the message says what to do."""


class Signer:
    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.jwk = _jwk(key)

    @classmethod
    def load(cls, path: Path) -> Signer:
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except FileNotFoundError:
            raise SigningKeyError(f"there is no signing key at {path}: make one with `python -m dashboard keys init`") from None
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise SigningKeyError(f"{path} is not an unencrypted PEM private key") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise SigningKeyError(f"{path} is not an Ed25519 key")
        return cls(key)

    def mint(self, person: Person, audience: str, now: float) -> str:
        """A token for one API, good for five minutes at most."""
        claims = {
            "iss": ISSUER,
            "aud": audience,
            "sub": person.id,
            "name": person.name,
            "roles": sorted(person.roles),
            "sid": person.session,
            "iat": int(now),
            "exp": int(now) + LIFETIME_S,
        }
        return jwt.encode(claims, self._key, algorithm="EdDSA", headers={"kid": self.jwk["kid"]})


def create(path: Path) -> Signer:
    """Write a new private key, readable by its owner alone; refuses to overwrite one."""
    key = Ed25519PrivateKey.generate()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise SigningKeyError(f"{path} is there already") from None
    with os.fdopen(descriptor, "wb") as out:
        out.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Signer(key)


def with_key(jwks: dict[str, Any], jwk: dict[str, str]) -> dict[str, Any]:
    """`jwks` with this key first; the others stay, so that tokens of the last five minutes still verify."""
    return {"keys": [jwk, *(key for key in jwks.get("keys", []) if key.get("kid") != jwk["kid"])]}


def _jwk(key: Ed25519PrivateKey) -> dict[str, str]:
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    needed = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(public)}
    thumbprint = hashlib.sha256(json.dumps(needed, sort_keys=True, separators=(",", ":")).encode()).digest()
    return {**needed, "kid": _base64url(thumbprint), "alg": "EdDSA", "use": "sig"}


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
