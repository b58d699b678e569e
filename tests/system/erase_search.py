"""Looking for somebody's bytes in files, whatever they are: a piece counts in each form in which it could have been written."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PIECE = 40
"""bytes: long enough never to be met by chance"""
BLOCK = 16 * 1024 * 1024


@dataclass(frozen=True)
class Trace:
    """What to look for. Databases lay long values down in pages, so pieces of them are looked for: any piece tells."""

    name: str
    pieces: tuple[bytes, ...]
    is_text: bool = False

    @classmethod
    def of_bytes(cls, name: str, value: bytes, *, skip: int = 0, at_most: int = 8) -> Trace:
        """Pieces spread over `value` after its first `skip` bytes (a picture's header is everybody's)."""
        assert len(value) - skip >= 16, f"{name}: so few bytes are met by chance"
        last = len(value) - PIECE
        if last <= skip:
            return cls(name, (value[skip:],))
        step = max(PIECE, (last - skip) // at_most)
        return cls(name, tuple(value[start : start + PIECE] for start in range(skip, last, step)))

    @classmethod
    def of_text(cls, name: str, text: str) -> Trace:
        return cls(name, (text.encode(),), is_text=True)

    def needles(self) -> set[bytes]:
        return {form for piece in self.pieces for form in forms(piece, is_text=self.is_text)}


def forms(piece: bytes, *, is_text: bool) -> set[bytes]:
    """Raw, in hexadecimal, in base64 wherever it stands in what was encoded; a text also in UTF-16 and as JSON escapes it."""
    plain = {piece}
    if is_text:
        text = piece.decode()
        plain |= {text.encode("utf-16-le"), text.encode("utf-16-be"), json.dumps(text)[1:-1].encode()}
    encoded = {piece.hex().encode(), piece.hex().upper().encode()}
    for value in plain:
        encoded |= set(_base64_anywhere(value))
    return plain | encoded


def _base64_anywhere(piece: bytes) -> Iterator[bytes]:
    """At each of the three places within a group of three bytes, without the characters that its neighbours share."""
    for before in range(3):
        length = before + len(piece)
        text = base64.b64encode(b"\0" * before + piece)
        begin, end = (0, 2, 3)[before], length // 3 * 4 + (0, 1, 2)[length % 3]
        yield text[begin:end]
        yield text[begin:end].translate(bytes.maketrans(b"+/", b"-_"))


@dataclass
class Found:
    """`places`: trace and file → how often a form of it occurs there."""

    files: int = 0
    bytes: int = 0
    places: Counter[tuple[str, Path]] = field(default_factory=Counter)

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.places}


def search(files: Iterable[Path], traces: Sequence[Trace]) -> Found:
    """Through every byte of every file; one that vanishes meanwhile is not there any more."""
    found = Found()
    needles = [(trace.name, needle) for trace in traces for needle in trace.needles()]
    overlap = max(len(needle) for _, needle in needles) - 1
    for path in files:
        try:
            size = path.stat().st_size
            for block in _blocks(path, overlap):
                for name, needle in needles:
                    if block.find(needle) >= 0:
                        found.places[name, path] += 1
        except FileNotFoundError:
            continue
        found.files += 1
        found.bytes += size
    return found


def _blocks(path: Path, overlap: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        tail = b""
        while block := file.read(BLOCK):
            yield tail + block
            tail = block[-overlap:]


def files_under(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
