"""What a detector suspects in one window, and the words for it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor.wire import FindingKind as Kind

__all__ = ["Candidate", "Kind", "listed", "milliseconds"]


@dataclass(frozen=True)
class Candidate:
    """One suspicion. `overwhelming`: one window is enough, else `after` in a row are; `backend` None: the fleet as a whole."""

    kind: Kind
    backend: str | None
    sentence: str
    overwhelming: bool = False
    figures: Mapping[str, float] = field(default_factory=dict)
    after: int = 2


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
