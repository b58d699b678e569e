"""The file of an index snapshot: a readable header, then ids and half-precision vectors in sealed chunks.

    magic · header length (uint32) · header (JSON) · chunk 1 · … · chunk n          all integers little-endian

A chunk is sealed by itself (AES-256-GCM): its ids as int64, then its vectors as float16. What it is bound to names the
snapshot, the header's SHA-256, its own number and how many there are, so that no chunk can be changed, left out, moved, or
taken from another file. Every length follows from the header, so a file that was cut off or lengthened is told by its size.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from backend.store.keyring import SEALED_MORE, DataKey, KeyringError

MAGIC = b"FACEIDX1"
CHUNK_BYTES = 4 * 1024 * 1024
SYNC_EVERY = 8
"""chunks; a gigabyte at the end, all at once, would hold up the ledger's commits where they share a disk"""
LONGEST_HEADER = 64 * 1024
_LENGTH = struct.Struct("<I")

Half = NDArray[np.float16]


class Unusable(Exception):
    """The file is not the snapshot that was asked for; the message says why, for one line of the log."""


@dataclass(frozen=True)
class Header:
    """`count` rows; `count` and `checksum` are the log's at `seq`."""

    id: str
    gallery_id: str
    model_id: str
    dimension: int
    epoch: str
    seq: int
    count: int
    checksum: int

    def encoded(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()

    @property
    def row_bytes(self) -> int:
        return 8 + 2 * self.dimension

    @property
    def rows_per_chunk(self) -> int:
        return max(1, CHUNK_BYTES // self.row_bytes)

    @property
    def slices(self) -> list[slice]:
        """Which rows each chunk holds; an empty gallery has one chunk without rows, so that its header is sealed too."""
        starts = range(0, self.count, self.rows_per_chunk) or range(1)
        return [slice(start, min(self.count, start + self.rows_per_chunk)) for start in starts]

    @property
    def file_bytes(self) -> int:
        """How long the whole file is."""
        return len(MAGIC) + _LENGTH.size + len(self.encoded()) + self.count * self.row_bytes + len(self.slices) * SEALED_MORE

    def contexts(self) -> list[str]:
        """What each chunk is bound to."""
        digest, total = hashlib.sha256(self.encoded()).hexdigest(), len(self.slices)
        return [f"index-snapshot:{self.id}:{digest}:{number}/{total}" for number in range(1, total + 1)]


def write(path: Path, header: Header, key: DataKey, chunks: Iterable[tuple[NDArray[np.int64], Half]]) -> None:
    """There whole, durable and readable by its owner alone, or not at all. `chunks` are as `header.slices` has them."""
    temporary = path.with_suffix(".tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            encoded = header.encoded()
            file.write(MAGIC + _LENGTH.pack(len(encoded)) + encoded)
            for number, (context, (ids, vectors)) in enumerate(zip(header.contexts(), chunks, strict=True), start=1):
                plain = ids.astype("<i8", copy=False).tobytes() + vectors.astype("<f2", copy=False).tobytes()
                file.write(key.seal(plain, context=context))
                if number % SYNC_EVERY == 0:
                    file.flush()
                    os.fdatasync(file.fileno())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def read(path: Path, expected: Header, key: DataKey) -> Iterator[tuple[NDArray[np.int64], Half]]:
    """ids (n,) and vectors (n, d) of each chunk, in order. Raises Unusable where the file is not the one that `expected` says."""
    try:
        with path.open("rb") as file:
            _check(file, expected)
            for rows, context in zip(expected.slices, expected.contexts(), strict=True):
                yield _opened(file, expected, rows.stop - rows.start, key, context)
    except FileNotFoundError as error:
        raise Unusable("the file is gone") from error
    except OSError as error:
        raise Unusable(f"the file cannot be read ({os.strerror(error.errno or 0)})") from error


def _check(file: BinaryIO, expected: Header) -> None:
    start = file.read(len(MAGIC) + _LENGTH.size)
    if len(start) != len(MAGIC) + _LENGTH.size or not start.startswith(MAGIC):
        raise Unusable("the file is no snapshot of this kind")
    encoded = file.read(min(*_LENGTH.unpack(start[len(MAGIC) :]), LONGEST_HEADER))
    if encoded != expected.encoded():
        raise Unusable(f"the file's header differs from the database in: {', '.join(_differences(encoded, expected))}")
    if os.fstat(file.fileno()).st_size != expected.file_bytes:
        raise Unusable("the file is cut off or too long")


def _differences(encoded: bytes, expected: Header) -> list[str]:
    try:
        found = json.loads(encoded)
    except (ValueError, RecursionError):
        return ["its form"]
    wanted = asdict(expected)
    return [name for name in wanted if not isinstance(found, dict) or found.get(name) != wanted[name]] or ["its form"]


def _opened(file: BinaryIO, header: Header, n: int, key: DataKey, context: str) -> tuple[NDArray[np.int64], Half]:
    try:
        plain = key.open(file.read(n * header.row_bytes + SEALED_MORE), context=context)
    except KeyringError as error:
        raise Unusable("a part of the file does not open: it was changed, or belongs to another snapshot") from error
    vectors = np.frombuffer(plain, dtype="<f2", offset=8 * n).reshape(n, header.dimension)
    return np.frombuffer(plain, dtype="<i8", count=n).astype(np.int64, copy=False), vectors.astype(np.float16, copy=False)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
