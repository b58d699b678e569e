"""A real ledger on a real file, several replicas over it, and made-up people whose templates are planted vectors."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from backend import wire
from backend.adjudication import Adjudication
from backend.bulk import BulkReviews
from backend.enrolment import Enrolments, Outcome
from backend.events import EventType
from backend.evidence import Evidence
from backend.export import Exports
from backend.export_format import SubjectExport
from backend.faces.capture import CapturedFace, ProbeFace
from backend.faces.engine import Calibration, CalibrationPoint, Face, Metric, ModelCard, Vector
from backend.faces.quality import Quality
from backend.gallery.replica import Replica
from backend.recognition import Recognition, Thresholds
from backend.review_policy import SecondReview
from backend.sides import Side, Sides
from backend.store.audit import Audit
from backend.store.caller import Caller
from backend.store.database import Store
from backend.store.due import DUE_TIMES, DueTimes
from backend.store.keyring import Keyring
from backend.store.migration import pin, upgrade
from backend.subjects import Subjects
from backend.together import Together

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For tests that look into SQLite's file; all others run on both databases."""

ON_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

DIMENSION = 64
MODEL = "synthetic-cosine-64"
THRESHOLDS = Thresholds(verification=0.5, review=0.6, certain=0.9)
CALIBRATION = Calibration("cal_synthetic", (CalibrationPoint(0.3, 1e-3), CalibrationPoint(0.6, 1e-5)), 1e-5, "planted")
CARD = ModelCard(MODEL, "synthetic", "none", DIMENSION, Metric.cosine, "none", 0.5, 0.6, 0.9, CALIBRATION)
CARD_L2 = ModelCard("synthetic-l2-64", "synthetic", "none", DIMENSION, Metric.l2, "none", 0.45, 0.5, 0.8, None)

CLIENT = Caller(id="key_client", name="client", kind="key", roles=frozenset({"client"}))
ANNA = Caller(id="usr_anna", name="Anna", kind="person", roles=frozenset({"reviewer"}), sid="ses_1", kid="kid_1")
BERT = Caller(id="usr_bert", name="Bert", kind="person", roles=frozenset({"reviewer"}))
SUSI = Caller(id="usr_susi", name="Susi", kind="person", roles=frozenset({"supervisor"}))

GOOD = Quality(overall=90, components={"Sharpness": 90})


def wait_until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


@dataclass
class People:
    """Unit vectors: strangers are far apart (64 dimensions), looks of one person score exactly what is asked for."""

    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    def stranger(self) -> Vector:
        return unit(self.rng.standard_normal(DIMENSION))

    def strangers(self, n: int) -> list[Vector]:
        """At right angles to one another: they never reach any threshold by chance."""
        basis, _ = np.linalg.qr(self.rng.standard_normal((DIMENSION, n)))
        return [unit(column) for column in basis.T]

    def like(self, vector: Vector, score: float) -> Vector:
        """A unit vector whose cosine with `vector` is `score`."""
        other = self.rng.standard_normal(DIMENSION)
        other -= (other @ vector) * vector
        return unit(score * vector + np.sqrt(1 - score**2) * unit(other))

    def between(self, first: Vector, last: Vector, *, steps: int) -> list[Vector]:
        """From `first` to `last`, which are at right angles, by equal turns."""
        angles = np.linspace(0.0, np.pi / 2, steps)
        return [unit(np.cos(angle) * first + np.sin(angle) * last) for angle in angles]


def unit(vector: np.ndarray) -> Vector:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def face(vector: Vector, crop: bytes = b"\xff\xd8crop\xff\xd9", model_id: str = MODEL) -> CapturedFace:
    return CapturedFace(crop=crop, landmarks=np.zeros((5, 2), np.float32), vector=vector, quality=GOOD, model_id=model_id)


def probe(vector: Vector) -> ProbeFace:
    seen = Face(box=(1.0, 2.0, 30.0, 40.0), landmarks=np.zeros((5, 2), np.float32), confidence=0.9)
    return ProbeFace(face=seen, vector=vector, quality=GOOD)


