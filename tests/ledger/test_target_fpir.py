"""A target FPIR: each enrolment is judged by the threshold of the gallery's size at its beginning, whoever finishes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import col, select

from backend import wire
from backend.enrolment import Newcomer
from backend.faces.calibration import expected_fpir
from backend.faces.engine import Calibration, CalibrationPoint
from backend.faces.target import ReviewTarget, threshold_for
from backend.recognition import Thresholds
from backend.scans import Scans
from backend.store.tables import DuplicatePair, Enrolment
from tests.ledger.conftest import whole
from tests.ledger.test_races import begin, expire_leases
from tests.ledger.world import ANNA, CARD, CLIENT, SUSI, Node, People, World, face

CURVE = Calibration(
    "curve", (CalibrationPoint(0.5, 1e-1), CalibrationPoint(0.7, 1e-3), CalibrationPoint(0.8, 1e-4)), 1e-4, "planted"
)
TARGET = 0.1
THRESHOLDS = Thresholds(verification=0.5, review=0.0, certain=0.9, target=ReviewTarget(TARGET, CURVE))
"""`review` is what must never be used"""
PLAIN = Thresholds(verification=0.5, review=0.95, certain=0.96)


@pytest.fixture
def world(tmp_path: Path, database_url: str | None) -> Iterator[World]:
    card = replace(CARD, calibration=CURVE)
    with whole(World(tmp_path, card=card, thresholds=THRESHOLDS, database_url=database_url).create()) as made:
        yield made


@pytest.fixture
def node(world: World) -> Node:
    return world.node()


def at(size: int) -> float:
    return threshold_for(CURVE, TARGET, size).threshold


def used(node: Node) -> list[float]:
    """By each enrolment, in order."""
    with node.store.read() as session:
        return list(session.exec(select(Enrolment.review_threshold).order_by(col(Enrolment.first_seq))))


def fill(node: Node, vectors: list[object]) -> None:
    node.enrolments.enrol_all([Newcomer([face(vector)]) for vector in vectors], caller=CLIENT)  # type: ignore[arg-type]


def test_the_threshold_rises_with_the_gallery_and_each_enrolment_keeps_its_own(node: Node, people: People) -> None:
    for vector in people.strangers(12):
        node.enrol(vector)
    assert used(node) == pytest.approx([at(size) for size in range(12)])
    assert used(node)[-1] > used(node)[0] + 0.05


def test_a_pair_is_flagged_by_the_size_at_the_later_ones_enrolment_with_what_was_in_force(node: Node, people: People) -> None:
    first, *others = people.strangers(20)
    node.enrol(first)
    between = (at(1) + at(20)) / 2
    early = node.enrol(people.like(first, between))
    fill(node, others)
    late = node.enrol(people.like(first, between))
    assert early.case_id is not None
    assert (early.review_threshold, late.review_threshold) == (pytest.approx(at(1)), pytest.approx(at(21)))
    assert [d.subject_id for d in late.duplicates] == [], "the gallery is too large for such a score"
    with node.store.read() as session:
        (pair,) = session.exec(select(DuplicatePair)).all()
    assert (pair.threshold, pair.gallery_size) == (pytest.approx(at(1)), 1)
    assert pair.expected_fpir == pytest.approx(expected_fpir(CURVE, at(1), 1))
    assert (early.expected_fpir, early.expected_fpir_reason) == (pytest.approx(TARGET), None)


def test_those_of_one_batch_share_the_threshold_of_its_beginning_and_further_samples_have_their_own(
    node: Node, people: People
) -> None:
    vectors = people.strangers(9)
    fill(node, vectors[:8])
    assert used(node) == pytest.approx([at(0)] * 8)
    subject = node.enrol(vectors[8]).subject_id
    node.enrolments.add_samples(subject, [face(people.like(vectors[8], 0.9))], caller=CLIENT)
    assert used(node)[8:] == pytest.approx([at(8), at(9)])


@pytest.mark.parametrize("finisher", [THRESHOLDS, PLAIN], ids=["the same target", "another setting"])
def test_whoever_finishes_an_enrolment_judges_by_the_threshold_that_it_was_begun_with(
    world: World, people: People, finisher: Thresholds
) -> None:
    """Its process dies after T1; the gallery grows until its threshold would be higher; another replica sweeps."""
    dying = world.node()
    first, *others = people.strangers(20)
    known = dying.enrol(first)
    score = (at(1) + at(20)) / 2
    begin(dying, people.like(first, score))
    fill(dying, list(others))
    world.thresholds = finisher
    other = world.node()
    other.replica.catch_up()
    expire_leases(other)
    assert other.enrolments.sweep() == 1
    (case,) = other.cases()
    with other.store.read() as session:
        (pair,) = session.exec(select(DuplicatePair)).all()
    assert known.subject_id in (pair.a_subject_id, pair.b_subject_id)
    assert (pair.case_id, pair.threshold) == (case.id, pytest.approx(at(1)))


def test_replicas_whose_settings_differ_during_a_roll_each_judge_what_they_begin(world: World, people: People) -> None:
    old = world.node()
    world.thresholds = PLAIN
    new = world.node()
    person = people.stranger()
    old.enrol(person)
    assert new.enrol(people.like(person, 0.93)).case_id is None
    assert old.enrol(people.like(person, 0.93)).case_id is not None
    assert used(old) == pytest.approx([at(0), 0.95, at(2)])


def test_an_accepted_sample_is_judged_by_the_threshold_that_it_came_with(node: Node, people: People) -> None:
    person, *others = people.strangers(12)
    subject = node.enrol(person).subject_id
    held = node.enrolments.add_samples(subject, [face(people.stranger())], caller=CLIENT).answer
    assert held.case_id is not None
    fill(node, list(others))
    node.decide(held.case_id, wire.Verdict.same)
    assert node.enrolments.sweep() == 1
    assert used(node)[-1] == pytest.approx(at(1))


def test_a_scan_without_a_threshold_of_its_own_uses_the_one_in_force_at_its_start_and_keeps_it(
    node: Node, people: People
) -> None:
    vectors = people.strangers(14)
    fill(node, list(vectors[:12]))
    scans = Scans(node.store, replace(CARD, calibration=CURVE), THRESHOLDS)
    started = scans.start(wire.ScanRequest(), SUSI)
    assert started.threshold == pytest.approx(at(12))
    fill(node, list(vectors[12:]))
    assert scans.read(started.id).threshold == started.threshold


def test_a_case_says_what_is_in_force_today(node: Node, people: People) -> None:
    first, *others = people.strangers(20)
    node.enrol(first)
    case_id = node.enrol(people.like(first, (at(1) + at(20)) / 2)).case_id
    assert case_id is not None
    (pair,) = node.open_case(case_id).pairs
    assert pair.still_flagged
    assert pair.threshold_now == pytest.approx(at(2))
    fill(node, others)
    (pair,) = node.open_case(case_id).pairs
    assert not pair.still_flagged
    assert pair.threshold_now == pytest.approx(at(21))


def test_records_that_a_person_puts_together_stand_under_the_threshold_in_force(node: Node, people: People) -> None:
    one, other, *others = (node.enrol(vector) for vector in people.strangers(9))
    assert others
    node.together.ask(wire.TogetherRequest(subject_ids=[one.subject_id, other.subject_id]), ANNA)
    with node.store.read() as session:
        (pair,) = session.exec(select(DuplicatePair)).all()
    assert pair.threshold == pytest.approx(at(9))


def test_what_certainly_is_a_duplicate_is_flagged_in_a_gallery_of_any_size(world: World, people: People) -> None:
    world.thresholds = replace(THRESHOLDS, certain=0.6)
    node = world.node()
    person, *others = people.strangers(30)
    node.enrol(person)
    fill(node, list(others))
    assert at(30) > 0.6
    found = node.enrol(people.like(person, 0.61))
    assert (found.review_threshold, [d.band for d in found.duplicates]) == (0.6, ["certain"])
