"""Several people admitted, searched for and decided together: each as if it had come by itself, in order."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlmodel import Session, select

from backend import wire
from backend.enrolment import Idempotency, Newcomer, Outcome
from backend.errors import DatabaseAway, ExternalIdTaken, IdempotencyKeyReused, ModelMismatch, SubjectNotFound
from backend.store.caller import Caller
from backend.store.tables import Enrolment, Subject, Template
from backend.wire import SubjectState
from tests.ledger.world import CLIENT, Node, People, World, face, wait_until

REJECT = wire.OnDuplicate.reject


def newcomer(vector: object, **options: object) -> Newcomer:
    return Newcomer([face(vector)], **options)  # type: ignore[arg-type]


def enrolled(node: Node, *newcomers: Newcomer) -> list[wire.Enrolment]:
    results = node.enrolments.enrol_all(newcomers, caller=CLIENT)
    assert all(isinstance(result, Outcome) for result in results)
    return [result.answer for result in results if isinstance(result, Outcome)]


def test_strangers_are_active_each_with_an_answer_of_its_own_in_order(node: Node, people: People) -> None:
    answers = enrolled(node, *(newcomer(v, external_id=f"E-{i}") for i, v in enumerate(people.strangers(5))))
    assert [answer.external_id for answer in answers] == [f"E-{i}" for i in range(5)]
    assert {answer.state for answer in answers} == {SubjectState.active}
    assert [answer.seq for answer in answers] == sorted({answer.seq for answer in answers})
    assert node.cases() == []
    assert node.enrolments.sweep() == 0, "nothing was left between the two transactions"


def test_two_of_one_batch_are_duplicates_as_any_two_others(node: Node, people: People) -> None:
    person, other = people.strangers(2)
    before = node.enrol(person)
    alone, one, two = enrolled(node, newcomer(other), newcomer(people.like(person, 0.8)), newcomer(people.like(person, 0.95)))
    assert alone.duplicates == []
    assert [d.subject_id for d in one.duplicates] == [before.subject_id]
    assert {d.subject_id for d in two.duplicates} >= {before.subject_id}
    (case,) = node.cases()
    assert (one.case_id, two.case_id) == (case.id, case.id)


def test_reject_turns_away_whom_an_earlier_one_of_the_batch_shows(node: Node, people: People) -> None:
    person = people.stranger()
    first, second, third = enrolled(node, *(newcomer(people.like(person, 0.99), on_duplicate=REJECT) for _ in range(3)))
    assert [answer.state for answer in (first, second, third)] == [
        SubjectState.active,
        SubjectState.rejected,
        SubjectState.rejected,
    ]
    assert [d.subject_id for d in third.duplicates] == [first.subject_id], "who was turned away is nobody's duplicate"


def test_one_that_is_refused_leaves_nothing_and_holds_up_no_other(node: Node, people: People) -> None:
    one, two, three = people.strangers(3)
    taken = node.enrol(one, external_id="E-1")
    results = node.enrolments.enrol_all(
        [newcomer(two, external_id="E-2"), newcomer(three, external_id="E-1"), newcomer(three, external_id="E-2")], caller=CLIENT
    )
    assert isinstance(results[0], Outcome)
    assert [type(result) for result in results[1:]] == [ExternalIdTaken, ExternalIdTaken]
    assert [s.id for s in node.subjects.list(limit=10).items] == [results[0].answer.subject_id, taken.subject_id]
    node.replica.catch_up()
    assert node.replica.size == 2


def test_a_batch_under_a_model_that_nobody_here_has_enrols_nobody(node: Node, people: People) -> None:
    node.replica.catch_up()  # it knows nothing of it yet
    with node.store.write() as session:
        node.store.gallery(session).model_id = "another-model"
    results = node.enrolments.enrol_all([newcomer(v) for v in people.strangers(2)], caller=CLIENT)
    assert [type(result) for result in results] == [ModelMismatch] * 2
    with node.store.read() as session:
        assert session.exec(select(Subject)).all() == []


def test_a_refusal_in_the_midst_of_a_batch_takes_back_what_was_written_of_it(
    node: Node, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is refused late, with its subject and templates written already."""
    remember = node.enrolments._remember

    def refuse_one(session: Session, made: Enrolment, caller: Caller, idempotency: Idempotency | None) -> str:
        if idempotency is not None:
            assert session.get(Subject, made.subject_id) is not None
            raise IdempotencyKeyReused
        return remember(session, made, caller, idempotency)

    monkeypatch.setattr(node.enrolments, "_remember", refuse_one)
    one, other = people.strangers(2)
    refused, made = node.enrolments.enrol_all(
        [newcomer(one, idempotency=Idempotency("k", "digest")), newcomer(other)], caller=CLIENT
    )
    assert type(refused) is IdempotencyKeyReused
    assert isinstance(made, Outcome)
    with node.store.read() as session:
        assert [subject.id for subject in session.exec(select(Subject))] == [made.answer.subject_id]
        assert len(session.exec(select(Template)).all()) == 1


