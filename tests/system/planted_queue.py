"""A review queue in seconds: real enrolments with chosen vectors, written by the program's own two transactions.

Inference is left out, nothing else: T1, the search in a real index, T2, its pairs, cases and audit events are those of a served
enrolment, into the database that the servers then start on, with the offline engine's model id and thresholds.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from backend.enrolment import Enrolments, Newcomer
from backend.faces.capture import CapturedFace
from backend.faces.engine import ModelCard, Vector
from backend.faces.load import load_engine
from backend.faces.quality import Quality
from backend.findings import Outcome
from backend.gallery.replica import Replica
from backend.recognition import Thresholds
from backend.sides import Side, Sides
from backend.store.caller import Caller
from backend.store.database import Store
from backend.store.keyring import Keyring

PLANTER = Caller(id="key_planter", name="planter", kind="key", roles=frozenset({"client"}))
NORM = 1.4
"""What dlib's descriptors are long; strangers of 128 dimensions are then about 2 apart, far from every threshold."""
CERTAIN, REVIEW = (0.66, 0.85), (0.49, 0.60)
"""scores, between the offline engine's thresholds and away from them"""
TOGETHER = 10
"""people of one batch, in two transactions"""


@dataclass(frozen=True)
class PlantedCase:
    """Two records that look like one person."""

    id: str
    older: str
    newer: str
    certain: bool


def plant(url: str, key_file: Path, *, cases: int, seed: int, certain_share: float = 0.5) -> list[PlantedCase]:
    """`cases` people enrolled twice; the database at `url` is migrated and pinned to the offline engine's model."""
    rng = np.random.default_rng(seed)
    certain = [bool(rng.random() < certain_share) for _ in range(cases)]
    people = [_two_looks(rng, CERTAIN if sure else REVIEW) for sure in certain]
    with closing(Store.open(url, keyring=Keyring.load(key_file))) as store, _enrolments(store) as (enrolments, card):
        planted: list[PlantedCase] = []
        for start in range(0, cases, TOGETHER):
            looks = people[start : start + TOGETHER]
            newcomers = [Newcomer([_face(look, card, place)]) for pair in looks for place, look in enumerate(pair)]
            answers = enrolments.enrol_all(newcomers, caller=PLANTER)
            planted += _cases(answers, certain[start : start + TOGETHER])
    return planted


def _cases(answers: Sequence[object], certain: Sequence[bool]) -> Iterator[PlantedCase]:
    for older, newer, sure in zip(answers[::2], answers[1::2], certain, strict=True):
        assert isinstance(older, Outcome), older
        assert isinstance(newer, Outcome), newer
        assert older.answer.case_id is None, "a stranger looks like somebody"
        assert newer.answer.case_id is not None, "a second look was not found"
        yield PlantedCase(newer.answer.case_id, older.answer.subject_id, newer.answer.subject_id, sure)


@contextmanager
def _enrolments(store: Store) -> Iterator[tuple[Enrolments, ModelCard]]:
    card = load_engine("offline").card
    thresholds = Thresholds(card.verification_threshold, card.review_threshold, card.certain_threshold)
    replica = Replica(store, card, poll_s=0.2)
    try:
        yield Enrolments(store, Sides(store, [Side(card, thresholds, replica)]), "planter", 60.0, store_images=True), card
    finally:
        replica.stop()


def _two_looks(rng: np.random.Generator, scores: tuple[float, float]) -> tuple[Vector, Vector]:
    person = NORM * _direction(rng)
    distance = 1 - rng.uniform(*scores)
    return person.astype(np.float32), (person + distance * _direction(rng)).astype(np.float32)


def _direction(rng: np.random.Generator) -> np.ndarray:
    direction = rng.standard_normal(128)
    return direction / np.linalg.norm(direction)


def _face(vector: Vector, card: ModelCard, place: int) -> CapturedFace:
    """With a picture that reviewers can look at."""
    sink = io.BytesIO()
    Image.new("RGB", (64, 64), (40 + 120 * place, 90, 120)).save(sink, "JPEG")
    quality = Quality(overall=90, components={"Sharpness": 90})
    return CapturedFace(sink.getvalue(), np.zeros((5, 2), np.float32), vector, quality, card.model_id)
