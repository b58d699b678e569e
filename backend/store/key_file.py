"""Changing the key file in one step: a crash leaves the old file or the new one, never half of either."""

from __future__ import annotations

import base64
import logging
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from backend.store.keyring import HEADER, KEY_BYTES, Keyring, KeyringError

if TYPE_CHECKING:
    from backend.store.database import Store

log = logging.getLogger(__name__)


def add_key(path: Path) -> Keyring:
    """Put a new key behind the present one; nothing is wrapped with it until the ledger names it.

    Raises:
        KeyringError: the file is none, or holds a second key already.
        OSError.
    """
    if len(Keyring.load(path).check_values) > 1:
        raise KeyringError(f"{path} holds a second key already: finish that rotation first")
    _replace(path, [*_lines(path), f"{HEADER}{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"])
    return Keyring.load(path)


def keep_newest(path: Path) -> Keyring:
    """Take every key but the newest out; raises KeyringError, OSError."""
    Keyring.load(path)
    _replace(path, _lines(path)[-1:])
    return Keyring.load(path)


class KeyFileWatch:
    """Takes up the file when it changes, so that a replica holds a new key without a restart."""

    def __init__(self, store: Store, path: Path) -> None:
        self._store, self._path = store, path
        self._seen: tuple[int, int, int] | None = None  # the first look reads it again: it may have changed since the start

    def look(self) -> None:
        """A file that is away or damaged is logged, once for each change, and the keys that were read before stay in force."""
        version = _version(self._path)
        if version == self._seen:
            return
        self._seen = version
        try:
            self._store.keyring = Keyring.load(self._path)
        except KeyringError as error:
            log.error("the key file changed and cannot be used: the keys read before stay in force", exc_info=error)
        else:
            log.info("key file read anew", extra={"fields": {"keys": list(self._store.keyring.check_values)}})


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _lines(path: Path) -> list[str]:
    return path.read_text("ascii").split()


def _replace(path: Path, lines: list[str]) -> None:
    """Readable by its owner alone, who stays the same; where `path` is a link, the file behind it."""
    path = path.resolve()
    before = path.stat()
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    new = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            new.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
