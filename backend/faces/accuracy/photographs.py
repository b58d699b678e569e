"""Which photographs a measurement is made on, and whom each shows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


@dataclass(frozen=True)
class Photograph:
    path: Path
    subject: str


@dataclass(frozen=True)
class Collection:
    """Photographs by subject, each picture of a subject once."""

    photographs: tuple[Photograph, ...]
    copies: tuple[Path, ...]
    """the same file again, of the same subject: compared with itself it would flatter the engine"""
    under_two_names: tuple[tuple[Path, Path], ...]
    """the same file as two subjects: counted, as the folders say so, and told, as it will be a false match"""


def collect(folders: Sequence[Path]) -> Collection:
    """Those of several folders together: who is in two of them under one name is one person.

    Raises OSError when a folder or file cannot be read.
    """
    kept: list[Photograph] = []
    copies: list[Path] = []
    doubtful: list[tuple[Path, Path]] = []
    first: dict[bytes, Photograph] = {}
    seen: set[tuple[bytes, str]] = set()
    for photograph in (one for folder in folders for one in photographs_in(folder)):
        content = hashlib.sha256(photograph.path.read_bytes()).digest()
        if (content, photograph.subject) in seen:
            copies.append(photograph.path)
            continue
        seen.add((content, photograph.subject))
        if content in first:
            doubtful.append((first[content].path, photograph.path))
        first.setdefault(content, photograph)
        kept.append(photograph)
    return Collection(tuple(kept), tuple(copies), tuple(doubtful))


def photographs_in(folder: Path) -> list[Photograph]:
    """A folder per subject; each photograph directly in `folder` is a subject of its own, named as the file is.

    Raises OSError when it cannot be read.
    """
    here = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    people = [path for path in here if path.is_dir()]
    of_people = [Photograph(path, person.name) for person in people for path in _photographs(person.rglob("*"))]
    return of_people + [Photograph(path, path.stem) for path in _photographs(here)]


def _photographs(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file())
