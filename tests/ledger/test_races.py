"""Several replicas over one file: in threads, in processes, and with one of them killed between the two transactions."""

from __future__ import annotations

import contextvars
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import pytest
from sqlmodel import select

from backend import deadline, wire
from backend.enrolment import Idempotency, Outcome
from backend.findings import CONCLUDING_S, pending_wait_s
from backend.store.conclusion import Findings, conclude
from backend.store.tables import DuplicatePair, Subject
from backend.wire import OnDuplicate, SubjectState
from tests.ledger.enrolling_process import PEOPLE
from tests.ledger.world import CLIENT, Node, People, World, face

ROOT = Path(__file__).parents[2]


def all_pairs(node: Node) -> Counter[frozenset[str]]:
    with node.store.read() as session:
        return Counter(frozenset((pair.a_subject_id, pair.b_subject_id)) for pair in session.exec(select(DuplicatePair)))


class Started(subprocess.Popen[str]):
    def __init__(self, world: World, *arguments: object) -> None:
        where = (world.folder, world.url)
        command = [sys.executable, "-m", "tests.ledger.enrolling_process", *map(str, (*where, *arguments))]
        super().__init__(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def processes() -> Iterator[list[Started]]:
    started: list[Started] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def test_duplicates_enrolled_at_the_same_moment_through_different_replicas_make_exactly_one_pair(
    world: World, people: People
) -> None:
    nodes = world.fleet(3)
    for _ in range(4):
        person = people.stranger()
        together = threading.Barrier(3)

        def enrol(node: Node, look: object, together: threading.Barrier = together) -> wire.Enrolment:
            together.wait()
            return node.enrol(look)  # type: ignore[arg-type]

        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(enrol, nodes, [people.like(person, 0.97) for _ in nodes]))
        pairs = all_pairs(nodes[0])
        for a, b in combinations(sorted(answer.subject_id for answer in answers), 2):
            assert pairs[frozenset((a, b))] == 1
        assert {answer.case_id for answer in sorted(answers, key=lambda a: a.seq)[1:]} == {
            max(answers, key=lambda a: a.seq).case_id
        }
    assert len(nodes[0].cases()) == 4


def test_an_answer_is_given_after_the_commit(world: World, people: People) -> None:
    one, other = world.node(), world.node()
    answer = one.enrol(people.stranger())
    assert other.subjects.get(answer.subject_id).state is SubjectState.active


def test_duplicates_one_after_the_other_through_different_replicas_are_found(world: World, people: People) -> None:
    one, other = world.node(), world.node()
    other.replica.catch_up()
    person = people.stranger()
    first = one.enrol(person)
    assert [d.subject_id for d in other.enrol(people.like(person, 0.95)).duplicates] == [first.subject_id]


def test_of_two_that_race_the_earlier_does_not_look_at_the_later(world: World, people: People) -> None:
    node = world.node(wait_s=0.2)
    person = people.stranger()
    earlier = begin(node, person, policy=OnDuplicate.reject)
    later = begin(node, people.like(person, 0.95), policy=OnDuplicate.reject)
    outcome = node.enrolments._finish(earlier)
    assert (outcome.status, outcome.answer.duplicates) == (201, [])
    assert node.enrolments._finish(later).status == 409


def test_whoever_concludes_second_changes_nothing_and_gives_the_first_answer(node: Node, people: People) -> None:
    begun = begin(node, people.stranger())
    answers = []
    for _ in range(2):
        with node.store.write() as session:
            answers.append(conclude(node.store, session, begun, Findings(evidence=[], held=[])))
    assert answers[0] == answers[1]
    with node.store.read() as session:
        assert node.store.gallery(session).active_templates == 1
    assert [event.action for event in node.audit.list().items].count("subject.enrol") == 1


def test_of_certain_duplicates_that_race_to_be_rejected_exactly_one_remains(world: World, people: People) -> None:
    nodes = world.fleet(3)
    person = people.stranger()
    with ThreadPoolExecutor(6) as pool:
        looks = [people.like(person, 0.99) for _ in range(6)]
        outcomes = list(pool.map(lambda i: nodes[i % 3].outcome(looks[i], on_duplicate=OnDuplicate.reject), range(6)))
    assert Counter(outcome.answer.state for outcome in outcomes) == {SubjectState.active: 1, SubjectState.rejected: 5}
    assert nodes[0].cases() == []


