"""Files that are there whole or not at all. Standard library only."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def write(file: Path, content: bytes | str, *, mode: int = 0o644) -> None:
    """Replace the file's content in one step; a crash leaves the old one."""
    data = content.encode() if isinstance(content, str) else content
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    new = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        new.chmod(mode)
        new.replace(file)
    except BaseException:
        with suppress(FileNotFoundError):
            new.unlink()
        raise


def write_private(file: Path, content: bytes | str) -> None:
    """The same, readable by its owner alone from the first byte on."""
    write(file, content, mode=0o600)
