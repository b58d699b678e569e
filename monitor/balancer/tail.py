"""Whole lines that came into a file since the last look, over rotations by rename and by copy and truncate. For a thread.

A file is known by its inode and the place in it. After a rename nginx writes into the old file until it is told to reopen, so
that one is read on until it has been quiet for two looks. A truncated file is seen by its size, or by other bytes before the
place.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

MOST_BYTES = 4 * 1024 * 1024
"""Per look and file: what is beyond comes with the next one."""
MOST_LINE_BYTES = 64 * 1024
MARK_BYTES = 64
QUIET_LOOKS = 2
"""after which a rotated file is let go"""


@dataclass
class _Open:
    file: BinaryIO
    inode: tuple[int, int]
    offset: int = 0
    rest: bytes = b""
    mark: bytes = b""
    skipping: bool = False
    """within a line that was too long"""
    quiet: int = 0

    def end(self) -> None:
        self.file.close()


@dataclass
class Lines:
    """`too_long`: lines that were given up; `behind_bytes`: what lies in the file and was not read in this look."""

    whole: list[bytes] = field(default_factory=list)
    too_long: int = 0
    behind_bytes: int = 0


class Tail:
    """Begins at the end of a file that is there at the first look, at the begin of one that comes later."""

    def __init__(self, path: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self.path = path
        self._most_bytes = most_bytes
        self._now: _Open | None = None
        self._rotated: list[_Open] = []
        self._looked = False

    def look(self) -> Lines:
        """Raises OSError where the file is there and may not be read; a missing one has no lines."""
        found = Lines()
        self._follow()
        for old in list(self._rotated):
            old.quiet = 0 if self._read(old, found) else old.quiet + 1
            if old.quiet >= QUIET_LOOKS:
                old.end()
                self._rotated.remove(old)
        if self._now is not None:
            self._read(self._now, found)
        self._looked = True
        return found

    def close(self) -> None:
        for one in [*self._rotated, *([self._now] if self._now else [])]:
            one.end()
        self._rotated, self._now = [], None

    def _follow(self) -> None:
        """Take up the file that the path names now; what was read before is read on beside it."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return
        inode = status.st_dev, status.st_ino
        if self._now is not None and self._now.inode == inode:
            return
        file = self.path.open("rb")
        actual = os.fstat(file.fileno())
        opened = _Open(file, (actual.st_dev, actual.st_ino))
        if not self._looked:
            opened.offset = actual.st_size
            opened.mark = _before(file, opened.offset)
        if self._now is not None:
            self._rotated.append(self._now)
        self._now = opened

    def _read(self, one: _Open, found: Lines) -> bool:
        """Whether anything came."""
        size = os.fstat(one.file.fileno()).st_size
        if size < one.offset or _before(one.file, one.offset) != one.mark:
            one.offset, one.rest, one.mark, one.skipping = 0, b"", b"", False
        one.file.seek(one.offset)
        read = one.file.read(self._most_bytes)
        one.offset += len(read)
        one.mark = _before(one.file, one.offset)
        found.behind_bytes += max(0, size - one.offset)
        *whole, one.rest = (one.rest + read).split(b"\n")
        if one.skipping and whole:
            whole, one.skipping = whole[1:], False
        found.too_long += sum(len(line) > MOST_LINE_BYTES for line in whole)
        found.whole += [line for line in whole if 0 < len(line) <= MOST_LINE_BYTES]
        if len(one.rest) > MOST_LINE_BYTES:
            found.too_long += not one.skipping
            one.rest, one.skipping = b"", True
        return bool(read)


def _before(file: BinaryIO, offset: int) -> bytes:
    start = max(0, offset - MARK_BYTES)
    with suppress(OSError):
        return os.pread(file.fileno(), offset - start, start)
    return b""
