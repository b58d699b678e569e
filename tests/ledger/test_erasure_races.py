"""Erasing somebody in the midst of things: nothing of the person survives, nothing else suffers."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlmodel import select

from backend import wire
from backend.enrolment import Outcome
from backend.errors import FaceAuthError, LeaseLost, SubjectNotFound, VersionConflict
from backend.faces.engine import Vector
from backend.scan_job import ScanJob
from backend.scans import Scans
from backend.store import admission, forest, tables
from backend.store.conclusion import Findings, conclude
from backend.store.sealing import Profile
from backend.store.tables.base import Table
from backend.wire import OnDuplicate, SubjectState, Verdict
from tests.ledger.world import ANNA, CARD, CLIENT, SUSI, THRESHOLDS, Node, People, World, face, unit

WHERE_IDS_MAY_STAY = {"audit_event", "gallery_change", "decision"}


def begun(node: Node, vector: Vector, *, policy: OnDuplicate = OnDuplicate.flag, subject_id: str | None = None) -> str:
    """T1 alone: the enrolment's id."""
    side = node.sides.in_force()
    samples = node.enrolments._samples([face(vector)], side)
    with node.store.write() as session:
        terms = node.enrolments._terms(session, side, CLIENT, policy)
        if subject_id is None:
            return admission.admit_subject(node.store, session, Profile(None, {}), samples, terms=terms).enrolment.id
        return admission.admit_samples(node.store, session, subject_id, samples, terms=terms).enrolment.id


def searched(node: Node, enrolment_id: str) -> Findings:
    """What the search between the two transactions finds."""
    with node.store.read() as session:
        work = node.enrolments.search.load(session, enrolment_id)
    assert not isinstance(work, Outcome)
    (findings,) = node.enrolments.search.findings([work])
    return findings


def concluded(node: Node, enrolment_id: str, findings: Findings) -> tuple[int, wire.Enrolment]:
    with node.store.write() as session:
        return conclude(node.store, session, enrolment_id, findings)


def assert_nothing_of(node: Node, subject_ids: Iterable[str]) -> None:
    """In no row of any table, but as an opaque id where history is kept."""
    with node.store.read() as session:
        for name, table in Table.metadata.tables.items():
            if name not in WHERE_IDS_MAY_STAY:
                rows = str(session.execute(select(table)).all())
                assert [one for one in subject_ids if one in rows] == [], f"in {name}"
        decisions = session.exec(select(tables.Decision)).all()
    assert all(row.sealed_note is None for row in decisions if row.note_subject_id is None)


@pytest.mark.parametrize("when", ["before the search", "after the search"])
def test_a_further_sample_between_its_two_transactions_goes_with_its_person(world: World, people: People, when: str) -> None:
    enrolling, erasing = world.node(lease_s=0.01), world.node()
    person = people.stranger()
    a = enrolling.enrol(person)
    enrolment = begun(enrolling, people.like(person, 0.9), subject_id=a.subject_id)
    findings = searched(enrolling, enrolment) if when == "after the search" else None
    erasing.subjects.erase(a.subject_id, caller=CLIENT)
    with pytest.raises(SubjectNotFound):
        concluded(enrolling, enrolment, findings) if findings else enrolling.enrolments._finish(enrolment)
    assert erasing.enrolments.sweep() == 0
    assert_nothing_of(erasing, [a.subject_id, enrolment])
    for node in (enrolling, erasing):
        node.replica.catch_up()
        assert (node.replica.size, node.replica.status().problem) == (0, None)


@pytest.mark.parametrize("policy", OnDuplicate)
def test_a_candidate_that_is_erased_before_the_second_transaction_is_no_duplicate(
    world: World, people: People, policy: OnDuplicate
) -> None:
    enrolling, erasing = world.node(), world.node()
    person = people.stranger()
    old = enrolling.enrol(person)
    enrolment = begun(enrolling, people.like(person, 0.97), policy=policy)
    findings = searched(enrolling, enrolment)
    assert len(findings.evidence) == 1
    erasing.subjects.erase(old.subject_id, caller=CLIENT)
    status, answer = concluded(enrolling, enrolment, findings)
    assert (status, answer.state, answer.duplicates, answer.case_id) == (201, SubjectState.active, [], None)
    assert_nothing_of(erasing, [old.subject_id])


def test_a_sample_that_is_erased_before_the_second_transaction_is_no_evidence_and_another_of_the_person_is(
    world: World, people: People
) -> None:
    enrolling, erasing = world.node(), world.node()
    person = people.stranger()
    old = enrolling.enrol(people.like(person, 0.95), people.like(person, 0.8))
    enrolment = begun(enrolling, person)
    findings = searched(enrolling, enrolment)
    assert {evidence.old_sample_id for evidence in findings.evidence} == set(old.sample_ids)
    erasing.subjects.erase_sample(old.subject_id, old.sample_ids[0], caller=CLIENT)
    _, answer = concluded(enrolling, enrolment, findings)
    assert [(one.sample_id, round(one.score, 3)) for one in answer.duplicates] == [(old.sample_ids[1], 0.8)]


def test_a_newcomer_is_nobody_to_be_erased_until_it_is_enrolled(world: World, people: People) -> None:
    enrolling, erasing = world.node(), world.node()
    enrolment = begun(enrolling, people.stranger())
    with erasing.store.read() as session:
        subject_id = session.get_one(tables.Enrolment, enrolment).subject_id
    with pytest.raises(SubjectNotFound):
        erasing.subjects.erase(subject_id, caller=CLIENT)
    enrolling.enrolments._finish(enrolment)
    erasing.subjects.erase(subject_id, caller=CLIENT)
    assert_nothing_of(erasing, [subject_id, enrolment])