def test_the_same_request_at_the_same_moment_through_different_replicas_is_done_once(world: World, people: People) -> None:
    nodes = world.fleet(3)
    look = people.stranger()
    key = Idempotency("one", "0" * 64)
    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(lambda i: nodes[i % 3].outcome(look, idempotency=key), range(6)))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert nodes[0].subjects.list().total == 1


def test_processes_over_one_database_miss_no_pair_and_put_each_in_one_case(world: World, processes: list[Started]) -> None:
    processes += [Started(world, seed, 8) for seed in range(3)]
    said = [process.communicate(timeout=120)[0].split("\n") for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    enrolled = [[line.split()[1] for line in lines if line] for lines in said]
    node = world.node()
    pairs = all_pairs(node)
    for person in range(PEOPLE):
        looks = [subject for subjects in enrolled for subject in subjects[person::PEOPLE]]
        assert len(looks) == 6
        for a, b in combinations(looks, 2):
            assert pairs[frozenset((a, b))] == 1
    assert sum(pairs.values()) == PEOPLE * 15
    assert len(node.cases()) == PEOPLE


def test_an_enrolment_whose_process_was_killed_between_its_transactions_is_finished_by_the_sweep(
    world: World, processes: list[Started]
) -> None:
    node = world.node()
    before = node.enrol(People().strangers(PEOPLE)[0])
    process = Started(world, 1, 1, "stop-before-t2")
    processes.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "t1\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert node.subjects.list().total == 1, "a subject was seen before its second transaction"
    assert node.enrolments.sweep() == 0, "the lease still runs"
    expire_leases(node)
    assert node.enrolments.sweep() == 1
    assert node.enrolments.sweep() == 0
    (case,) = node.cases()
    assert before.subject_id in case.subject_ids
    replayed = node.enrolments.replay(CLIENT, "1-0", "0" * 64)
    assert replayed is not None
    assert (replayed.status, replayed.answer.case_id) == (201, case.id)


def test_a_repeated_request_finishes_what_a_killed_process_began_without_waiting_for_the_sweep(
    world: World, processes: list[Started]
) -> None:
    process = Started(world, 1, 1, "stop-before-t2")
    processes.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "t1\n"
    process.kill()
    node = world.node()
    replayed = node.enrolments.replay(CLIENT, "1-0", "0" * 64)
    assert replayed is not None
    assert replayed.answer.state is SubjectState.active
    expire_leases(node)
    assert node.enrolments.sweep() == 0


def test_two_sweeps_at_once_finish_each_enrolment_once(world: World, people: People) -> None:
    nodes = world.fleet(2)
    ids = [begin(nodes[0], people.stranger()) for _ in range(4)]
    expire_leases(nodes[0])
    with ThreadPoolExecutor(2) as pool:
        finished = list(pool.map(lambda node: node.enrolments.sweep(), nodes))
    assert sum(finished) == len(ids)
    assert nodes[0].subjects.list().total == len(ids)


def test_a_candidate_that_is_pending_is_waited_for(world: World, people: People) -> None:
    slow, quick = world.fleet(2)
    person = people.stranger()
    first = begin(slow, person)
    with ThreadPoolExecutor(1) as pool:
        later = pool.submit(quick.outcome, people.like(person, 0.95), on_duplicate=OnDuplicate.reject)
        with pytest.raises(TimeoutError):
            later.result(timeout=1)  # of the five seconds that it may wait
        assert pending_subjects(quick) == 2
        slow.enrolments._finish(first)
        assert later.result(timeout=20).status == 409


def test_a_pending_candidate_whose_process_died_is_finished_by_whoever_waits_for_it(world: World, people: People) -> None:
    dead, alive = world.node(), world.node()
    person = people.stranger()
    begin(dead, person)
    expire_leases(dead)
    started = time.monotonic()
    assert alive.outcome(people.like(person, 0.95), on_duplicate=OnDuplicate.reject).status == 409
    assert time.monotonic() - started < 5.0, "it waited for the deadline instead"


def test_a_pending_candidate_is_waited_for_longer_than_its_lease_so_that_who_died_with_it_is_finished(
    world: World, people: People
) -> None:
    assert pending_wait_s(20.0) == 30.0
    assert pending_wait_s(1.0) == 5.0
    dead, alive = world.node(lease_s=1.0), world.node(lease_s=1.0, wait_s=None)
    person = people.stranger()
    begin(dead, person)
    assert alive.outcome(people.like(person, 0.95), on_duplicate=OnDuplicate.reject).status == 409
    assert pending_subjects(alive) == 0


def test_a_request_that_waits_for_a_pending_candidate_is_answered_in_its_own_time(world: World, people: People) -> None:
    slow, quick = world.node(), world.node(wait_s=600.0)
    person = people.stranger()
    begin(slow, person)

    def request() -> Outcome:
        deadline.begin(CONCLUDING_S + 0.3)
        return quick.outcome(people.like(person, 0.95), on_duplicate=OnDuplicate.reject)

    outcome = contextvars.copy_context().run(request)
    assert (outcome.status, outcome.answer.state) == (201, SubjectState.active)
    assert [pair.band for pair in outcome.answer.duplicates] == ["certain"], "the pair with the pending one was lost"
    assert outcome.answer.case_id is not None


def test_after_the_deadline_the_newcomer_is_flagged_and_not_rejected(world: World, people: People) -> None:
    slow, quick = world.node(), world.node(wait_s=0.1)
    person = people.stranger()
    first = begin(slow, person)
    outcome = quick.outcome(people.like(person, 0.95), on_duplicate=OnDuplicate.reject)
    assert (outcome.status, outcome.answer.state) == (201, SubjectState.active)
    assert outcome.answer.case_id is not None
    slow.enrolments._finish(first)
    assert len(quick.cases()) == 1


def test_a_pair_with_a_pending_subject_that_is_rejected_afterwards_is_closed_with_its_case(world: World, people: People) -> None:
    slow, quick = world.node(), world.node(wait_s=0.1)
    first, side = people.strangers(2)
    quick.enrol(first)
    pending = (0.95 * first + 0.3122 * side).astype("float32")
    begun = begin(slow, pending, policy=OnDuplicate.reject)
    later = quick.enrol((0.55 * first + 0.8352 * side).astype("float32"))  # 0.78 with the pending one, 0.55 with the first
    case = quick.open_case(later.case_id or "")
    assert case.state is wire.CaseState.open
    assert slow.enrolments._finish(begun).status == 409
    assert quick.open_case(case.id).state is wire.CaseState.resolved
    assert quick.cases(wire.CaseState.open) == []


def test_a_pair_that_a_later_one_gave_up_waiting_for_is_no_obstacle_to_the_rejection(world: World, people: People) -> None:
    slow, quick = world.node(), world.node(wait_s=0.1)
    person = people.stranger()
    known = quick.enrol(person)
    begun = begin(slow, people.like(person, 0.97), policy=OnDuplicate.reject)
    added = quick.enrolments.add_samples(known.subject_id, [face(people.like(person, 0.96))], caller=CLIENT).answer
    case = quick.open_case(added.case_id or "")
    outcome = slow.enrolments._finish(begun)
    assert (outcome.status, [d.subject_id for d in outcome.answer.duplicates]) == (409, [known.subject_id])
    assert quick.open_case(case.id).state is wire.CaseState.resolved
    assert all(count == 1 for count in all_pairs(quick).values())


def begin(node: Node, vector: object, policy: OnDuplicate = OnDuplicate.flag) -> str:
    """T1 alone, as a process leaves it that stops there; the enrolment's id."""
    from backend.store import admission
    from backend.store.sealing import Profile

    side = node.sides.in_force()
    samples = node.enrolments._samples([face(vector)], side)  # type: ignore[arg-type]
    with node.store.write() as session:
        terms = node.enrolments._terms(session, side, CLIENT, policy)
        return admission.admit_subject(node.store, session, Profile(None, {}), samples, terms=terms).enrolment.id


def pending_subjects(node: Node) -> int:
    with node.store.read() as session:
        return len(session.exec(select(Subject.id).where(Subject.state == SubjectState.pending)).all())


def expire_leases(node: Node) -> None:
    from sqlmodel import update

    from backend.store.tables import Enrolment

    with node.store.write() as session:
        session.exec(update(Enrolment).values(lease_until=node.store.now(session)))
