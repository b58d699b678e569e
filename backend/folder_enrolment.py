"""Enrolling a folder of photographs through the API: one request per photograph, so that each has an outcome of its own."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from backend import wire
from backend.client import BackendClient, ProblemError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
TRIES_WHEN_UNAVAILABLE = 6
LONGEST_WAIT_S = 5.0
ABOUT_THE_PHOTOGRAPH = frozenset({400, 409, 413, 415, 422})
"""statuses that concern one photograph only; any other error ends the run"""


@dataclass(frozen=True)
class Folder:
    """The photographs of one subject."""

    name: str
    photographs: tuple[Path, ...]


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


@dataclass(frozen=True)
class Options:
    on_duplicate: wire.OnDuplicate = wire.OnDuplicate.flag
    face: wire.FaceChoice = wire.FaceChoice.only
    external_ids: bool = False


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


def subjects_in(root: Path) -> list[Folder]:
    """A folder per subject where `root` has folders, and each photograph directly in `root` as a subject of its own."""
    folders = [Folder(child.name, _photographs(child.rglob("*"))) for child in sorted(root.iterdir()) if child.is_dir()]
    flat = [Folder(path.stem, (path,)) for path in _photographs(root.iterdir())]
    return [folder for folder in folders if folder.photographs] + flat


def _photographs(paths: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(sorted(path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file()))


class FolderEnrolment:
    def __init__(self, client: BackendClient, root: Path, state: StateFile, options: Options) -> None:
        self._client, self._root, self._state, self._options = client, root, state, options
        self.summary = Summary()

    def run(self, folders: Sequence[Folder]) -> Iterator[Path]:
        """Yields each photograph after it was dealt with. Raises `ClientError` where going on makes no sense; OSError."""
        started = time.monotonic()
        for folder in folders:
            subject_id: str | None = None
            for photograph in folder.photographs:
                subject_id = self._photograph(folder, photograph, subject_id) or subject_id
                self.summary.seconds = time.monotonic() - started
                yield photograph

    def _photograph(self, folder: Folder, path: Path, subject_id: str | None) -> str | None:
        """The subject it belongs to now; None where it was refused."""
        image = path.read_bytes()
        file, sha256 = path.relative_to(self._root).as_posix(), hashlib.sha256(image).hexdigest()
        if (known := self._state.find(file, sha256)) and self._still_there(known):
            self.summary.skipped.append(known)
            return known.subject_id
        try:
            answer = self._patiently(folder, file, image, sha256, subject_id)
        except ProblemError as problem:
            if problem.status not in ABOUT_THE_PHOTOGRAPH:
                raise
            self.summary.failures.append(Failure(file, problem.code, problem.detail))
            return None
        duplicates = [one.model_dump(mode="json") for one in answer.duplicates]
        one = Enrolled(file, sha256, answer.subject_id, str(answer.state), answer.case_id, duplicates)
        self._state.add(one)
        self.summary.enrolled.append(one)
        return None if answer.state is wire.SubjectState.rejected else answer.subject_id

    def _still_there(self, known: Enrolled) -> bool:
        """The note may be older than the database: what is not there is enrolled again."""
        if known.state == wire.SubjectState.rejected:
            return True
        try:
            self._client.subject(known.subject_id)
        except ProblemError as problem:
            if problem.status != 404:
                raise
            return False
        return True

    def _patiently(self, folder: Folder, file: str, image: bytes, sha256: str, subject_id: str | None) -> wire.Enrolment:
        """Waits where the service is overloaded, as long as it asks for."""
        for _ in range(TRIES_WHEN_UNAVAILABLE - 1):
            try:
                return self._send(folder, file, image, sha256, subject_id)
            except ProblemError as problem:
                if problem.status != 503:
                    raise
                time.sleep(min(problem.retry_after_s or 1.0, LONGEST_WAIT_S))
        return self._send(folder, file, image, sha256, subject_id)

    def _send(self, folder: Folder, file: str, image: bytes, sha256: str, subject_id: str | None) -> wire.Enrolment:
        options = self._options
        external_id = folder.name if options.external_ids else None
        # The file's name is part of the key: the same photograph under two names is two enrolments, and one of them a duplicate.
        asked = json.dumps([file, sha256, subject_id, external_id, options.on_duplicate, options.face])
        key = f"folder-{hashlib.sha256(asked.encode()).hexdigest()}"
        if subject_id is not None:
            return self._client.add_samples(subject_id, [image], face=options.face, idempotency_key=key)
        return self._client.enrol(
            [image], external_id=external_id, on_duplicate=options.on_duplicate, face=options.face, idempotency_key=key
        )
