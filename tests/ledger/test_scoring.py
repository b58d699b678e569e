"""What is in force and to be expected, and what another threshold would have done to what reviewers resolved."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlmodel import update

from backend import wire
from backend.errors import InvalidThreshold, NoCalibration
from backend.faces.accuracy.intervals import clopper_pearson
from backend.faces.calibration import OFFLINE, expected_fpir
from backend.faces.engine import ModelCard
from backend.faces.target import ReviewTarget
from backend.recognition import Thresholds
from backend.review_policy import SecondReview
from backend.scoring import Scoring
from backend.store.audit import Audit
from backend.store.ids import first_id, new_id
from backend.store.tables import Enrolment
from tests.ledger.world import ANNA, BERT, CALIBRATION, CARD, CLIENT, THRESHOLDS, Node, People, World, face

SAME, DIFFERENT = wire.Verdict.same, wire.Verdict.different


def scoring(node: Node, card: ModelCard = CARD, thresholds: Thresholds = THRESHOLDS) -> Scoring:
    return Scoring(node.store, card, thresholds, review_set_by="engine")


def simulated(node: Node, threshold: float) -> wire.Simulation:
    return scoring(node).simulate(wire.SimulateRequest(threshold=threshold))


def flagged(node: Node, people: People, score: float) -> str:
    """A case of two records; its id."""
    person = people.stranger()
    node.enrol(person)
    return node.enrol(people.like(person, score)).case_id or ""


def resolve(node: Node, people: People, score: float, verdict: wire.Verdict) -> str:
    case_id = flagged(node, people, score)
    node.decide(case_id, verdict, node.open_case(case_id).subjects[0].id if verdict is SAME else None)
    return case_id


def test_what_is_in_force_is_told_with_what_to_expect_of_it(node: Node, people: People) -> None:
    for vector in people.strangers(7):
        node.enrol(vector)
    told = scoring(node).read()
    assert told.calibration is not None
    assert (told.calibration.id, told.calibration.supported_from, told.calibration.trials) == ("cal_synthetic", 0.3, None)
    assert (told.thresholds.review, told.thresholds.review_set_by, told.target) == (0.6, "engine", None)
    assert (told.gallery_size, told.searches_per_day) == (7, 1.0)
    assert told.expected.expected_fpir == pytest.approx(expected_fpir(CALIBRATION, 0.6, 7))
    assert told.expected.expected_false_flags_per_day == pytest.approx(told.expected.expected_fpir)
    assert told.expected.reason is None


def test_each_picture_counts_as_a_search_and_those_of_last_week_no_more(node: Node, people: People) -> None:
    one, two = people.strangers(2)
    old = node.enrol(one)
    with node.store.write() as session:
        before = node.store.now(session) - timedelta(days=8)
        session.exec(update(Enrolment).values(created_at=before))
    assert scoring(node).read().searches_per_day == 0
    node.enrol(two, people.like(two, 0.9))
    node.enrolments.add_samples(old.subject_id, [face(people.like(one, 0.9))], caller=CLIENT)
    assert scoring(node).read().searches_per_day == pytest.approx(3 / 7)


def test_an_id_begins_with_its_time(node: Node) -> None:
    with node.store.read() as session:
        now = node.store.now(session)
    made = new_id("enr")
    assert first_id("enr", now - timedelta(minutes=1)) < made < first_id("enr", now + timedelta(minutes=1))


def test_without_a_calibration_nothing_is_expected_and_the_reason_given(node: Node) -> None:
    bare = scoring(node, replace(CARD, calibration=None))
    told = bare.read()
    assert (told.calibration, told.expected.expected_fmr, told.expected.expected_false_flags_per_day) == (None, None, None)
    assert "No calibration" in (told.expected.reason or "")
    with pytest.raises(NoCalibration):
        bare.simulate(wire.SimulateRequest(target_fpir=0.01))


def test_a_target_in_force_is_told_with_its_support(node: Node, people: People) -> None:
    node.enrol(people.stranger())
    by_target = replace(THRESHOLDS, target=ReviewTarget(1e-9, CALIBRATION))
    told = scoring(node, thresholds=by_target).read()
    assert told.target is not None
    assert (told.target.fpir, told.target.supported, told.target.limited_by) == (1e-9, False, "calibration")
    assert told.thresholds.review == told.target.threshold == told.expected.threshold == 0.6
    assert told.expected.expected_fpir == pytest.approx(told.target.expected_fpir)


def test_resolved_pairs_tell_what_another_threshold_would_have_missed_and_spared(node: Node, people: People) -> None:
    for score, verdict in ((0.62, SAME), (0.72, SAME), (0.92, SAME), (0.63, DIFFERENT), (0.74, DIFFERENT)):
        resolve(node, people, score, verdict)
    found = simulated(node, 0.7).resolved
    assert (found.same_flagged, found.same_missed, found.different_flagged, found.different_spared) == (2, 1, 1, 1)
    assert found.missed_at_least is not None
    assert (found.missed_at_least.count, found.missed_at_least.of) == (1, 3)
    assert found.missed_at_least.low < 1 / 3 < found.missed_at_least.high
    bins = {(one.score_from, one.score_to): (one.same.count, one.same.of) for one in found.by_score}
    assert bins == {(0.6, 0.65): (1, 2), (0.7, 0.75): (1, 2), (0.9, 0.95): (1, 1)}


def test_what_was_undone_or_says_neither_or_a_person_asked_counts_for_nothing(node: Node, people: People) -> None:
    node.undo(resolve(node, people, 0.62, SAME))
    resolve(node, people, 0.64, wire.Verdict.poor_image)
    one, two = (node.enrol(vector).subject_id for vector in people.strangers(2))
    asked = node.together.ask(wire.TogetherRequest(subject_ids=[one, two]), ANNA)[0].id
    node.decide(asked, DIFFERENT)
    found = simulated(node, 0.9)
    assert found.resolved.by_score == []
    assert found.resolved.missed_at_least is None
    assert (found.waiting.cases, found.waiting.pairs) == (1, 1), "the one that was undone waits again"


def test_a_case_that_was_undone_and_decided_otherwise_counts_as_it_stands(node: Node, people: People) -> None:
    case_id = resolve(node, people, 0.62, SAME)
    node.undo(case_id)
    node.decide(case_id, DIFFERENT, caller=BERT)
    found = simulated(node, 0.7).resolved
    assert (found.same_missed, found.different_spared) == (0, 1)


def test_nothing_of_a_decision_that_is_still_hidden_is_told(world: World, people: People) -> None:
    node = world.node(second_review=SecondReview.all)
    case_id = flagged(node, people, 0.7)
    before = simulated(node, 0.8)
    node.decide(case_id, SAME, node.open_case(case_id).subjects[0].id)
    assert simulated(node, 0.8) == before


def test_a_waiting_case_goes_away_only_with_all_of_its_pairs(node: Node, people: People) -> None:
    flagged(node, people, 0.65)
    person, other = people.strangers(2)
    node.enrol(people.like(person, 0.66))
    node.enrol(people.like(other, 0.66))
    node.enrol(person)
    found = simulated(node, 0.64).waiting
    assert (found.cases_spared, found.pairs_spared) == (0, 0)
    node.enrol(people.like(person, 0.95))
    found = simulated(node, 0.7).waiting
    assert found.cases_spared < found.cases
    assert 0 < found.pairs_spared < found.pairs


def test_below_what_was_searched_for_the_answer_says_that_it_does_not_know(node: Node, people: People) -> None:
    flagged(node, people, 0.65)
    lower, higher = simulated(node, 0.5), simulated(node, 0.7)
    assert (lower.unknown_below, higher.unknown_below) == (0.6, None)
    assert (len(lower.caveats), len(higher.caveats)) == (2, 1)
    assert "unknown without a scan" in lower.caveats[1]
    assert lower.then.expected_fpir is not None
    assert lower.now.expected_fpir is not None
    assert lower.then.expected_fpir > lower.now.expected_fpir


def test_what_was_found_under_a_stricter_threshold_makes_more_unknown(world: World, people: People) -> None:
    world.thresholds = replace(THRESHOLDS, review=0.8)
    flagged(world.node(), people, 0.85)
    world.thresholds = THRESHOLDS
    assert simulated(world.node(), 0.7).unknown_below == 0.8


def test_a_target_is_simulated_at_the_present_size_and_a_nonsense_threshold_refused(node: Node, people: People) -> None:
    for vector in people.strangers(5):
        node.enrol(vector)
    found = scoring(node).simulate(wire.SimulateRequest(target_fpir=1e-3))
    assert found.target is not None
    assert found.then.threshold == found.target.threshold
    assert found.then.expected_fpir == pytest.approx(1e-3)
    for nonsense in (-1.1, 1.1):
        with pytest.raises(InvalidThreshold):
            simulated(node, nonsense)


def test_a_simulation_changes_nothing(node: Node, people: People) -> None:
    resolve(node, people, 0.7, SAME)
    before = Audit(node.store).list(limit=100).items, node.cases()
    simulated(node, 0.8)
    assert (Audit(node.store).list(limit=100).items, node.cases()) == before


def test_each_threshold_in_force_is_told_with_the_errors_counted_at_it_and_their_limits(node: Node) -> None:
    told = scoring(node, replace(CARD, calibration=OFFLINE), replace(THRESHOLDS, review=0.5)).read().rates
    assert told is not None
    assert (told.review.threshold, told.certain.threshold) == (0.5, THRESHOLDS.certain)
    missed, matched = told.review.false_non_match, told.review.false_match
    assert missed is not None
    assert (missed.least, missed.most, missed.trials) == (6, 6, 66)
    assert (missed.low, missed.high) == pytest.approx(clopper_pearson(6, 66))
    assert matched is not None
    assert (matched.least, matched.most, matched.low) == (0, 3, 0.0)
    assert matched.high == pytest.approx(clopper_pearson(3, 13_629)[1])


def test_where_no_error_was_seen_the_limit_is_three_in_as_many_trials(node: Node) -> None:
    told = scoring(node, replace(CARD, calibration=OFFLINE)).simulate(wire.SimulateRequest(threshold=0.38))
    assert told.rates_then is not None
    assert told.rates_then.false_non_match is not None
    assert (told.rates_then.false_non_match.most, told.rates_then.false_non_match.high) == (0, pytest.approx(3 / 66))


def test_rates_without_counts_have_no_limits(node: Node) -> None:
    told = scoring(node).read().rates
    assert told is not None
    assert (told.review.false_match, told.review.false_non_match) == (None, None)
    assert told.review.expected_fmr is not None
