"""Tokens that no dashboard would sign, by what is wrong with them; and those that a real one signs."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64encode
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dashboard.roles import Role
from dashboard.sessions import Person
from dashboard.signing import BACKEND, Signer
from tests.api.service import Dashboard, jwk


def forged_tokens(dashboard: Dashboard) -> dict[str, str]:
    now = int(time.time())
    good = dashboard.token("admin")
    header, claims, signature = good.split(".")
    stranger = Dashboard(dashboard.jwks.with_name("stranger.json"))
    content = jwt.decode(good, options={"verify_signature": False})
    other = json.dumps(content | {"sub": "usr_eve"}).encode()
    public = dashboard.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    pem = dashboard.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def signed(key: Ed25519PrivateKey, **headers: object) -> str:
        return jwt.encode(content, key, algorithm="EdDSA", headers=headers)

    return {
        "expired": dashboard.token("admin", iat=now - 331, exp=now - 31),
        "minted by the dashboard five minutes ago": minted(dashboard, at=now - 300),
        "alg none": jwt.encode(content, None, algorithm="none", headers={"kid": dashboard.kid}),
        "alg none in capitals": _joined({"alg": "NONE", "kid": dashboard.kid}, content, b""),
        "its signature taken away": f"{header}.{claims}.",
        "HS256 with the public key as the secret": _hs256(content, public, dashboard.kid),
        "HS256 with the public key in PEM as the secret": _hs256(content, pem, dashboard.kid),
        "other claims under the signature": f"{header}.{_base64url(other)}.{signature}",
        "another key under the right kid": signed(stranger.key, kid=dashboard.kid),
        "another key, brought along in its header": signed(stranger.key, kid=dashboard.kid, jwk=jwk(stranger.key, dashboard.kid)),
        "another key, at an address in its header": signed(stranger.key, kid=dashboard.kid, jku="http://127.0.0.1:9/keys.json"),
        "an unknown kid": signed(dashboard.key, kid="test-9"),
        "a kid that is a path": signed(dashboard.key, kid="../signers.json"),
        "no kid": signed(dashboard.key),
        "for the monitor": dashboard.token("admin", aud="face-auth-monitor"),
        "without audience": dashboard.token("admin", aud=None),
        "of another issuer": dashboard.token("admin", iss="face-auth-backend"),
        "without issuer": dashboard.token("admin", iss=None),
        "without expiry": dashboard.token("admin", exp=None),
        "good for an hour": dashboard.token("admin", exp=now + 3600),
        "without its time of issue": dashboard.token("admin", iat=None),
        "issued a minute from now": dashboard.token("admin", iat=now + 60),
        "not good before a minute from now": dashboard.token("admin", nbf=now + 60),
        "an expiry that is no number": dashboard.token("admin", exp="never"),
        "without session": dashboard.token("admin", sid=None),
        "without subject": dashboard.token("admin", sub=None),
        "of an empty subject": dashboard.token("admin", sub=""),
        "roles that are no list": dashboard.token(roles="admin"),
        "JSON nested too deeply": f"{_base64url(b'[' * 9000)}.e30.x",
        "words": "let me in please",
        "nothing but dots": "..",
        "forty thousand bytes": "x" * 40_000,
    }


def minted(dashboard: Dashboard, *, at: float) -> str:
    """By the program that signs for people."""
    signer = Signer(dashboard.key)
    signer.jwk["kid"] = dashboard.kid
    return signer.mint(Person("ada", frozenset({Role.admin}), "ses_ada", issued=at, seen=at), BACKEND, at)


def _hs256(claims: dict[str, Any], secret: bytes, kid: str) -> str:
    unsigned = _joined({"alg": "HS256", "typ": "JWT", "kid": kid}, claims, b"").rstrip(".")
    return f"{unsigned}.{_base64url(hmac.new(secret, unsigned.encode(), hashlib.sha256).digest())}"


def _joined(header: dict[str, Any], claims: dict[str, Any], signature: bytes) -> str:
    return ".".join(_base64url(part) for part in (json.dumps(header).encode(), json.dumps(claims).encode(), signature))


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
