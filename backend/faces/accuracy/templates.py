"""Every photograph through `capture`, as an enrolment would, once for all that is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from backend.errors import FaceAuthError
from backend.faces.accuracy.photographs import Photograph
from backend.faces.capture import capture, probe
from backend.faces.cores import usable_cores
from backend.faces.engine import Engine, Vector
from backend.faces.image import ImageLimits
from backend.faces.score import Matrix

Item = TypeVar("Item")
Found = TypeVar("Found")

People = NDArray[np.intp]
"""(n,) whom each template is of: places in a list of names"""


@dataclass(frozen=True)
class Capturing:
    """How photographs are captured: of several faces the largest is taken."""

    engine: Engine
    limits: ImageLimits
    min_face_px: int

    def vector(self, data: bytes) -> Vector:
        """Raises what `capture` raises."""
        return capture(self.engine, data, limits=self.limits, choose="largest", min_face_px=self.min_face_px).vector

    def searched(self, data: bytes) -> Vector | None:
        """What a search would look for: it takes faces that an enrolment refuses. None where it finds none."""
        try:
            faces = probe(self.engine, data, limits=self.limits, largest_only=True).faces
        except FaceAuthError:
            return None
        return faces[0].vector if faces else None


@dataclass(frozen=True)
class Failure:
    """A failure to enrol: the photograph and the error's code."""

    photograph: Photograph
    code: str


@dataclass(frozen=True)
class Templates:
    photographs: tuple[Photograph, ...]
    """those that were captured"""
    vectors: Matrix
    """(n, d) float32, on the engine's own scale"""
    people: People
    names: tuple[str, ...]
    """of the subjects, sorted; `people` are places in it"""
    failures: tuple[Failure, ...]


def captured(capturing: Capturing, photographs: Sequence[Photograph], *, each: Callable[[], object] = lambda: None) -> Templates:
    """`each` is called after every photograph. Raises OSError when a file cannot be read."""
    kept: list[Photograph] = []
    vectors: list[Vector] = []
    failures: list[Failure] = []

    def one(photograph: Photograph) -> Vector | str:
        return vector_or_code(capturing, photograph.path.read_bytes())

    for photograph, found in zip(photographs, side_by_side(one, photographs), strict=True):
        if isinstance(found, str):
            failures.append(Failure(photograph, found))
        else:
            kept.append(photograph)
            vectors.append(found)
        each()
    names = sorted({photograph.subject for photograph in kept})
    places = {name: place for place, name in enumerate(names)}
    people = np.array([places[photograph.subject] for photograph in kept], np.intp)
    matrix = np.stack(vectors) if vectors else np.empty((0, capturing.engine.card.dimension), np.float32)
    return Templates(tuple(kept), matrix, people, tuple(names), tuple(failures))


def vector_or_code(capturing: Capturing, data: bytes) -> Vector | str:
    """The template, or the code of why there is none."""
    try:
        return capturing.vector(data)
    except FaceAuthError as error:
        return error.code()


def side_by_side(work: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
    """Results in order; one thread for each core. What is not begun is dropped when nobody wants the rest."""
    pool = ThreadPoolExecutor(usable_cores(), thread_name_prefix="capture")
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(cancel_futures=True)
