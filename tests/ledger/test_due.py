"""Since when a case waits, when it is due, and the queue by it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlmodel import col, update

from backend import wire
from backend.errors import BadCursor
from backend.review_policy import SecondReview
from backend.store.due import DueTimes
from backend.store.stats import stats
from backend.store.tables import DuplicateCase
from backend.wire import CaseState, Verdict
from tests.ledger.test_review import end_lease, make_cases
from tests.ledger.test_scans import run
from tests.ledger.world import ANNA, BERT, Node, People, World

DUE = DueTimes(certain=timedelta(hours=2), review=timedelta(hours=10))


@pytest.fixture
def node(world: World) -> Node:
    world.due = DUE
    return world.node()


def wait(node: Node, case_id: str, hours: float) -> datetime:
    """As if it had been opened so long ago; when that was."""
    with node.store.write() as session:
        since = node.store.now(session) - timedelta(hours=hours)
        session.exec(update(DuplicateCase).where(col(DuplicateCase.id) == case_id).values(opened_at=since))
    return since


def ids(page: wire.Page[wire.CaseSummary]) -> list[str]:
    return [case.id for case in page.items]


# --- when it is due -----------------------------------------------------------------------------------------------


def test_a_case_is_due_by_the_band_of_its_best_pair(node: Node, people: People) -> None:
    certain, review = make_cases(node, people, [0.95, 0.7])
    for case_id, band, allowed in ((certain, "certain", DUE.certain), (review, "review", DUE.review)):
        case = node.open_case(case_id)
        assert (case.band, case.due_at, case.overdue) == (band, case.created_at + allowed, False)
    wait(node, review, 9.9)
    assert node.open_case(review).overdue is False
    since = wait(node, review, 10.1)
    late = node.open_case(review)
    assert (late.due_at, late.overdue) == (since + DUE.review, True)
    assert {case.id: case.overdue for case in node.cases()} == {certain: False, review: True}


def test_what_an_older_program_opened_waits_since_it_was_made(node: Node, case_id: str) -> None:
    with node.store.write() as session:
        session.exec(update(DuplicateCase).values(opened_at=None))
    case = node.open_case(case_id)
    assert case.due_at == case.created_at + DUE.review
    assert ids(node.adjudication.list(order="due")) == [case_id]


def test_a_resolved_case_is_not_due_and_one_that_is_opened_again_waits_anew(node: Node, case_id: str) -> None:
    wait(node, case_id, 20)
    done = node.decide(case_id, Verdict.different)
    assert (done.due_at, done.overdue) == (None, False)
    assert node.adjudication.list(overdue=True).items == []
    again = node.undo(case_id)
    assert again.overdue is False
    assert again.due_at is not None
    assert again.due_at > again.created_at + DUE.review


def test_what_a_scan_opens_again_waits_anew(node: Node, case_id: str) -> None:
    node.decide(case_id, Verdict.different)
    wait(node, case_id, 20)
    run(node, threshold=0.5, reopen_distinct=True)
    case = node.open_case(case_id)
    assert (case.state, case.overdue) == (CaseState.open, False)


def test_cases_that_are_joined_wait_since_the_first_of_them_was_opened(node: Node, people: People) -> None:
    a, b, c, d = people.strangers(4)
    for person, other in ((a, c), (b, d)):
        node.enrol(person)
        node.enrol((0.8 * person + 0.6 * other).astype("float32"))
    first, second = sorted(case.id for case in node.cases())
    since = wait(node, second, 7)
    joined = node.enrol(((a + b) / 2**0.5).astype("float32"))
    assert joined.case_id == first
    assert node.open_case(first).due_at == since + DUE.review


def test_what_is_cut_off_a_case_waits_as_long_as_it(node: Node, people: People) -> None:
    a, b = people.strangers(2)
    ends = [node.enrol(a), node.enrol(people.like(a, 0.8)), node.enrol(b), node.enrol(people.like(b, 0.8))]
    bridge = node.enrol(((a + b) / 2**0.5).astype("float32"))
    case_id = bridge.case_id or ""
    assert len(node.cases(CaseState.open)) == 1
    since = wait(node, case_id, 5)
    node.subjects.erase(bridge.subject_id, caller=ANNA)
    waiting = node.cases(CaseState.open)
    assert len(waiting) == 2, [one.subject_id for one in ends]
    assert {case.due_at for case in waiting} == {since + DUE.review}


# --- the queue ----------------------------------------------------------------------------------------------------


def test_the_queue_is_narrowed_by_source_band_assignee_and_what_is_overdue(node: Node, people: People) -> None:
    certain, late, claimed = make_cases(node, people, [0.95, 0.8, 0.7])
    person = people.strangers(40)[39]
    node.enrol(person)
    node.enrol(people.like(person, 0.5))
    run(node, threshold=0.45)
    (scanned,) = ids(node.adjudication.list(source="scan"))
    wait(node, late, 11)
    node.adjudication.claim(claimed, None, ANNA)

    every = node.adjudication.list
    assert ids(every(source="enrolment")) == [certain, late, claimed]
    assert ids(every(band="certain")) == [certain]
    assert ids(every(band="review")) == [late, claimed, scanned]
    assert ids(every(overdue=True)) == [late]
    assert ids(every(overdue=False)) == [certain, claimed, scanned]
    assert ids(every(assignee=ANNA.id)) == [claimed]
    assert every(assignee=BERT.id).items == []
    assert ids(every(overdue=False, band="review", source="enrolment")) == [claimed]
    assert every(overdue=True, min_score=0.9).total == 0
    assert ids(every(held=True)) == [claimed]
    assert ids(every(held=False)) == [certain, late, scanned]
    node.decide(late, Verdict.different)
    assert ids(every(held=False)) == [certain, scanned], "a resolved case waits for nobody"
    end_lease(node, claimed)
    assert ids(every(held=False)) == [certain, claimed, scanned]
    assert every(assignee=ANNA.id).items == [], "an expired claim is nobody's"


def test_the_queue_is_narrowed_by_scores_and_by_when_a_case_was_made(node: Node, people: People) -> None:
    certain, middle, low = made = make_cases(node, people, [0.95, 0.8, 0.7])
    every = node.adjudication.list
    assert ids(every(max_score=0.9)) == [middle, low]
    assert ids(every(min_score=0.75, max_score=0.9)) == [middle]
    assert ids(every(max_score=node.open_case(middle).score)) == [middle, low], "a bound is part of its range"
    times = [node.open_case(case_id).created_at for case_id in made]
    assert times[0] < times[1] < times[2]
    assert ids(every(created_from=times[1])) == [middle, low]
    assert ids(every(created_until=times[1])) == [certain]
    assert ids(every(created_from=times[1], created_until=times[2], held=False)) == [middle]


def test_the_cases_of_a_subject_are_those_of_every_record_that_was_merged_into_it(node: Node, people: People) -> None:
    (case_id, other) = make_cases(node, people, [0.9, 0.8])
    first, second = (subject.id for subject in node.open_case(case_id).subjects)
    third = node.enrol(people.stranger()).subject_id
    every = node.adjudication.list
    assert ids(every(subject_id=first)) == ids(every(subject_id=second)) == [case_id]
    assert every(subject_id=third).total == 0
    assert every(subject_id="sub_of-nobody").items == []
    node.decide(case_id, Verdict.same, first)
    assert ids(every(subject_id=first)) == ids(every(subject_id=second)) == [case_id], "resolved ones too"
    assert ids(every(subject_id=first, state=CaseState.open)) == []
    asked = node.together.ask(wire.TogetherRequest(subject_ids=[second, third]), ANNA)[0].id
    assert set(ids(every(subject_id=first))) == {case_id, asked}, "by a record that was merged into it"
    assert other not in ids(every(subject_id=first))


def test_by_due_time_pages_neither_skip_nor_repeat_across_bands(node: Node, people: People) -> None:
    made = make_cases(node, people, [0.95, 0.93, 0.8, 0.75, 0.7, 0.65])
    certain, review = made[:2], made[2:]
    since = wait(node, review[0], 9)  # due in one hour, like two of the certain band and one more
    with node.store.write() as session:
        for case_id, opened in (
            (review[1], since),
            (certain[0], since + timedelta(hours=8)),
            (certain[1], since + timedelta(hours=8)),
        ):
            session.exec(update(DuplicateCase).where(col(DuplicateCase.id) == case_id).values(opened_at=opened))
    wait(node, review[2], 30)
    resolved = review[3]
    node.decide(resolved, Verdict.different)

    expected = [review[2], *sorted([review[0], review[1], *certain])]
    for limit in (1, 2, 3, 10):
        found, cursor = [], None
        for _ in range(7):
            page = node.adjudication.list(order="due", limit=limit, cursor=cursor)
            assert page.total == 5
            found += ids(page)
            cursor = page.next
            if cursor is None:
                break
        assert (found, cursor) == (expected, None), limit
    due = [case.due_at for case in node.adjudication.list(order="due").items if case.due_at is not None]
    assert len(due) == 5
    assert due == sorted(due)
    assert ids(node.adjudication.list()) == made, "priority stays first unless it is asked otherwise"


def test_a_cursor_is_of_one_order(node: Node, people: People) -> None:
    make_cases(node, people, [0.9, 0.8])
    pressing = node.adjudication.list(limit=1).next
    due = node.adjudication.list(limit=1, order="due").next
    assert pressing is not None
    assert due is not None
    with pytest.raises(BadCursor):
        node.adjudication.list(order="due", cursor=pressing)
    with pytest.raises(BadCursor):
        node.adjudication.list(cursor=due)


# --- numbers ------------------------------------------------------------------------------------------------------


def test_the_numbers_say_what_is_overdue_and_how_fast_cases_come_and_go(node: Node, people: People) -> None:
    before = stats(node.store, DUE)
    assert (before.overdue, before.oldest_waiting_case_at, before.opened_last_hour, before.resolved_last_hour) == (0, None, 0, 0)
    certain, late, done = make_cases(node, people, [0.95, 0.8, 0.7])
    wait(node, certain, 3)
    since = wait(node, late, 11)
    node.decide(done, Verdict.different)
    now = stats(node.store, DUE)
    assert (now.overdue, now.oldest_waiting_case_at, now.opened_last_hour, now.resolved_last_hour) == (2, since, 1, 1)
    assert stats(node.store).overdue == 0, "the usual times are longer"


def test_no_number_tells_what_the_first_of_two_decided(world: World, people: People) -> None:
    world.due = DUE
    node = world.node(second_review=SecondReview.all)
    older, newer = people.strangers(2)
    survivor = node.enrol(older).subject_id
    one = node.enrol(people.like(older, 0.8)).case_id or ""
    node.enrol(newer)
    other = node.enrol(people.like(newer, 0.8)).case_id or ""
    wait(node, one, 11)
    wait(node, other, 11)
    before = stats(node.store, DUE)
    node.decide(one, Verdict.same, survivor)
    said_same = stats(node.store, DUE)
    node.undo(one)
    wait(node, one, 11)
    node.decide(other, Verdict.different)
    said_different = stats(node.store, DUE)
    numbers = {"overdue", "opened_last_hour", "resolved_last_hour"}
    assert (
        said_same.model_dump(include=numbers) == said_different.model_dump(include=numbers) == before.model_dump(include=numbers)
    )
    assert said_same.overdue == 2
    assert node.open_case(other).overdue is True, "it waits on for the second"