def test_whoever_holds_the_case_of_somebody_erased_is_told_and_keeps_nothing(world: World, people: People) -> None:
    reviewing, erasing = world.node(), world.node()
    person = people.stranger()
    a, b = reviewing.enrol(person), reviewing.enrol(people.like(person, 0.8))
    claimed = reviewing.adjudication.claim(b.case_id or "", None, ANNA)
    erasing.subjects.erase(b.subject_id, caller=CLIENT)
    with pytest.raises(LeaseLost):
        reviewing.adjudication.heartbeat(claimed.id, ANNA)
    request = wire.DecideRequest(verdict=Verdict.same, version=claimed.version, survivor_id=b.subject_id, note="the same scar")
    with pytest.raises(VersionConflict):
        reviewing.adjudication.decide(claimed.id, request, ANNA)
    case = reviewing.open_case(claimed.id)
    assert (case.state, case.lease, case.subjects) == (wire.CaseState.resolved, None, [])
    assert reviewing.subjects.get(a.subject_id).state is SubjectState.active
    assert_nothing_of(erasing, [b.subject_id])


def test_a_tree_of_merges_goes_whole_however_many_chunks_it_takes(
    node: Node, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two merged pairs, merged, and one more: three levels."""
    monkeypatch.setattr(forest, "CHUNK", 2)
    person = people.stranger()
    merged = []
    for _ in range(5):
        merged.append(node.enrol(people.like(person, 0.97)))
        if case_id := merged[-1].case_id:
            survivor = merged[-1].subject_id  # the latest: the older ones hang below one another
            node.decide(case_id, Verdict.same, survivor)
    top = merged[-1].subject_id
    assert len(node.subjects.get(top).merged) == 4
    bystander = node.enrol(people.like(person, 0.75))
    node.subjects.erase(top, caller=CLIENT)
    assert_nothing_of(node, [one.subject_id for one in merged])
    assert node.open_case(bystander.case_id or "").state is wire.CaseState.resolved
    assert node.enrol(person).duplicates[0].subject_id == bystander.subject_id


def test_erasing_in_the_midst_of_a_tree_takes_what_is_below_and_leaves_what_is_above(node: Node, people: People) -> None:
    person = people.stranger()
    a = node.enrol(person)
    b = node.enrol(people.like(person, 0.97))
    node.decide(b.case_id or "", Verdict.same, b.subject_id)
    c = node.enrol(people.like(person, 0.97))
    node.decide(c.case_id or "", Verdict.same, c.subject_id)
    node.subjects.erase(b.subject_id, caller=CLIENT)
    assert_nothing_of(node, [a.subject_id, b.subject_id])
    assert node.subjects.get(c.subject_id).merged == []
    assert node.undo(c.case_id or "").subjects == []


def test_people_who_are_erased_while_lookalikes_are_enrolled_elsewhere_leave_nothing(world: World, people: People) -> None:
    enrolling, erasing = world.node(), world.node()
    person = people.stranger()
    done, erased, wrong = threading.Event(), list[str](), list[BaseException]()
    looks = [people.like(person, 0.95) for _ in range(24)]

    def enrol() -> None:
        try:
            for look in looks:
                enrolling.enrol(look)
        finally:
            done.set()

    def erase() -> None:
        while not done.is_set():
            for subject in erasing.subjects.list(limit=3).items:
                try:
                    erasing.subjects.erase(subject.id, caller=CLIENT)
                    erased.append(subject.id)
                except FaceAuthError as error:
                    wrong.append(error)

    with ThreadPoolExecutor(2) as pool:
        for part in [pool.submit(enrol), pool.submit(erase)]:
            part.result(60)
    assert wrong == []
    assert erased, "nobody was erased"
    assert_nothing_of(erasing, erased)
    left = {subject.id for subject in erasing.subjects.list(limit=100).items}
    assert len(left) == len(looks) - len(erased)
    erasing.replica.catch_up()
    assert erasing.replica.size == len(left)


def test_who_is_erased_between_a_scans_look_and_its_writing_is_in_no_pair(world: World, people: People) -> None:
    scanning, erasing = world.node(), world.node()
    one, two, three, apart, side = people.strangers(5)
    a, b = scanning.enrol(one), scanning.enrol(people.like(one, 0.5))
    c, d = scanning.enrol(unit(0.6 * two + 0.8 * apart), two), scanning.enrol(unit(0.5 * two + 0.866 * side))
    e, f = scanning.enrol(three), scanning.enrol(people.like(three, 0.5))
    Scans(scanning.store, CARD, THRESHOLDS).start(wire.ScanRequest(threshold=0.45), SUSI)
    job = ScanJob(scanning.store, scanning.replica, CARD, THRESHOLDS, holder="b1")
    scanning.replica.catch_up()
    scan, turn = job._under_way(), job._turn()
    assert scan is not None
    assert turn is not None
    block = job._compared(scan, turn)
    assert block is not None
    assert {frozenset(found.subject_ids) for found in block.found} == {
        frozenset((one.subject_id, other.subject_id)) for one, other in ((a, b), (c, d), (e, f))
    }
    erasing.subjects.erase(a.subject_id, caller=CLIENT)
    erasing.subjects.erase_sample(c.subject_id, c.sample_ids[1], caller=CLIENT)
    assert job._write(scan, turn, block)
    with erasing.store.read() as session:
        (pair,) = session.exec(select(tables.DuplicatePair)).all()
    assert {pair.a_subject_id, pair.b_subject_id} == {e.subject_id, f.subject_id}
    assert job.work() == 0
    assert_nothing_of(erasing, [a.subject_id])
