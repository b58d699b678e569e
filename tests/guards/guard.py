"""A guard of the program, and how to take it out: one short text of one file replaced by another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


class AnchorLost(Exception):
    """The text of a guard does not occur exactly once in its file: the guard moved, and its entry must follow."""


@dataclass(frozen=True)
class Guard:
    """`test`, a node id of pytest, passes as the program is and fails once `old` became `new` in `file`."""

    name: str
    keeps: int
    """which sentence of "What always holds" in docs/architecture.md"""
    file: str
    old: str
    new: str
    test: str

    def taken_out(self, root: Path = ROOT) -> str:
        """The whole file without the guard. Raises AnchorLost."""
        text = (root / self.file).read_text(encoding="utf-8")
        if (found := text.count(self.old)) != 1:
            raise AnchorLost(f"{self.name}: {self.file} has {found} times {self.old!r}")
        return text.replace(self.old, self.new)
