"""Large WebP files decoded in a process of their own: Pillow's decoder keeps the interpreter's lock from beginning to end.

In the server's own process forty megapixels would stop the event loop for a second or more, and with it the health checks.
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
from backend.faces.webp_worker import DAMAGED, GOOD

LARGE_PIXELS = 1_000_000
"""Below this the lock is held for a few hundredths of a second, less than a process takes to start."""


class Rows:
    """The image, from its top, in as many rows as were agreed on at a time."""

    def __init__(self, answers: IO[bytes], mode: str, width: int) -> None:
        self._answers, self._mode, self._width = answers, mode, width

    def next(self, rows: int) -> Image.Image:
        data = self._answers.read(rows * self._width * len(self._mode))
        if len(data) != rows * self._width * len(self._mode):
            raise _lost()
        return Image.frombytes(self._mode, (self._width, rows), data)


@contextmanager
def decoding(data: bytes, *, width: int, rows: int) -> Iterator[Rows]:
    """Raises CorruptImage, and Overloaded when the process was ended from outside (by the kernel for want of memory, perhaps)."""
    program = Path(__file__).with_name("webp_worker.py")
    with subprocess.Popen(
        [sys.executable, "-P", str(program), str(rows)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
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
    return Rows(process.stdout, process.stdout.read(4).decode().strip(), width)


def _lost() -> Overloaded:
    return Overloaded("The process that decodes the image has ended: send it again")
