"""What is done of a folder, for whoever goes on with it, and for the summary at the end."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from backend import wire


@dataclass(frozen=True)
class Enrolled:
    """One photograph that is enrolled (or rejected as a certain duplicate), as it stands in the state file."""

    file: str
    sha256: str
    subject_id: str
    state: str
    case_id: str | None
    duplicates: list[dict[str, Any]]


@dataclass(frozen=True)
class Failure:
    file: str
    code: str
    detail: str


@dataclass
class Summary:
    enrolled: list[Enrolled] = field(default_factory=list)
    skipped: list[Enrolled] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        """For `--json`: what is true of the folder now, and what this run did."""
        done = [*self.skipped, *self.enrolled]
        return {
            "subjects": len({one.subject_id for one in done if one.state != wire.SubjectState.rejected}),
            "photographs": len(done) + len(self.failures),
            "enrolled": len(self.enrolled),
            "already_enrolled": len(self.skipped),
            "rejected": sum(one.state == wire.SubjectState.rejected for one in done),
            "duplicates": sum(len(one.duplicates) for one in done),
            "cases": len({one.case_id for one in done if one.case_id}),
            "failures": [asdict(failure) for failure in self.failures],
            "seconds": round(self.seconds, 1),
        }


class StateFile:
    """What is done, one JSON line per photograph, so that an interrupted run can go on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._done: dict[tuple[str, str], Enrolled] = {}
        if path.exists():
            for line in path.read_text("utf-8").splitlines():
                self._remember(line)

    def _remember(self, line: str) -> None:
        try:
            one = Enrolled(**json.loads(line))
        except (ValueError, TypeError):
            return  # the line that was being written when the machine stopped
        self._done[one.file, one.sha256] = one

    def find(self, file: str, sha256: str) -> Enrolled | None:
        return self._done.get((file, sha256))

    def add(self, one: Enrolled) -> None:
        self._done[one.file, one.sha256] = one
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(one)) + "\n")