def test_what_was_sent_before_is_answered_again_whichever_batch_it_comes_in(world: World, people: People) -> None:
    here, elsewhere = world.node(), world.node()
    keyed = [newcomer(v, idempotency=Idempotency(f"k{i}", "digest")) for i, v in enumerate(people.strangers(4))]
    first = enrolled(here, *keyed[:3])
    again = enrolled(elsewhere, keyed[3], keyed[2], keyed[0])
    assert again[1:] == [first[2], first[0]]
    assert len(here.subjects.list(limit=10).items) == 4
    replayed = elsewhere.enrolments.replay_all(CLIENT, [keyed[1].idempotency, None, Idempotency("k9", "digest")])
    assert replayed == [Outcome(201, first[1]), None, None]


def test_one_key_twice_in_a_batch_is_one_subject_and_with_another_body_a_refusal(node: Node, people: People) -> None:
    one = newcomer(people.stranger(), idempotency=Idempotency("k", "digest"))
    first, same, other = node.enrolments.enrol_all([one, one, replace(one, idempotency=Idempotency("k", "else"))], caller=CLIENT)
    assert isinstance(first, Outcome)
    assert first == same
    assert isinstance(other, IdempotencyKeyReused)
    assert len(node.subjects.list(limit=10).items) == 1


def test_a_batch_whose_process_died_between_the_transactions_is_finished_by_whoever_comes_next(
    world: World, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = people.stranger()
    dying, other = world.node(lease_s=0.3), world.node(lease_s=0.3)
    batch = [newcomer(people.like(person, 0.97), on_duplicate=REJECT, idempotency=Idempotency(f"k{i}", "d")) for i in range(3)]

    def die(_: object) -> None:
        raise DatabaseAway

    monkeypatch.setattr(dying.enrolments.search, "findings", die)
    with pytest.raises(DatabaseAway):
        dying.enrolments.enrol_all(batch, caller=CLIENT)
    wait_until(lambda: other.enrolments.sweep() > 0 or not _pending(other))
    answers = enrolled(other, *batch)
    assert [answer.state for answer in answers] == [SubjectState.active, SubjectState.rejected, SubjectState.rejected]


def _pending(node: Node) -> list[wire.Subject]:
    return node.subjects.list(limit=10, state=SubjectState.pending).items


def test_batches_that_race_find_every_pair_between_them(world: World, people: People) -> None:
    persons = people.strangers(6)
    nodes = world.fleet(3)
    start = threading.Barrier(len(nodes))

    def one(node: Node, rotated: int) -> list[wire.Enrolment]:
        order = persons[rotated:] + persons[:rotated]
        start.wait()
        return enrolled(node, *(newcomer(people_like(v)) for v in order))

    lock = threading.Lock()

    def people_like(vector: object) -> object:
        with lock:
            return people.like(vector, 0.97)  # type: ignore[arg-type]

    with ThreadPoolExecutor(len(nodes)) as pool:
        answers = [a for found in pool.map(one, nodes, (0, 2, 4)) for a in found]
    assert len(answers) == 18
    cases = nodes[0].cases()
    assert len(cases) == 6
    assert all(len(nodes[0].open_case(case.id).subjects) == 3 for case in cases)


def test_one_that_somebody_else_finished_and_erased_meanwhile_is_gone_alone(
    world: World, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, other = world.node(lease_s=0.1), world.node(lease_s=5.0)
    found = slow.enrolments.search.findings

    def erase_first(works: object) -> object:
        findings = found(works)  # type: ignore[arg-type]
        monkeypatch.setattr(slow.enrolments.search, "findings", found)
        wait_until(lambda: other.enrolments.sweep() > 0 and not _pending(other))
        other.subjects.erase(works[0].enrolment.subject_id, if_match=None, caller=CLIENT)  # type: ignore[index]
        return findings

    monkeypatch.setattr(slow.enrolments.search, "findings", erase_first)
    gone, stays = slow.enrolments.enrol_all([newcomer(v) for v in people.strangers(2)], caller=CLIENT)
    assert isinstance(gone, SubjectNotFound)
    assert isinstance(stays, Outcome)
    assert [s.id for s in other.subjects.list(limit=10).items] == [stays.answer.subject_id]
