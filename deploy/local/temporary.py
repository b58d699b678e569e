"""The folder in which nginx's workers may write when its master is root: theirs, and outside a run folder that they cannot enter.

Standard library only. Its name is kept in the run folder, so that whoever stops the fleet removes it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from pathlib import Path

RECORD = "temporary-folder"
PREFIX = "face-auth-nginx-"


def make(folder: Path, worker: pwd.struct_passwd) -> Path:
    forget(folder)
    made = Path(tempfile.mkdtemp(prefix=PREFIX))
    os.chown(made, worker.pw_uid, worker.pw_gid)
    (folder / RECORD).write_text(str(made))
    return made


def known(folder: Path) -> Path | None:
    """What `make` made and nobody removed; None where there is none."""
    record = folder / RECORD
    made = Path(record.read_text()) if record.exists() else None
    return made if made is not None and made.is_dir() else None


def forget(folder: Path) -> None:
    """Remove what `make` made, if anything."""
    record = folder / RECORD
    if not record.exists():
        return
    made = Path(record.read_text())
    if made.name.startswith(PREFIX):
        shutil.rmtree(made, ignore_errors=True)
    record.unlink()
