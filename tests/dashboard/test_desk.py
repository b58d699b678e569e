"""The reviewer's desk and the bulk, before a small server that behaves like the queue."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from backend import wire
from backend.client import BackendClient
from dashboard.bulk_desk import BulkDesk, left_out
from dashboard.desk import Desk
from tests.dashboard import samples_review as sr
from tests.dashboard.queue import ReviewQueue
from tests.dashboard.samples import case
from tests.dashboard.stand_in import Asked, Reply, StandIn, problem, serving


def one_by_one(calls: Sequence[Callable[[], object]]) -> None:
    for call in calls:
        call()


@pytest.fixture
def queue() -> ReviewQueue:
    return ReviewQueue(case(1), case(2))


@pytest.fixture
def server(queue: ReviewQueue) -> Iterator[StandIn]:
    with serving(queue.routes()) as server:
        yield server


@pytest.fixture
def backend(server: StandIn) -> Iterator[BackendClient]:
    import jwt

    with BackendClient(
        [server.url], token=jwt.encode({"name": "ada"}, "of no account to the stand-in, which reads the name")
    ) as it:
        yield it


# --- the next case ----------------------------------------------------------------------------------------------------


def test_no_case_is_claimed_before_the_decision_on_this_one_was_accepted(
    queue: ReviewQueue, server: StandIn, backend: BackendClient
) -> None:
    desk = Desk()
    desk.next(backend)
    before = server.count("POST", "/v1/duplicates/next")
    queue.change("case_00000001", version=9)
    desk.decide(backend, wire.Verdict.different, None)
    assert server.count("POST", "/v1/duplicates/next") == before, "the decision was refused: the colleagues' queue is untouched"
    desk.decide(backend, wire.Verdict.different, None)
    assert queue.decided
    assert desk.case is not None
    assert desk.case.id == "case_00000002"


def test_the_faces_of_a_case_are_fetched_at_the_same_time(server: StandIn, backend: BackendClient) -> None:
    together = threading.Barrier(2, timeout=10)

    def image(asked: Asked) -> Reply:
        together.wait()  # answers nobody before both have asked
        return Reply(200, sr.face(), "image/jpeg")

    server.routes[("GET", "/v1/subjects/{}/samples/{}/image")] = image

    def at_once(calls: Sequence[Callable[[], object]]) -> None:
        threads = [threading.Thread(target=call) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    desk = Desk()
    desk.next(backend)
    desk.look(backend, at_once)
    assert [type(crop) for crop in desk.crops.values()] == [bytes, bytes]


def test_a_cluster_is_looked_at_whole_and_compared_once(queue: ReviewQueue, server: StandIn, backend: BackendClient) -> None:
    queue.cases = {"case_00000001": sr.cluster().model_copy(update={"matrix": sr.matrix()})}
    desk = Desk()
    desk.next(backend)
    desk.look(backend, one_by_one)
    desk.turn(1)
    desk.look(backend, one_by_one)
    assert set(desk.crops) == {"smp_00000001", "smp_00000002", "smp_00000003"}
    assert len(desk.matrix) == 3
    assert server.count("GET", "/v1/subjects/{}/samples/{}/image") == 3
    assert server.count("GET", "/v1/duplicates/{}") == 1


# --- reasons ----------------------------------------------------------------------------------------------------------


def test_a_reason_is_sent_with_its_decision_and_not_with_the_next(
    queue: ReviewQueue, server: StandIn, backend: BackendClient
) -> None:
    desk = Desk()
    desk.next(backend)
    desk.because("age")
    desk.because("different_ears")
    desk.decide(backend, wire.Verdict.different, None)
    desk.decide(backend, wire.Verdict.different, None)
    sent = [asked.body for asked in server.asked if asked.path.endswith("/decide")]
    assert b'"reason":"different_ears"' in sent[0]
    assert b"reason" not in sent[1]


def test_a_refused_decision_keeps_its_reason_and_says_what_is_missing(server: StandIn, backend: BackendClient) -> None:
    desk = Desk()
    desk.next(backend)
    desk.because("age")
    server.routes[("POST", "/v1/duplicates/{}/decide")] = lambda _: problem(422, "unknown_reason", "reason must be one of `x`")
    desk.decide(backend, wire.Verdict.same, None)
    assert desk.said is not None
    assert desk.said.text == "reason must be one of `x`."
    assert desk.reason == "age"
    desk.because("age")
    assert desk.reason is None, "the same key takes it back"


# --- identical pictures -----------------------------------------------------------------------------------------------


@pytest.fixture
def bulk(server: StandIn) -> list[Asked]:
    """What was asked to be decided."""
    asked_for: list[Asked] = []
    held = wire.LeftOut(case_id="case_9", reason=wire.LeftOutReason.held)

    def decide(asked: Asked) -> wire.Bulk:
        asked_for.append(asked)
        items = sr.preview(3).items
        outcomes = [wire.BulkOutcome.decided, wire.BulkOutcome.decided, wire.BulkOutcome.changed]
        results = [wire.BulkResult(case_id=item.case_id, outcome=out) for item, out in zip(items, outcomes, strict=True)]
        return wire.Bulk(bulk_id=sr.preview(3).bulk_id, results=results)

    server.routes[("POST", "/v1/duplicates/bulk/preview")] = lambda _: sr.preview(3, held, held)
    server.routes[("POST", "/v1/duplicates/bulk")] = decide
    undone = [wire.UndoneResult(case_id="case_1", outcome=wire.UndoneOutcome.undone)]
    server.routes[("POST", "/v1/duplicates/bulk/{}/undo")] = lambda _: wire.BulkUndone(
        bulk_id=sr.preview(3).bulk_id, results=undone
    )
    return asked_for


@pytest.mark.parametrize("typed", ["", "2", "33", "three", "-3"])
def test_a_bulk_is_not_decided_by_another_number(backend: BackendClient, bulk: list[Asked], typed: str) -> None:
    desk = BulkDesk()
    desk.open(backend)
    desk.decide(backend, typed, None)
    assert not bulk
    assert desk.said is not None
    assert "Nothing was decided" in desk.said.text


def test_a_bulk_is_decided_once_its_number_is_typed_says_each_outcome_and_is_undone(
    backend: BackendClient, bulk: list[Asked]
) -> None:
    desk = BulkDesk()
    desk.open(backend)
    assert desk.preview is not None
    assert left_out(desk.preview) == [("held by somebody", 2)]
    desk.decide(backend, " 3 ", "one file, sent twice")
    assert len(bulk) == 1
    assert b"one file, sent twice" in bulk[0].body
    assert desk.said is not None
    assert desk.said.text == "3 cases: 2 decided, 1 changed meanwhile, left alone."
    assert desk.said.tone == "warn"
    desk.undo(backend)
    assert desk.said.text == "1 case: 1 undone."
    assert desk.decided_id is None
