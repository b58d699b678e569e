"""What was begun is finished by whoever can: one replica that cannot, or one enrolment that is damaged, keeps nobody from it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlmodel import col, select, update

from backend.enrolment import Enrolments
from backend.errors import GalleryBehind
from backend.faces.engine import ModelCard
from backend.fitness import where_schema_fits
from backend.gallery.memory import Room
from backend.gallery.replica import Replica
from backend.lifecycle import Lifecycle
from backend.metrics import Metrics
from backend.parts import _count
from backend.scans import Scans
from backend.sides import Side, Sides
from backend.store import job_leases, schema
from backend.store.due import DUE_TIMES
from backend.store.keyring import KeyringError
from backend.store.stats import pending_enrolments
from backend.store.tables import Enrolment, EnrolmentState
from backend.sweep import HOUSEKEEPING
from tests.ledger.test_races import begin, expire_leases
from tests.ledger.world import CARD, THRESHOLDS, Node, People, World


def pending(node: Node) -> list[Enrolment]:
    with node.store.read() as session:
        return list(session.exec(select(Enrolment).where(Enrolment.state == EnrolmentState.pending)))


def of_card(node: Node, card: ModelCard, room: Room | None = None) -> Enrolments:
    """A replica of its own over the same ledger, with another model or less room."""
    sides = Sides(node.store, [Side(card, THRESHOLDS, Replica(node.store, card, room=room))])
    return Enrolments(node.store, sides, "b9", 20.0, True)


@pytest.mark.parametrize(
    ("card", "room"),
    [(replace(CARD, model_id="newer-model"), None), (CARD, Room(bytes_per_template=272, limit=2 * 272))],
    ids=["wrong model", "too little memory"],
)
def test_a_replica_that_cannot_finish_an_enrolment_does_not_take_its_lease(
    node: Node, people: People, card: ModelCard, room: Room | None
) -> None:
    for vector in people.strangers(3):
        begin(node, vector)
    expire_leases(node)
    assert of_card(node, card, room).sweep() == 0
    assert {enrolment.lease_holder for enrolment in pending(node)} == {"b1"}
    assert node.enrolments.sweep() == 3


def test_who_took_an_enrolment_and_does_not_catch_up_gives_its_lease_back(
    world: World, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind, other = world.node(), world.node()
    begin(behind, people.stranger())
    expire_leases(behind)

    def never(_: Sequence[object]) -> list[object]:
        raise GalleryBehind()

    monkeypatch.setattr(behind.enrolments.search, "findings", never)
    assert behind.enrolments.sweep() == 0
    assert other.enrolments.sweep() == 1, "it had to wait for the lease"


def test_one_damaged_enrolment_keeps_neither_the_others_nor_the_housekeeping_from_their_turn(
    node: Node, people: People, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged, *others = [begin(node, vector) for vector in people.strangers(3)]
    real = node.enrolments.search.load

    def load(session: object, enrolment_id: str) -> object:
        if enrolment_id == damaged:
            raise KeyringError("of the subject with the name of Anna")
        return real(session, enrolment_id)  # type: ignore[arg-type]

    monkeypatch.setattr(node.enrolments.search, "load", load)
    expire_leases(node)
    with caplog.at_level(logging.WARNING):
        assert node.enrolments.sweep() == len(others)
    assert [enrolment.id for enrolment in pending(node)] == [damaged]
    (record,) = [record for record in caplog.records if record.getMessage() == "enrolment not finished"]
    assert vars(record)["fields"] == {"enrolment": damaged, "error": "KeyringError"}
    assert "Anna" not in caplog.text
    assert not job_leases.is_free(node.store, HOUSEKEEPING), "the house was not kept"
    assert node.enrolments.sweep() == 0, "its lease is the pause until the next try"


def test_the_age_of_the_oldest_pending_enrolment_is_told(node: Node, people: People) -> None:
    assert pending_enrolments(node.store) == (0, 0.0)
    stuck, _ = begin(node, people.stranger()), begin(node, people.stranger())
    with node.store.write() as session:
        hour_ago = node.store.now(session) - timedelta(hours=1)
        session.exec(update(Enrolment).where(col(Enrolment.id) == stuck).values(created_at=hour_ago))
    count, age_s = pending_enrolments(node.store)
    assert (count, age_s) == (2, pytest.approx(3600, abs=60))
    metrics = Metrics(life=Lifecycle())
    _count(node.store, Scans(node.store, CARD, THRESHOLDS), metrics, DUE_TIMES)
    told = dict(line.rsplit(" ", 1) for line in metrics.exposition().decode().splitlines() if line.startswith("face_auth_enrol"))
    assert told["face_auth_enrolments_pending"] == "2.0"
    assert float(told["face_auth_enrolments_pending_age_seconds"]) == pytest.approx(3600, abs=60)
    expire_leases(node)
    node.enrolments.sweep()
    assert pending_enrolments(node.store) == (0, 0.0)


def test_a_program_too_old_for_the_schema_does_no_background_work(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    work = where_schema_fits(node.store, lambda: done.append(1))
    work()
    with node.store.write() as session:
        node.store.gallery(session).min_app_level = schema.APP_LEVEL
    with monkeypatch.context() as older:
        older.setattr(schema, "APP_LEVEL", schema.APP_LEVEL - 1)
        work()
    assert done == [1]
