"""How well an engine tells people apart, on photographs whose people are known (ISO/IEC 19795-1: FMR, FNMR, FTE).

Every photograph goes through `capture`, as an enrolment would, and every pair of templates is compared once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.errors import FaceAuthError
from backend.faces.capture import capture
from backend.faces.engine import Engine, Vector
from backend.faces.image import ImageLimits
from backend.faces.score import scores

PHOTOGRAPHS = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


@dataclass(frozen=True)
class Photograph:
    path: Path
    subject: str


@dataclass(frozen=True)
class Failure:
    """A failure to enrol: the file and the error's code."""

    path: Path
    code: str


@dataclass(frozen=True)
class Evaluation:
    """Counts at `threshold`; a pair is one comparison, both ways being the same."""

    images: int
    subjects: int
    failures: tuple[Failure, ...]
    genuine_pairs: int
    impostor_pairs: int
    false_matches: int
    false_non_matches: int
    threshold: float
    genuine_min: float | None
    impostor_max: float | None

    @property
    def fmr_at_most(self) -> float | None:
        """95 % upper bound of the false match rate (3/n where none was seen); None without impostor pairs."""
        return upper_bound(self.false_matches, self.impostor_pairs) if self.impostor_pairs else None


def photographs_in(folder: Path) -> list[Photograph]:
    """A folder per subject; in a flat folder each file is a subject of its own. Raises OSError when it cannot be read."""
    people = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not people:
        return [Photograph(path, path.stem) for path in _files(folder)]
    return [Photograph(path, person.name) for person in people for path in _files(person)]


def evaluate(
    engine: Engine,
    photographs: Sequence[Photograph],
    *,
    limits: ImageLimits,
    min_face_px: int,
    threshold: float,
    each: Callable[[], object] = lambda: None,
) -> Evaluation:
    """`each` is called after every photograph. Of several faces the largest is taken."""
    vectors: list[Vector] = []
    people: list[str] = []
    failures = []
    for photograph in photographs:
        try:
            data = photograph.path.read_bytes()
            vectors.append(capture(engine, data, limits=limits, choose="largest", min_face_px=min_face_px).vector)
            people.append(photograph.subject)
        except FaceAuthError as error:
            failures.append(Failure(photograph.path, error.code()))
        each()
    genuine, impostor = compared(engine, vectors, people)
    return Evaluation(
        images=len(photographs),
        subjects=len({photograph.subject for photograph in photographs}),
        failures=tuple(failures),
        genuine_pairs=len(genuine),
        impostor_pairs=len(impostor),
        false_matches=int((impostor >= threshold).sum()),
        false_non_matches=int((genuine < threshold).sum()),
        threshold=threshold,
        genuine_min=float(genuine.min()) if len(genuine) else None,
        impostor_max=float(impostor.max()) if len(impostor) else None,
    )


def upper_bound(seen: int, trials: int) -> float:
    """95 % upper bound of a rate: 3/n where nothing was seen, else Wilson's score bound. Trials are taken as independent."""
    if seen == 0:
        return min(1.0, 3 / trials)
    z, rate = 1.6449, seen / trials
    centre = rate + z * z / (2 * trials)
    spread = z * float(np.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials)))
    return min(1.0, (centre + spread) / (1 + z * z / trials))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in PHOTOGRAPHS)


def compared(engine: Engine, vectors: list[Vector], people: list[str]) -> tuple[Vector, Vector]:
    """Scores of all genuine and of all impostor pairs; `people`: whom each vector is of."""
    if len(vectors) < 2:
        return np.empty(0, np.float32), np.empty(0, np.float32)
    matrix, names = np.stack(vectors), np.array(people)
    first, second = np.triu_indices(len(vectors), 1)
    found = scores(engine.card.metric, matrix, matrix)[first, second]
    same = names[first] == names[second]
    return found[same], found[~same]
