"""What the webhook is told: with what happens, in its order, at least once, and of nobody who was erased."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import col, select, update

from backend import wire
from backend.deliveries import JOB, Deliveries
from backend.delivery import Answer, Outcome, asked_pause_s, next_try, outcome_of, pause_s, spread_of
from backend.endpoint import Endpoint, Message
from backend.events import CaseClosed, CaseDecided, CaseOpened, CaseReopened, EnrolmentRejected, Event, EventType
from backend.review_policy import SecondReview
from backend.store import outbox
from backend.store.tables import Enrolment, JobLease, Outbox
from backend.sweep import HOUSEKEEPING, Sweep
from backend.wire import CaseState, OnDuplicate, Verdict
from tests.ledger.world import ANNA, BERT, CLIENT, SUSI, Node, People, World, face
from tests.receiver import OK, SECRET, Receiver, receiving

ALL = tuple(EventType)
NOW = datetime(2030, 1, 1, tzinfo=UTC)
FAILED = (500, {})


@pytest.fixture
def node(world: World) -> Node:
    return world.node(told=ALL)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def deliver(node: Node, receiver: Receiver) -> Callable[[], int]:
    return deliveries(node, receiver).run


def deliveries(
    node: Node, receiver: Receiver, *, holder: str = "b1.a", count: Callable[[Outcome], None] = lambda _: None
) -> Deliveries:
    return Deliveries(node.store, Endpoint(receiver.url, SECRET), holder=holder, count=count)


def rows(node: Node) -> list[Outbox]:
    with node.store.read() as session:
        return list(session.exec(select(Outbox).where(col(Outbox.event_id).is_not(None)).order_by(col(Outbox.seq))))


def let_pauses_pass(node: Node) -> None:
    with node.store.write() as session:
        now = node.store.now(session)
        session.exec(update(Outbox).where(col(Outbox.next_at) > now).values(next_at=now))


def let_the_lease_run_out(node: Node, name: str = JOB) -> None:
    with node.store.write() as session:
        session.exec(update(JobLease).where(col(JobLease.name) == name).values(until=node.store.now(session)))


# --- of cases that a person opened -------------------------------------------------------------------------------


def test_a_case_that_a_person_opened_is_told_decided_and_undone_like_any_other(node: Node, people: People) -> None:
    a, b, c = (node.enrol(vector).subject_id for vector in people.strangers(3))
    case, _ = node.together.ask(wire.TogetherRequest(subject_ids=[a, b, c]), ANNA)
    node.decide(case.id, Verdict.same, a)
    node.undo(case.id)
    node.subjects.erase(b, caller=SUSI)
    assert [row.topic for row in rows(node)] == ["case.opened", "case.decided", "case.reopened"]
    assert all(row.body is not None and row.body["data"]["source"] == "manual" for row in rows(node))


# --- what is told -------------------------------------------------------------------------------------------------


def test_a_case_is_told_once_and_then_forgotten(
    node: Node, pair: tuple[wire.Enrolment, wire.Enrolment], receiver: Receiver, deliver: Callable[[], int]
) -> None:
    assert (deliver(), deliver(), rows(node)) == (1, 0, [])
    (event,) = receiver.events
    assert isinstance(event, CaseOpened)
    case = node.open_case(pair[1].case_id or "")
    assert (event.data.case_id, event.data.version, event.data.source, event.data.cause) == (
        case.id,
        case.version,
        "enrolment",
        "found",
    )
    assert (event.data.kind, event.data.score) == ("duplicate", pytest.approx(0.8, abs=1e-3))
    assert event.data.subject_ids == sorted(one.subject_id for one in pair)


def test_nobody_listens_and_nothing_is_written(world: World, people: People) -> None:
    node = world.node()
    person = people.stranger()
    node.enrol(person, external_id="E-1", metadata={"name": "Mary"})
    node.enrol(people.like(person, 0.8))
    with node.store.read() as session:
        assert session.exec(select(Outbox)).all() == []


def test_only_what_was_asked_for_is_told(world: World, people: People) -> None:
    node = world.node(told=[EventType.case_decided])
    person = people.stranger()
    first = node.enrol(person)
    case_id = node.enrol(people.like(person, 0.8)).case_id or ""
    node.decide(case_id, Verdict.same, first.subject_id)
    assert [row.topic for row in rows(node)] == ["case.decided"]


def test_a_rejected_enrolment_is_told_with_whom_it_was_and_without_what_was_given(
    node: Node, people: People, receiver: Receiver, deliver: Callable[[], int]
) -> None:
    person = people.stranger()
    known = node.enrol(person)
    rejected = node.enrol(
        people.like(person, 0.97), on_duplicate=OnDuplicate.reject, external_id="E-77", metadata={"name": "Mary"}
    )
    deliver()
    (event,) = receiver.events
    assert isinstance(event, EnrolmentRejected)
    assert event.data.subject_id == rejected.subject_id
    assert [(one.subject_id, one.score) for one in event.data.duplicate_of] == [(known.subject_id, pytest.approx(0.97, abs=1e-3))]
    assert b"E-77" not in receiver.bodies[0]
    assert b"Mary" not in receiver.bodies[0]
    with node.store.read() as session:
        assert (
            session.exec(select(Enrolment.id).where(Enrolment.subject_id == rejected.subject_id)).one() == event.data.enrolment_id
        )


def test_a_decision_and_its_undoing_are_told(
    node: Node, pair: tuple[wire.Enrolment, wire.Enrolment], case_id: str, receiver: Receiver, deliver: Callable[[], int]
) -> None:
    older = pair[0].subject_id
    request = wire.DecideRequest(verdict=Verdict.same, version=node.open_case(case_id).version, survivor_id=older, note="a scar")
    node.adjudication.decide(case_id, request, ANNA)
    node.undo(case_id)
    deliver()
    _, decided, reopened = receiver.events
    assert isinstance(decided, CaseDecided)
    assert (decided.data.case_id, decided.data.verdict, decided.data.survivor_id) == (case_id, "same", older)
    assert isinstance(reopened, CaseReopened)
    assert (reopened.data.case_id, reopened.data.cause) == (case_id, "undo")
    assert all(secret not in body for body in receiver.bodies for secret in (b"scar", ANNA.id.encode(), ANNA.name.encode()))


def test_of_two_blind_decisions_nothing_is_told_before_the_second(world: World, people: People, receiver: Receiver) -> None:
    node = world.node(told=ALL, second_review=SecondReview.all)
    person = people.stranger()
    older = node.enrol(person).subject_id
    case_id = node.enrol(people.like(person, 0.8)).case_id or ""
    before = [row.seq for row in rows(node)]
    assert node.decide(case_id, Verdict.same, older, ANNA).state is CaseState.second_review
    node.undo(case_id, ANNA)
    assert node.decide(case_id, Verdict.same, older, BERT).state is CaseState.second_review
    assert [row.seq for row in rows(node)] == before, "that somebody decided, or took it back, may not be known"
    node.decide(case_id, Verdict.same, older, ANNA)
    deliveries(node, receiver).run()
    assert receiver.types() == ["case.opened", "case.decided"]


def test_what_two_settle_differently_is_told_when_a_supervisor_has_decided(world: World, people: People) -> None:
    node = world.node(told=ALL, second_review=SecondReview.all)
    person = people.stranger()
    older = node.enrol(person).subject_id
    case_id = node.enrol(people.like(person, 0.8)).case_id or ""
    node.decide(case_id, Verdict.same, older, ANNA)
    assert node.decide(case_id, Verdict.different, None, BERT).state is CaseState.arbitration
    assert [row.topic for row in rows(node)] == ["case.opened"]
    node.decide(case_id, Verdict.different, None, SUSI)
    assert [row.topic for row in rows(node)] == ["case.opened", "case.decided"]


def test_a_case_that_joins_another_is_told_as_closed_and_one_that_falls_apart_as_cut(
    node: Node, people: People, receiver: Receiver, deliver: Callable[[], int]
) -> None:
    one, other = people.strangers(2)
    ends = [node.enrol(one), node.enrol(people.like(one, 0.95)), node.enrol(other), node.enrol(people.like(other, 0.95))]
    bridge = node.enrol((one + other) / (2**0.5))
    deliver()
    first, second, joined = receiver.events
    assert isinstance(first, CaseOpened)
    assert isinstance(second, CaseOpened)
    assert isinstance(joined, CaseClosed)
    assert (joined.data.case_id, joined.data.cause, joined.data.joined_into) == (
        second.data.case_id, "joined", first.data.case_id,
    )  # fmt: skip
    node.subjects.erase(bridge.subject_id, caller=CLIENT)
    deliver()
    cut = receiver.events[-1]
    assert isinstance(cut, CaseOpened)
    assert (cut.data.cause, cut.data.cut_from) == ("cut", first.data.case_id)
    assert set(cut.data.subject_ids) < {end.subject_id for end in ends}


def test_a_picture_that_may_show_somebody_else_is_told(node: Node, people: People) -> None:
    known = node.enrol(people.stranger())
    node.enrolments.add_samples(known.subject_id, [face(people.stranger())], caller=CLIENT)
    (row,) = rows(node)
    data = (row.body or {})["data"]
    assert (row.topic, data["kind"], data["subject_ids"]) == ("case.opened", "sample", [known.subject_id])


# --- at least once, in order --------------------------------------------------------------------------------------


def test_what_failed_comes_again_with_the_same_id_and_body(
    node: Node, pair: tuple[wire.Enrolment, wire.Enrolment], receiver: Receiver
) -> None:
    counted: list[Outcome] = []
    job = deliveries(node, receiver, count=counted.append)
    receiver.answer = lambda _: FAILED
    assert job.run() == 0
    (row,) = rows(node)
    assert (row.attempts, row.last_result) == (1, "500")
    assert job.run() == 0
    assert len(receiver.events) == 1, "it did not wait"
    receiver.answer = lambda _: OK
    let_pauses_pass(node)
    assert job.run() == 1
    assert len(set(receiver.ids())) == 1
    assert receiver.bodies[0] == receiver.bodies[1]
    assert counted == [Outcome.retried, Outcome.delivered]
    assert rows(node) == []


def test_whoever_lost_the_lease_on_the_way_leaves_the_message_to_the_other(
    world: World, node: Node, pair: tuple[wire.Enrolment, wire.Enrolment], receiver: Receiver
) -> None:
    """As one that was frozen, or killed, between the answer and its deletion."""
    other = deliveries(world.node(), receiver, holder="b2.b")

    def frozen(_: Event) -> tuple[int, dict[str, str]]:
        receiver.answer = lambda _: OK
        let_the_lease_run_out(node)
        assert other.run() == 1
        return OK

    receiver.answer = frozen
    assert deliveries(node, receiver).run() == 0
    assert len(receiver.events) == 2
    assert len(set(receiver.ids())) == 1


def test_two_living_replicas_do_not_both_deliver(
    world: World, node: Node, pair: tuple[wire.Enrolment, wire.Enrolment], receiver: Receiver
) -> None:
    other, seen = deliveries(world.node(), receiver, holder="b2.b"), list[int]()

    def meanwhile(_: Event) -> tuple[int, dict[str, str]]:
        seen.append(other.run())
        return OK

    receiver.answer = meanwhile
    assert deliveries(node, receiver).run() == 1
    assert other.run() == 0
    assert (seen, len(receiver.events)) == ([0], 1)


def test_later_events_wait_behind_one_that_fails_and_pass_it_when_it_has_failed_often(
    node: Node, people: People, receiver: Receiver, deliver: Callable[[], int]
) -> None:
    for person in people.strangers(3):
        node.enrol(person)
        node.enrol(people.like(person, 0.8))
    poisoned, second, third = (row.event_id for row in rows(node))
    receiver.answer = lambda event: FAILED if event.id == poisoned else OK
    for _ in range(outbox.OVERTAKEN_AFTER):
        assert deliver() == 0
        let_pauses_pass(node)
    assert set(receiver.ids()) == {poisoned}, "the order was given up too early"
    assert deliver() == 2
    assert receiver.ids()[-3:] == [second, third, poisoned], "the others first"
    receiver.answer = lambda _: OK
    let_pauses_pass(node)
    assert deliver() == 1
    assert rows(node) == []


def test_a_receiver_that_asks_for_a_pause_is_left_alone(
    node: Node, people: People, receiver: Receiver, deliver: Callable[[], int]
) -> None:
    for person in people.strangers(2):
        node.enrol(person)
        node.enrol(people.like(person, 0.8))
    receiver.answer = lambda _: (503, {"retry-after": "7200"})
    deliver()
    with node.store.read() as session:
        soonest = node.store.now(session) + timedelta(seconds=7100)
    assert [row.next_at is not None and row.next_at > soonest for row in rows(node)] == [True, True]


def test_others_wait_for_as_long_as_was_asked_and_not_for_as_long_as_one_that_failed_often(
    node: Node, people: People, receiver: Receiver, deliver: Callable[[], int]
) -> None:
    for person in people.strangers(2):
        node.enrol(person)
        node.enrol(people.like(person, 0.8))
    poisoned, other = (row.event_id for row in rows(node))
    with node.store.write() as session:
        session.exec(update(Outbox).where(col(Outbox.event_id) == poisoned).values(attempts=11))
    receiver.answer = lambda event: (503, {"retry-after": "1"}) if event.id == poisoned else FAILED
    deliver()
    deliver()
    let_pauses_pass(node)
    deliver()
    with node.store.read() as session:
        soon = node.store.now(session) + timedelta(seconds=60)
    assert {row.event_id: row.next_at is not None and row.next_at < soon for row in rows(node)} == {poisoned: False, other: True}


def test_what_is_never_taken_is_given_up_and_can_be_tried_again(
    node: Node, pair: tuple[wire.Enrolment, wire.Enrolment], receiver: Receiver, deliver: Callable[[], int]
) -> None:
    receiver.answer = lambda _: FAILED
    with node.store.write() as session:
        session.exec(update(Outbox).values(give_up_at=node.store.now(session)))
    deliver()
    let_pauses_pass(node)
    assert (deliver(), len(receiver.events)) == (0, 1)
    assert (outbox.backlog(node.store).waiting, outbox.backlog(node.store).dropped) == (0, 1)
    receiver.answer = lambda _: OK
    assert outbox.revive(node.store, ["evt_another"]) == 0
    assert outbox.revive(node.store, receiver.ids()) == 1
    assert (deliver(), rows(node)) == (1, [])


def test_a_receiver_that_is_gone_for_good_is_not_asked_again(
    node: Node, pair: tuple[wire.Enrolment, wire.Enrolment], receiver: Receiver, deliver: Callable[[], int]
) -> None:
    receiver.answer = lambda _: (410, {})
    deliver()
    assert outbox.backlog(node.store).dropped == 1


def test_what_was_given_up_is_kept_for_a_month(node: Node, pair: tuple[wire.Enrolment, wire.Enrolment]) -> None:
    sweep = Sweep(node.store, lambda _: None, is_fit_for=lambda _: True, holder="b1.a", lease_s=20)
    for age, left in ((outbox.DROPPED_KEPT_FOR - timedelta(hours=1), 1), (outbox.DROPPED_KEPT_FOR + timedelta(hours=1), 0)):
        with node.store.write() as session:
            session.exec(update(Outbox).values(give_up_at=node.store.now(session) - age))
        sweep.run()
        let_the_lease_run_out(node, HOUSEKEEPING)
        assert len(rows(node)) == left


# --- erasure ------------------------------------------------------------------------------------------------------


def test_an_erased_person_is_in_no_event_that_waits(node: Node, people: People) -> None:
    person = people.stranger()
    first, second = node.enrol(person), node.enrol(people.like(person, 0.8))
    node.decide(second.case_id or "", Verdict.same, first.subject_id)
    node.undo(second.case_id or "")
    rejected = node.enrol(people.like(person, 0.97), on_duplicate=OnDuplicate.reject)
    assert [row.topic for row in rows(node)] == ["case.opened", "case.decided", "case.reopened", "enrolment.rejected"]
    node.subjects.erase(first.subject_id, caller=CLIENT)
    left = rows(node)
    assert [row.topic for row in left][:4] == ["case.opened", "case.decided", "case.reopened", "enrolment.rejected"]
    assert first.subject_id not in str([row.body for row in left])
    assert [(row.body or {})["data"]["subject_ids"] for row in left[:3]] == [[second.subject_id]] * 3
    assert (left[1].body or {})["data"]["survivor_id"] is None
    node.subjects.erase(rejected.subject_id, caller=CLIENT)
    assert "enrolment.rejected" not in [row.topic for row in rows(node)]


def test_a_case_that_an_erasure_ends_is_told_as_closed(
    node: Node, pair: tuple[wire.Enrolment, wire.Enrolment], receiver: Receiver, deliver: Callable[[], int]
) -> None:
    node.subjects.erase(pair[0].subject_id, caller=CLIENT)
    deliver()
    closed = receiver.events[-1]
    assert isinstance(closed, CaseClosed)
    assert (closed.data.case_id, closed.data.cause) == (pair[1].case_id, "erased")
    assert pair[0].subject_id.encode() not in b"".join(receiver.bodies)


def test_ids_are_taken_out_of_lists_with_what_is_said_of_them_and_out_of_fields() -> None:
    body = {
        "data": {"survivor_id": "a", "other": "b", "subject_ids": ["a", "b"], "of": [{"subject_id": "a", "score": 1.0}], "n": 3}
    }
    assert outbox.without(body, {"a"}) == {"data": {"survivor_id": None, "other": "b", "subject_ids": ["b"], "of": [], "n": 3}}


# --- one attempt --------------------------------------------------------------------------------------------------


def post(url: str, timeout_s: float = 5.0) -> Answer:
    with Endpoint(url, SECRET, timeout_s=timeout_s).connected() as connection:
        return connection.post(Message("evt_1", {"type": "webhook.test", "timestamp": NOW.isoformat(), "data": {}}))


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.answer = lambda _: (307, {"location": "/elsewhere"})
    assert post(receiver.url).status == 307
    assert receiver.requests == ["POST /hook"]


def test_an_attempt_ends_whatever_the_receiver_does(receiver: Receiver) -> None:
    ended = threading.Event()

    def hang(_: Event) -> tuple[int, dict[str, str]]:
        ended.wait(20)
        return OK

    receiver.answer = hang
    started = time.monotonic()
    answer = post(receiver.url, timeout_s=0.3)
    ended.set()
    assert (answer.status, answer.problem) == (None, "timeout")
    assert time.monotonic() - started < 15


def test_nobody_there_is_an_answer_too() -> None:
    assert post("http://127.0.0.1:1/").word == "ConnectError"


def test_pauses_double_up_to_an_hour_and_are_spread() -> None:
    assert [pause_s(attempts, spread=0.0) for attempts in (1, 2, 3, 10, 11, 500)] == [5.0, 10.0, 20.0, 2560.0, 3600.0, 3600.0]
    assert pause_s(3, spread=1.0) == pytest.approx(16.0)
    spreads = {spread_of("evt_1", attempts) for attempts in range(1, 50)} | {spread_of("evt_2", 1)}
    assert len(spreads) == 50
    assert all(0.0 <= spread < 1.0 for spread in spreads)
    failed = Answer(500, None, 0.1)
    assert next_try("evt_1", 1, failed, now=NOW) == NOW + timedelta(seconds=pause_s(1, spread=spread_of("evt_1", 1)))


@pytest.mark.parametrize(
    ("status", "asked", "seconds"),
    [
        (503, "120", 120.0),
        (429, "Tue, 01 Jan 2030 00:10:00 GMT", 600.0),
        (503, "Tue, 01 Jan 2030 00:10:00 -0000", 600.0),
        (503, "Tue, 01 Jan 2020 00:10:00 GMT", 0.0),
        (503, "99999999999999999999", 86_400.0),
        (503, "Wed, 21 Oct 99999999999999999999 07:28:00 GMT", 0.0),
        (503, "Wed, 21 Oct 2030 07:28:00 +99999999999999999999", 0.0),
        (503, "soon", 0.0),
        (503, "-5", 0.0),
        (500, "120", 0.0),
        (503, None, 0.0),
    ],
)
def test_a_receiver_may_ask_for_a_longer_pause(status: int, asked: str | None, seconds: float) -> None:
    answer = Answer(status, None, 0.1, asked)
    assert asked_pause_s(answer, now=NOW) == seconds
    own = pause_s(1, spread=spread_of("evt_1", 1))
    assert next_try("evt_1", 1, answer, now=NOW) == NOW + timedelta(seconds=max(own, seconds))


def test_only_2xx_is_delivered_and_the_rest_is_tried_until_its_time_is_over() -> None:
    later = NOW + timedelta(days=3)
    outcomes = {
        status: outcome_of(Answer(status, None, 0.1), next_at=NOW, give_up_at=later) for status in (200, 204, 301, 400, 410, 500)
    }
    assert [status for status, outcome in outcomes.items() if outcome is Outcome.delivered] == [200, 204]
    assert [status for status, outcome in outcomes.items() if outcome is Outcome.dropped] == [410]
    silent = Answer(None, "timeout", 10.0)
    assert outcome_of(silent, next_at=later, give_up_at=later) is Outcome.retried
    assert outcome_of(silent, next_at=later + timedelta(seconds=1), give_up_at=later) is Outcome.dropped
    assert replace(silent, status=200).ok
