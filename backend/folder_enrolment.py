"""Enrolling photographs of a folder (or of elsewhere) through the API: people in batches by their first one, then the rest.

Each photograph has an outcome and an Idempotency-Key of its own: one that is refused holds up no other.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from backend import wire
from backend.client import BackendClient, NewSubject, ProblemError
from backend.folder_notes import Enrolled, Failure, StateFile, Summary

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
BATCH_SUBJECTS = 16
BATCH_BYTES = 16 * 1024 * 1024
"""of photographs: in base64 it passes a balancer that takes 32 MiB"""
TRIES_WHEN_UNAVAILABLE = 6
UNAVAILABLE, RATE_LIMITED = 503, 429
LONGEST_WAIT_S = {UNAVAILABLE: 5.0, RATE_LIMITED: 60.0}
ABOUT_THE_PHOTOGRAPH = frozenset({400, 409, 413, 415, 422})
"""statuses that concern one photograph only; any other error ends the run"""
T = TypeVar("T")


@dataclass(frozen=True)
class Photograph:
    """`file` stands for it in notes and reports; `read` gives its bytes, not before they are needed."""

    file: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Folder:
    """The photographs of one subject."""

    name: str
    photographs: tuple[Photograph, ...]


@dataclass(frozen=True)
class Options:
    on_duplicate: wire.OnDuplicate = wire.OnDuplicate.flag
    face: wire.FaceChoice = wire.FaceChoice.only
    external_ids: bool = False


@dataclass
class _Person:
    folder: Folder
    left: deque[Photograph]
    subject_id: str | None = None


@dataclass(frozen=True)
class _Shot:
    """A photograph of a person, read."""

    person: _Person
    file: str
    image: bytes
    sha256: str


def subjects_in(root: Path) -> list[Folder]:
    """A folder per subject where `root` has folders, and each photograph directly in `root` as a subject of its own."""
    folders = [Folder(child.name, _photographs(root, child.rglob("*"))) for child in sorted(root.iterdir()) if child.is_dir()]
    flat = [Folder(Path(one.file).stem, (one,)) for one in _photographs(root, root.iterdir())]
    return [folder for folder in folders if folder.photographs] + flat


def _photographs(root: Path, paths: Iterable[Path]) -> tuple[Photograph, ...]:
    """Named by their paths below `root`."""
    found = sorted(path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file())
    return tuple(Photograph(path.relative_to(root).as_posix(), path.read_bytes) for path in found)


class FolderEnrolment:
    """`on_done` is called for each photograph that was dealt with."""

    def __init__(
        self, client: BackendClient, state: StateFile, options: Options, on_done: Callable[[], object] = lambda: None
    ) -> None:
        self._client, self._state, self._options, self._on_done = client, state, options, on_done
        self.summary = Summary()

    def run(self, folders: Sequence[Folder]) -> None:
        """Raises `ClientError` where going on makes no sense, and what reading a photograph raises."""
        started = time.monotonic()
        for start in range(0, len(folders), BATCH_SUBJECTS):
            people = [_Person(folder, deque(folder.photographs)) for folder in folders[start : start + BATCH_SUBJECTS]]
            while first := [shot for person in people if (shot := self._first(person))]:
                for batch in _by_size(first):
                    self._enrol(batch)
            for person in people:
                self._add_rest(person)
            self.summary.seconds = time.monotonic() - started

    # --- the first photograph of each -----------------------------------------------------------------------------

    def _first(self, person: _Person) -> _Shot | None:
        """The next one to be enrolled, where the person has no subject yet."""
        while person.subject_id is None and person.left:
            shot = self._shot(person)
            if not self._is_known(shot):
                return shot
        return None

    def _enrol(self, batch: Sequence[_Shot]) -> None:
        left = list(batch)
        try:
            self._patiently(lambda: self._send(left))
        except ProblemError as problem:
            if problem.status not in ABOUT_THE_PHOTOGRAPH:
                raise
            if len(left) == 1:
                self._fail(left[0], problem.code, problem.detail)
                return
            for shot in left:  # something about the batch, such as its size on the way: what about each of them?
                self._enrol([shot])

    def _send(self, left: list[_Shot]) -> None:
        """Takes out of `left` whose result is known; raises ProblemError 503 while somebody is left."""
        results = self._client.enrol_batch([self._new(shot) for shot in left])
        waiting: wire.Problem | None = None
        for shot, result in zip(tuple(left), results, strict=True):
            if result.status == UNAVAILABLE and result.problem is not None:
                waiting = result.problem
                continue
            left.remove(shot)
            if result.enrolment is not None:
                self._note(shot, result.enrolment)
            elif result.problem is not None:
                self._fail(shot, result.problem.code, result.problem.detail)
        if waiting is not None:
            raise ProblemError(UNAVAILABLE, waiting.code, waiting.detail)

    def _new(self, shot: _Shot) -> NewSubject:
        return NewSubject(
            [shot.image],
            external_id=self._external_id(shot.person),
            on_duplicate=self._options.on_duplicate,
            face=self._options.face,
            idempotency_key=self._key(shot),
        )

    # --- further ones ---------------------------------------------------------------------------------------------

    def _add_rest(self, person: _Person) -> None:
        while person.left:
            shot = self._shot(person)
            if not self._is_known(shot):
                self._add(shot, person.subject_id or "")

    def _add(self, shot: _Shot, subject_id: str) -> None:
        def send() -> wire.Enrolment:
            return self._client.add_samples(subject_id, [shot.image], face=self._options.face, idempotency_key=self._key(shot))

        try:
            self._note(shot, self._patiently(send))
        except ProblemError as problem:
            if problem.status not in ABOUT_THE_PHOTOGRAPH:
                raise
            self._fail(shot, problem.code, problem.detail)

    # --- both -----------------------------------------------------------------------------------------------------

    def _shot(self, person: _Person) -> _Shot:
        photograph = person.left.popleft()
        image = photograph.read()
        return _Shot(person, photograph.file, image, hashlib.sha256(image).hexdigest())

    def _is_known(self, shot: _Shot) -> bool:
        known = self._state.find(shot.file, shot.sha256)
        if known is None or not self._still_there(known):
            return False
        self.summary.skipped.append(known)
        self._belongs(shot.person, known)
        return True

    def _note(self, shot: _Shot, answer: wire.Enrolment) -> None:
        duplicates = [one.model_dump(mode="json") for one in answer.duplicates]
        one = Enrolled(shot.file, shot.sha256, answer.subject_id, str(answer.state), answer.case_id, duplicates)
        self._state.add(one)
        self.summary.enrolled.append(one)
        self._belongs(shot.person, one)

    def _belongs(self, person: _Person, one: Enrolled) -> None:
        if one.state != wire.SubjectState.rejected:
            person.subject_id = one.subject_id
        self._on_done()

    def _fail(self, shot: _Shot, code: str, detail: str) -> None:
        self.summary.failures.append(Failure(shot.file, code, detail))
        self._on_done()

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

    def _patiently(self, send: Callable[[], T]) -> T:
        """Waits where the service is overloaded, or the key over its limit, as long as it asks for."""
        for _ in range(TRIES_WHEN_UNAVAILABLE - 1):
            try:
                return send()
            except ProblemError as problem:
                if problem.status not in LONGEST_WAIT_S:
                    raise
                time.sleep(min(problem.retry_after_s or 1.0, LONGEST_WAIT_S[problem.status]))
        return send()

    def _external_id(self, person: _Person) -> str | None:
        return person.folder.name if self._options.external_ids else None

    def _key(self, shot: _Shot) -> str:
        """The file's name is part of it: the same photograph under two names is two enrolments, and one of them a duplicate."""
        options, person = self._options, shot.person
        asked = [shot.file, shot.sha256, person.subject_id, self._external_id(person), options.on_duplicate, options.face]
        return f"folder-{hashlib.sha256(json.dumps(asked).encode()).hexdigest()}"


def _by_size(shots: Sequence[_Shot]) -> Iterator[list[_Shot]]:
    """Batches that a request may carry, in order."""
    batch: list[_Shot] = []
    for shot in shots:
        if batch and sum(len(one.image) for one in batch) + len(shot.image) > BATCH_BYTES:
            yield batch
            batch = []
        batch.append(shot)
    yield batch
