"""Signed messages, by the Standard Webhooks specification: what the sender writes, and `verify` for whoever receives them.

    event = verify(request.headers, request.body, secret=os.environ["WEBHOOK_SECRET"], seen=already_handled)
    match event:
        case CaseDecided():
            ...

`webhook-signature` holds one signature for each secret in use, so that a secret is replaced without a gap: give the receiver the
new one beside the old, then the sender, then take the old one away at both. https://www.standardwebhooks.com
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from typing import ClassVar

from backend.events import Event, read_event

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
PREFIX = "whsec_"
SCHEME = "v1"
KEY_BYTES = range(24, 65)
TOLERANCE_S = 300
"""how far a message's time may be from the receiver's"""


class WebhookRefused(Exception):
    """Not to be acted upon; answer with `status` and nothing else."""

    status: ClassVar[int] = 400


class MalformedWebhook(WebhookRefused):
    """A header is missing or cannot be read, or the body is no event although it is signed."""


class ForgedWebhook(WebhookRefused):
    """No signature is of a secret that we know: somebody else sent it, or the body was changed on its way."""


class StaleWebhook(WebhookRefused):
    """Signed, but its time is too far from now: an old message was sent again by somebody, or a clock is wrong."""


class RepeatedWebhook(WebhookRefused):
    """It was handled already. 200, as the first time: any other answer would have it sent again."""

    status = 200


def keys_of(secret: str) -> list[bytes]:
    """The keys of one or more secrets, separated by white space. Raises ValueError, whose message repeats none of them."""
    words = secret.split()
    if not words:
        raise ValueError("there is no secret in it")
    return [_key(word) for word in words]


def _key(word: str) -> bytes:
    text = word.removeprefix(PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not word.startswith(PREFIX) or len(key) not in KEY_BYTES:
        raise ValueError(f"a secret is {PREFIX} and 24 to 64 random bytes in base64 (`openssl rand -base64 32`)")
    return key


def sign(keys: list[bytes], *, event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers; `timestamp` in seconds since 1970, of this attempt."""
    signatures = (f"{SCHEME},{base64.b64encode(_digest(key, event_id, str(timestamp), body)).decode()}" for key in keys)
    return {ID: event_id, TIMESTAMP: str(timestamp), SIGNATURE: " ".join(signatures)}


def _digest(key: bytes, event_id: str, timestamp: str, body: bytes) -> bytes:
    return hmac.digest(key, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256)


def verify(
    headers: Mapping[str, str],
    body: bytes,
    *,
    secret: str,
    seen: Callable[[str], bool] | None = None,
    now: float | None = None,
) -> Event:
    """The event of a request, whose `body` is given as it came: parsed and written again it is another one.

    `secret`: one, or several separated by white space. `seen` says whether the event of that id was handled; it only looks. Note
    the id in the transaction that handles the event: noted before, a failure in between would lose it, as the repeat would be
    refused. `now`: seconds since 1970.

    Raises:
        MalformedWebhook, ForgedWebhook, StaleWebhook: answer 400.
        RepeatedWebhook: answer 200.
        ValueError: `secret` is none.
    """
    keys = keys_of(secret)
    given = {name.lower(): value for name, value in headers.items()}
    event_id, timestamp, signatures = (given.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE))
    if not event_id or not signatures or not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16):
        raise MalformedWebhook(f"{ID}, {TIMESTAMP} and {SIGNATURE} are needed")
    if not _is_signed(keys, signatures, event_id, timestamp, body):
        raise ForgedWebhook("no signature is of a secret that is known here")
    if abs((time.time() if now is None else now) - int(timestamp)) > TOLERANCE_S:
        raise StaleWebhook(f"its time is more than {TOLERANCE_S} s from now")
    if seen is not None and seen(event_id):
        raise RepeatedWebhook("it was handled already")
    try:
        return read_event(event_id, body)
    except ValueError:
        raise MalformedWebhook("the body is no event") from None  # what pydantic says repeats the body


def _is_signed(keys: list[bytes], signatures: str, event_id: str, timestamp: str, body: bytes) -> bool:
    """In the same time whatever the signature: each is compared as a whole, with each key."""
    expected = [_digest(key, event_id, timestamp, body) for key in keys]
    found = False
    for word in signatures.split(" "):
        scheme, _, text = word.partition(",")
        if scheme == SCHEME:
            given = _decoded(text)
            for one in expected:
                found |= hmac.compare_digest(one, given)
    return found


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