@dataclass
class Node:
    """One replica of the backend, without HTTP."""

    store: Store
    replica: Replica
    enrolments: Enrolments
    recognition: Recognition
    subjects: Subjects
    exports: Exports
    adjudication: Adjudication
    together: Together
    bulk: BulkReviews
    audit: Audit
    sides: Sides

    def enrol(self, vector: Vector, *more: Vector, **options: object) -> wire.Enrolment:
        return self.outcome(vector, *more, **options).answer

    def outcome(self, vector: Vector, *more: Vector, **options: object) -> Outcome:
        options.setdefault("caller", CLIENT)
        return self.enrolments.enrol([face(v) for v in (vector, *more)], **options)  # type: ignore[arg-type]

    def export(self, subject_id: str, caller: Caller = SUSI) -> SubjectExport:
        """As its receiver reads it."""
        return SubjectExport.model_validate_json(b"".join(self.exports.export(subject_id, caller=caller).pieces))

    def cases(self, state: wire.CaseState | None = None) -> list[wire.CaseSummary]:
        return self.adjudication.list(state=state, limit=100).items

    def open_case(self, case_id: str) -> wire.Case:
        return self.adjudication.read(case_id, ANNA)

    def decide(self, case_id: str, verdict: wire.Verdict, survivor_id: str | None = None, caller: Caller = ANNA) -> wire.Case:
        version = self.open_case(case_id).version
        request = wire.DecideRequest(verdict=verdict, version=version, survivor_id=survivor_id)
        return self.adjudication.decide(case_id, request, caller)

    def undo(self, case_id: str, caller: Caller = ANNA) -> wire.Case:
        return self.adjudication.undo(case_id, wire.UndoRequest(version=self.open_case(case_id).version), caller)

    def close(self) -> None:
        for side in self.sides.all:
            side.replica.stop()
        self.store.close()


@dataclass
class World:
    """One database file and key file; `node` opens another replica over them."""

    folder: Path
    card: ModelCard = CARD
    thresholds: Thresholds = THRESHOLDS
    due: DueTimes = DUE_TIMES
    nodes: list[Node] = field(default_factory=list)
    database_url: str | None = None
    """None: a SQLite file in `folder`"""
    beside: tuple[ModelCard, ...] = ()
    """of models that the gallery may change to"""

    @property
    def cards(self) -> tuple[ModelCard, ...]:
        """Of every model that a test may have put into this ledger."""
        return (self.card, *self.beside)

    @property
    def url(self) -> str:
        return self.database_url or f"sqlite:///{self.folder / 'ledger.db'}"

    @property
    def is_sqlite(self) -> bool:
        return self.database_url is None

    @property
    def key_file(self) -> Path:
        return self.folder / "ledger.key"

    def create(self) -> World:
        upgrade(self.url)
        pin(self.url, keyring=Keyring.create(self.key_file), model_id=self.card.model_id)
        return self

    def node(
        self,
        *,
        lease_s: float = 20.0,
        case_lease_s: float = 180.0,
        store_images: bool = True,
        wait_s: float | None = 5.0,
        second_review: SecondReview = SecondReview.none,
        told: Collection[EventType] = (),
        cards: Sequence[ModelCard] | None = None,
    ) -> Node:
        """`cards`: the models that it has loaded; all but its index, search and enrolments are of the world's own."""
        store = Store.open(self.url, keyring=Keyring.load(self.key_file), told=told)
        loaded = [Side(card, self.thresholds, Replica(store, card, poll_s=0.2)) for card in cards or [self.card]]
        sides = Sides(store, loaded)
        replica = loaded[0].replica
        name = f"b{len(self.nodes) + 1}"
        evidence = Evidence(store, self.card, self.thresholds, self.due)
        node = Node(
            store=store,
            replica=replica,
            enrolments=Enrolments(store, sides, name, lease_s, store_images, pending_wait_s=wait_s),
            recognition=Recognition(store, replica, self.card, self.thresholds),
            subjects=Subjects(store, self.card.metric),
            exports=Exports(store),
            adjudication=Adjudication(
                store,
                evidence,
                lease_s=case_lease_s,
                second_review=second_review,
            ),
            together=Together(store, evidence, self.card, self.thresholds),
            bulk=BulkReviews(store, second_review=second_review),
            audit=Audit(store),
            sides=sides,
        )
        self.nodes.append(node)
        return node

    def fleet(self, size: int) -> list[Node]:
        """Replicas that have read the gallery: before that a balancer gives them no work."""
        nodes = [self.node() for _ in range(size)]
        for node in nodes:
            node.replica.catch_up()
        return nodes

    def close(self) -> None:
        for node in self.nodes:
            node.close()
