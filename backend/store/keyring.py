"""Encryption at rest: one data key per subject, and others for what belongs to none, wrapped by the key of a file.

AES-256-GCM throughout; what a ciphertext belongs to is its associated data, so a row moved to another place does not open.
The file key itself encrypts nothing: HKDF derives one key that wraps data keys, one for the blind index of external ids,
one from which repeatable secrets come, and a check value that tells a wrong file from damage. Lost file = lost data.

While the key is being replaced the file holds two, a line each, the newest last. Which of them wraps is not the file's say but
the ledger's (`gallery.key_check`), so that every program turns to the new one in the same transaction.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator
from copy import copy
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
NONCE_BYTES = 12
SEALED_MORE = NONCE_BYTES + 16
"""bytes by which a ciphertext is longer than what it holds: nonce before, tag behind"""
HEADER = "face-auth-key-v1:"
INDEX_CONTEXT = "external-id-index"
IMAGE_CONTEXT = b"face-auth/image-digest"


class KeyringError(Exception):
    """The key file is missing, damaged, or not the one that this data was encrypted with."""


class DataKey:
    """Destroying its wrapped form makes all that was sealed with it unreadable."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def seal(self, plaintext: bytes, *, context: str) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plaintext, context.encode())

    def open(self, sealed: bytes, *, context: str) -> bytes:
        """Raises KeyringError where the key, the context or a byte is wrong."""
        return _open(self._aead, sealed, context)


def fresh_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


class SubjectKey(DataKey):
    """The data key of one subject."""


class _FileKey:
    """One line of the key file."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise KeyringError(f"a key file holds {KEY_BYTES} bytes of key")
        self.aead = AESGCM(_derive(key, "wrap"))
        self.index = _derive(key, "external-id")
        self.secrets = _derive(key, "api-key-secrets")
        self.check_value = _derive(key, "check")[:16].hex()


class Keyring:
    """Wraps with one key of the file, the newest unless `wrapping_with` chose; opens with any of them."""

    def __init__(self, *file_keys: bytes) -> None:
        if not file_keys:
            raise KeyringError("a key file holds a key")
        self._keys = [_FileKey(key) for key in file_keys]
        self._wrap = self._keys[-1]

    @property
    def check_value(self) -> str:
        """Of the key that wraps."""
        return self._wrap.check_value

    @property
    def check_values(self) -> tuple[str, ...]:
        """Of every key of the file, the newest last."""
        return tuple(key.check_value for key in self._keys)

    def wrapping_with(self, check_value: str) -> Keyring:
        """The same keys, of which that one wraps; raises KeyringError where it is not among them."""
        chosen = copy(self)
        try:
            chosen._wrap = next(key for key in self._keys if key.check_value == check_value)
        except StopIteration:
            raise KeyringError("the key file is not the one that this database was encrypted with") from None
        return chosen

    @classmethod
    def load(cls, path: Path) -> Keyring:
        try:
            text = path.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise KeyringError(f"the key file {path} cannot be read: `python -m backend migrate` makes a new one") from error
        lines = text.split()
        if not lines or not all(line.startswith(HEADER) for line in lines):
            raise KeyringError(f"{path} is not a key file")
        try:
            return cls(*(base64.b64decode(line.removeprefix(HEADER), validate=True) for line in lines))
        except binascii.Error as error:
            raise KeyringError(f"the key file {path} is damaged") from error

    @classmethod
    def create(cls, path: Path) -> Keyring:
        """A new key in a file that only its owner reads; an existing file is never overwritten (FileExistsError)."""
        key = fresh_key()
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{HEADER}{base64.b64encode(key).decode()}\n")
            file.flush()
            os.fsync(file.fileno())
        return cls(key)

    def new_subject_key(self, subject_id: str) -> tuple[bytes, SubjectKey]:
        """The wrapped form, to be stored, and the key."""
        key = fresh_key()
        return self._sealed(key, subject_id), SubjectKey(key)

    def subject_key(self, subject_id: str, wrapped: bytes) -> SubjectKey:
        return SubjectKey(self._unwrap(wrapped, subject_id))

    def wrapped(self, context: str, key: bytes) -> bytes:
        """A key that belongs to no one subject (see `fresh_key`), to be stored; it opens for the same `context` only."""
        return self._sealed(key, context)

    def key(self, context: str, wrapped: bytes) -> DataKey:
        """Raises KeyringError where the key file or the context is another, or a byte was changed."""
        return DataKey(self._unwrap(wrapped, context))

    def wrapped_anew(self, context: str, wrapped: bytes) -> bytes | None:
        """The same key, wrapped by the one that wraps now; None where it is so already. Raises KeyringError where none opens."""
        try:
            _open(self._wrap.aead, wrapped, context)
        except KeyringError:
            return self._sealed(self._unwrap(wrapped, context), context)
        return None

    def seal_index_key(self, gallery_id: str, old: Keyring, sealed: bytes | None) -> bytes:
        """The key of the blind index that is in force under `old` (see `blind_index`), wrapped by the key that wraps here."""
        return self._sealed(old._index_key(gallery_id, sealed), f"{INDEX_CONTEXT}:{gallery_id}")

    def blind_index(self, gallery_id: str, external_id: str, sealed: bytes | None = None) -> str:
        """Keyed hash of an external id: equal ids are found, but not read or guessed without the key file.

        `sealed`: the wrapped key of the index, as the gallery has it; None: the one that comes from the key that wraps.
        """
        key = self._index_key(gallery_id, sealed)
        return hmac.new(key, f"{gallery_id}\0{external_id}".encode(), hashlib.sha256).hexdigest()

    def image_digest(self, gallery_id: str, picture: bytes, sealed: bytes | None = None) -> str:
        """Keyed hash of a picture's bytes: equal pictures are found, and none is recognised without the key file.

        `sealed`: as for `blind_index`, whose key it derives its own from; so a rotation of the file key leaves it.
        """
        key = hmac.new(self._index_key(gallery_id, sealed), IMAGE_CONTEXT, hashlib.sha256).digest()
        return hmac.new(key, gallery_id.encode() + b"\0" + picture, hashlib.sha256).hexdigest()

    def secrets_for(self, context: str) -> Iterator[bytes]:
        """32 bytes that nobody without the key file can guess, the same each time: first of the key that wraps, then of any."""
        for key in (self._wrap, *self._keys):
            yield hmac.new(key.secrets, context.encode(), hashlib.sha256).digest()

    def _index_key(self, gallery_id: str, sealed: bytes | None) -> bytes:
        return self._wrap.index if sealed is None else self._unwrap(sealed, f"{INDEX_CONTEXT}:{gallery_id}")

    def _sealed(self, key: bytes, context: str) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._wrap.aead.encrypt(nonce, key, context.encode())

    def _unwrap(self, wrapped: bytes, context: str) -> bytes:
        for key in reversed(self._keys):
            try:
                return _open(key.aead, wrapped, context)
            except KeyringError as error:
                trouble = error
        raise trouble


def _derive(key: bytes, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"face-auth/{purpose}".encode()).derive(key)


def _open(aead: AESGCM, sealed: bytes, context: str) -> bytes:
    try:
        return aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context.encode())
    except (InvalidTag, ValueError) as error:
        raise KeyringError("stored data does not open: the key file is another one, or the data was changed") from error
