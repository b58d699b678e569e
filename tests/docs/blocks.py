"""The fenced blocks of the documents, each with what the comment before it says of how it is tested.

`<!-- run: fleet -->`     run by `tests/docs/test_run.py` on a fleet behind nginx (`haproxy`: behind HAProxy)
`<!-- run: options -->`   each command is asked for `--help`, and every option that the block uses stands there
`<!-- run by: FILE -->`   another test runs it, and names the document
`<!-- not run: WHY -->`   it cannot be
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MARK = re.compile(r"^<!-- (run|run by|not run): (.+) -->$")


@dataclass(frozen=True)
class Block:
    document: Path
    line: int
    language: str
    text: str
    how: str | None
    """`run`, `run by`, `not run`; None: no comment stands before it"""
    what: str = ""

    @property
    def name(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def documents() -> list[Path]:
    """Every document that people read, but for decisions (which tell of their time) and the list of changes."""
    here = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [*here, *sorted((ROOT / "deploy").glob("*/README.md"))]


def blocks() -> list[Block]:
    return [block for document in documents() for block in _blocks(document)]


def _blocks(document: Path) -> Iterator[Block]:
    before, language, start, text = "", None, 0, []
    for number, line in enumerate(document.read_text("utf-8").splitlines(), start=1):
        if language is None and line.startswith("```"):
            language, start, text = line[3:].strip(), number, []
        elif language is not None and line.startswith("```"):
            mark = MARK.match(before)
            yield Block(document, start, language, "\n".join(text), mark[1] if mark else None, mark[2] if mark else "")
            language, before = None, ""
        elif language is not None:
            text.append(line)
        elif line.strip():
            before = line.strip()
