"""Large images decoded in a process of their own: Pillow keeps the interpreter's lock while it reserves an image's memory.

For forty megapixels that is a tenth of a second, on a busy machine several, in which no event loop turns and no health check is
answered; its WebP decoder keeps the lock from beginning to end. What such an image needed is the system's again when it is read.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from PIL import Image

from backend.errors import CorruptImage, Overloaded
from backend.faces.container import Kind
from backend.faces.decode_worker import DAMAGED, GOOD

LARGE_PIXELS = {Kind.webp: 1_000_000, Kind.jpeg: 16_000_000, Kind.png: 16_000_000, Kind.bmp: 16_000_000}
"""Below this the lock is held for a few hundredths of a second, less than a process takes to start."""


class Rows:
    """The image, from its top, in as many rows as were agreed on at a time."""

    def __init__(self, answers: IO[bytes], width: int) -> None:
        self._answers, self._width = answers, width

    def next(self, rows: int) -> Image.Image:
        """RGB."""
        data = self._answers.read(rows * self._width * 3)
        if len(data) != rows * self._width * 3:
            raise _lost()
        return Image.frombytes("RGB", (self._width, rows), data)


@contextmanager
def decoding(data: bytes, kind: Kind, *, width: int, rows: int) -> Iterator[Rows]:
    """Raises CorruptImage, and Overloaded when the process was ended from outside (by the kernel for want of memory, perhaps)."""
    program = Path(__file__).with_name("decode_worker.py")
    with subprocess.Popen(
        [sys.executable, "-P", str(program), kind.value, str(rows)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield _begun(process, data, width)
        finally:
            process.kill()


def _begun(process: subprocess.Popen[bytes], data: bytes, width: int) -> Rows:
    if process.stdin is None or process.stdout is None:  # cannot be: both were asked for
        raise _lost()
    try:
        process.stdin.write(data)
        process.stdin.close()
    except BrokenPipeError:
        with suppress(BrokenPipeError):  # of what its buffer still holds
            process.stdin.close()
        raise _lost() from None
    told = process.stdout.read(1)
    if told == DAMAGED:
        raise CorruptImage
    if told != GOOD:
        raise _lost()
    return Rows(process.stdout, width)


def _lost() -> Overloaded:
    return Overloaded("The process that decodes the image has ended: send it again")
