"""The output folder: all files of a rendering are new, or all are as they were."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from deploy.atomic import write


def drift(folder: Path, documents: Mapping[Path, str]) -> list[Path]:
    """The files that are missing or differ."""
    return [name for name, text in documents.items() if _content(folder / name) != text]


def difference(folder: Path, name: Path, text: str) -> str:
    """A unified diff from what lies in the folder to what would be written; empty where they are equal."""
    before = (_content(folder / name) or "").splitlines(keepends=True)
    lines = difflib.unified_diff(before, text.splitlines(keepends=True), str(folder / name), f"{name} (rendered)")
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _content(file: Path) -> str | None:
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        return None


def write_all(folder: Path, documents: Mapping[Path, str]) -> None:
    """Write what changed. Where one file cannot be written, those before it get their old content back.

    Raises:
        OSError: a file cannot be written; the folder is as it was.
    """
    with ExitStack() as undo:
        for name in drift(folder, documents):
            file = folder / name
            _make(file.parent, undo)
            before = _content(file)
            write(file, documents[name])
            undo.callback(_restore, file, before)
        undo.pop_all()


def _make(folder: Path, undo: ExitStack) -> None:
    for missing in [path for path in (*reversed(folder.parents), folder) if not path.exists()]:
        missing.mkdir()
        undo.callback(_remove, missing)


def _restore(file: Path, before: str | None) -> None:
    if before is None:
        file.unlink(missing_ok=True)
    else:
        write(file, before)


def _remove(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
