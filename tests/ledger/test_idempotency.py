from __future__ import annotations

from datetime import timedelta

import pytest
from sqlmodel import select, update

from backend import wire
from backend.enrolment import Idempotency
from backend.errors import IdempotencyKeyReused
from backend.store.tables import Enrolment
from backend.store.tables import Idempotency as Row
from backend.wire import SubjectState
from tests.ledger.world import ANNA, CLIENT, Node, People, World, face

BODY, OTHER_BODY = "a" * 64, "b" * 64
KEY = Idempotency("order-17", BODY)


def test_the_same_request_again_gets_the_same_answer_from_any_replica(world: World, people: People) -> None:
    one, other = world.node(), world.node()
    vector = people.stranger()
    first = one.outcome(vector, idempotency=KEY, external_id="E-1")
    assert other.outcome(vector, idempotency=KEY, external_id="E-1") == first
    assert other.enrolments.replay(CLIENT, "order-17", BODY) == first
    assert one.subjects.list().total == 1


def test_a_replay_after_a_merge_is_still_the_answer_that_was_given(node: Node, people: People) -> None:
    vector = people.stranger()
    a = node.enrol(vector)
    first = node.outcome(people.like(vector, 0.8), idempotency=KEY)
    node.decide(first.answer.case_id or "", wire.Verdict.same, a.subject_id)
    assert node.enrolments.replay(CLIENT, "order-17", BODY) == first


def test_a_rejection_is_replayed_too(node: Node, people: People) -> None:
    vector = people.stranger()
    node.enrol(vector)
    first = node.outcome(vector, idempotency=KEY, on_duplicate=wire.OnDuplicate.reject, external_id="E-1")
    assert first.status == 409
    assert node.enrolments.replay(CLIENT, "order-17", BODY) == first
    with node.store.read() as session:
        stored = session.exec(select(Enrolment).where(Enrolment.subject_id == first.answer.subject_id)).one()
    assert stored.sealed_answer is None
    assert "E-1" not in str(stored.plain_answer)


def test_the_key_with_another_body_is_refused(node: Node, people: People) -> None:
    node.outcome(people.stranger(), idempotency=KEY)
    with pytest.raises(IdempotencyKeyReused):
        node.enrolments.replay(CLIENT, "order-17", OTHER_BODY)
    with pytest.raises(IdempotencyKeyReused):
        node.outcome(people.stranger(), idempotency=Idempotency("order-17", OTHER_BODY))
    assert node.subjects.list().total == 1


def test_the_same_key_of_another_caller_is_another_key(node: Node, people: People) -> None:
    node.outcome(people.stranger(), idempotency=KEY)
    assert node.enrolments.replay(ANNA, "order-17", BODY) is None
    node.outcome(people.stranger(), idempotency=KEY, caller=ANNA)
    assert node.subjects.list().total == 2


def test_a_key_that_was_never_used_has_no_answer(node: Node) -> None:
    assert node.enrolments.replay(CLIENT, "never", BODY) is None


def test_adding_a_sample_is_idempotent_too(node: Node, people: People) -> None:
    vector = people.stranger()
    subject = node.enrol(vector)
    again = people.like(vector, 0.9)
    first = node.enrolments.add_samples(subject.subject_id, [face(again)], caller=CLIENT, idempotency=KEY)
    assert node.enrolments.add_samples(subject.subject_id, [face(again)], caller=CLIENT, idempotency=KEY) == first
    assert len(node.subjects.get(subject.subject_id).samples) == 2


def test_a_day_later_the_answer_is_forgotten_and_the_key_is_free(node: Node, people: People) -> None:
    node.outcome(people.stranger(), idempotency=KEY)
    with node.store.write() as session:
        long_ago = node.store.now(session) - timedelta(hours=25)
        session.exec(update(Row).values(created_at=long_ago))
        session.exec(update(Enrolment).values(finished_at=long_ago))
    assert node.enrolments.replay(CLIENT, "order-17", BODY) is None
    node.enrolments.sweep()
    with node.store.read() as session:
        assert session.exec(select(Row)).all() == []
        assert session.exec(select(Enrolment)).one().sealed_answer is None
    assert node.outcome(people.stranger(), idempotency=Idempotency("order-17", OTHER_BODY)).status == 201


def test_what_a_client_puts_into_its_key_is_not_stored(node: Node, people: People) -> None:
    node.outcome(people.stranger(), idempotency=Idempotency("mary@example.org", BODY))
    with node.store.read() as session:
        assert "mary" not in str(session.exec(select(Row)).one())


def test_the_stored_answer_goes_with_the_subject(node: Node, people: People) -> None:
    first = node.outcome(people.stranger(), idempotency=KEY)
    node.subjects.erase(first.answer.subject_id, caller=CLIENT)
    assert node.enrolments.replay(CLIENT, "order-17", BODY) is None
    with node.store.read() as session:
        assert session.exec(select(Enrolment)).all() == []


def test_a_finished_enrolment_names_its_subject_as_active(node: Node, people: People) -> None:
    assert node.outcome(people.stranger(), idempotency=KEY).answer.state is SubjectState.active
