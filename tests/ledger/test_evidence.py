"""What a case says of its pairs: the margin to the next candidate, what holds today, and how alike every two members are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from backend import wire
from backend.adjudication import Adjudication
from backend.evidence import MOST_MEMBERS, Evidence
from backend.faces.calibration import counted, counted_genuine, expected_fpir
from backend.faces.engine import ModelCard, Vector
from backend.recognition import Thresholds
from backend.wire import Verdict
from tests.ledger.test_scans import run
from tests.ledger.world import ANNA, CALIBRATION, CARD, CLIENT, GOOD, THRESHOLDS, Node, People, World, face, unit

Margin = tuple[float | None, bool | None]


def the_case(node: Node) -> wire.Case:
    (only,) = node.cases()
    return node.open_case(only.id)


def margins(case: wire.Case) -> dict[frozenset[str], Margin]:
    """By the two records, rounded: scores are of float32."""
    return {
        frozenset((pair.a.subject_id, pair.b.subject_id)): (
            None if pair.margin is None else round(pair.margin, 4),
            pair.margin_at_least,
        )
        for pair in case.pairs
    }


def by_pair(case: wire.Case) -> Mapping[frozenset[str], wire.MatrixEntry]:
    assert case.matrix is not None
    return {frozenset((entry.a, entry.b)): entry for entry in case.matrix}


def seen_with(node: Node, case_id: str, card: ModelCard, thresholds: Thresholds = THRESHOLDS) -> wire.Case:
    """As a replica with that engine and those thresholds shows it."""
    return Adjudication(node.store, Evidence(node.store, card, thresholds)).read(case_id, ANNA)


def mixed(*parts: tuple[float, Vector], rest: Vector) -> Vector:
    """A unit vector with the given scores (of vectors at right angles); what is missing comes from `rest`."""
    missing = 1 - sum(share**2 for share, _ in parts)
    return unit(sum((share * vector for share, vector in parts), np.sqrt(missing) * rest))


# --- margins ------------------------------------------------------------------------------------------------------


def test_where_nobody_else_reached_the_threshold_the_margin_is_at_least_the_distance_to_it(node: Node, people: People) -> None:
    a, other, rest = people.strangers(3)
    one = node.enrol(a).subject_id
    node.enrol(other)
    two = node.enrol(mixed((0.8, a), (0.59, other), rest=rest)).subject_id
    assert margins(the_case(node)) == {frozenset((one, two)): (0.2, True)}


def test_the_margin_is_the_distance_to_the_next_person_and_negative_for_the_second_best(node: Node, people: People) -> None:
    a, c, rest = people.strangers(3)
    one, three = node.enrol(a).subject_id, node.enrol(c).subject_id
    two = node.enrol(mixed((0.75, a), (0.65, c), rest=rest)).subject_id
    assert margins(the_case(node)) == {frozenset((one, two)): (0.1, False), frozenset((three, two)): (-0.1, False)}


def test_two_records_of_one_person_are_not_each_others_next_candidate(node: Node, people: People) -> None:
    a, b, rest = people.strangers(3)
    older = node.enrol(a).subject_id
    merged = node.enrol(mixed((0.8, a), rest=b)).subject_id
    node.decide(the_case(node).id, Verdict.same, older)
    newcomer = node.enrol(mixed((0.7, a), (0.3, b), rest=rest))
    found = margins(node.open_case(newcomer.case_id or ""))
    assert found[frozenset((older, newcomer.subject_id))] == (0.1, True)
    assert found[frozenset((merged, newcomer.subject_id))] == (0.14, True)


def test_who_was_decided_to_be_somebody_else_was_in_reach_all_the_same(node: Node, people: People) -> None:
    a, b, c, rest = people.strangers(4)
    second = node.enrol(b).subject_id
    node.enrol(mixed((0.65, b), rest=a))
    node.decide(the_case(node).id, Verdict.different)
    third = node.enrol(c).subject_id
    shot = mixed((0.55, b), (0.45, a), (0.66, c), rest=rest)  # 0.65·0.55 + 0.76·0.45 = 0.6995 with the other
    added = node.enrolments.add_samples(second, [face(shot)], caller=CLIENT).answer
    (found,) = margins(node.open_case(added.case_id or "")).items()
    assert found[0] == frozenset((second, third))
    assert found[1] == (pytest.approx(0.66 - 0.6995, abs=0.002), False)


def test_a_scan_writes_margins_down_to_its_own_threshold(node: Node, people: People) -> None:
    a, c, d, rest, other = people.strangers(5)
    one, three, four = (node.enrol(vector).subject_id for vector in (a, c, d))
    two = node.enrol(mixed((0.55, a), (0.45, c), rest=rest)).subject_id
    five = node.enrol(mixed((0.5, d), rest=other)).subject_id
    assert node.cases() == [], "enrolment asked from 0.6 on"
    run(node, threshold=0.4)
    found: dict[frozenset[str], Margin] = {}
    for case in node.cases():
        found |= margins(node.open_case(case.id))
    assert found[frozenset((one, two))] == (0.1, False)
    assert found[frozenset((three, two))] == (-0.1, False)
    assert found[frozenset((four, five))] == (0.1, True)


def test_a_scan_too_takes_the_records_of_one_person_together(node: Node, people: People) -> None:
    a, b, rest = people.strangers(3)
    older = node.enrol(a).subject_id
    merged = node.enrol(mixed((0.8, a), rest=b)).subject_id
    node.decide(the_case(node).id, Verdict.same, older)
    newcomer = node.enrol(mixed((0.55, a), (0.1, b), rest=rest)).subject_id  # 0.8·0.55 + 0.6·0.1 = 0.5 with the other record
    run(node, threshold=0.4)
    (waiting,) = node.cases(wire.CaseState.open)
    found = margins(node.open_case(waiting.id))
    assert found == {frozenset((older, newcomer)): (0.15, True), frozenset((merged, newcomer)): (0.1, True)}


def test_a_pair_that_lost_its_best_picture_has_no_margin_and_no_quality_of_it(node: Node, people: People) -> None:
    a, b, rest = people.strangers(3)
    older = node.enrol(a, mixed((0.9, a), rest=b))
    node.enrol(mixed((0.8, a), rest=rest))
    (pair,) = the_case(node).pairs
    assert pair.margin is not None
    best = pair.a.sample_id if pair.a.subject_id == older.subject_id else pair.b.sample_id
    node.subjects.erase_sample(older.subject_id, best, caller=CLIENT)
    (left,) = the_case(node).pairs
    assert left.score == pytest.approx(0.72, abs=0.001)
    assert (left.margin, left.margin_at_least) == (None, None)


# --- what holds today ---------------------------------------------------------------------------------------------


def test_a_pair_carries_the_quality_of_both_pictures(node: Node, case_id: str) -> None:
    (pair,) = node.open_case(case_id).pairs
    for quality in (pair.quality_a, pair.quality_b):
        assert quality is not None
        assert (quality.overall, quality.components) == (GOOD.overall, GOOD.components)


def test_a_case_tells_where_the_eyes_are_and_a_list_of_subjects_does_not(node: Node, case_id: str) -> None:
    case = node.open_case(case_id)
    for subject in case.subjects:
        for sample in subject.samples:
            assert sample.landmarks is not None
            assert len(sample.landmarks) == 5
        assert all(sample.landmarks is None for sample in node.subjects.get(subject.id).samples)


def test_what_was_in_force_stays_and_what_is_in_force_is_said_beside_it(node: Node, people: People, case_id: str) -> None:
    for vector in people.strangers(5):
        node.enrol(vector)
    (pair,) = node.open_case(case_id).pairs
    assert (pair.gallery_size, pair.gallery_size_now) == (1, 7), "the newcomer is not among those it was compared with"
    assert pair.calibration_id == CALIBRATION.id
    assert pair.expected_fpir == expected_fpir(CALIBRATION, 0.6, 1)
    assert pair.expected_fpir_now == expected_fpir(CALIBRATION, 0.6, 7)
    assert pair.expected_fpir_at_score == expected_fpir(CALIBRATION, pair.score, 7)
    assert (pair.threshold_now, pair.still_flagged) == (0.6, True)
    (stricter,) = seen_with(node, case_id, CARD, Thresholds(verification=0.5, review=0.85, certain=0.9)).pairs
    assert (stricter.threshold, stricter.threshold_now, stricter.still_flagged) == (0.6, 0.85, False)


def test_a_pair_has_its_place_among_different_and_among_the_same_people(node: Node, case_id: str) -> None:
    genuine = counted_genuine({0.4: 0, 0.7: 10, 0.9: 50}, trials=100, source="planted pairs")
    calibration = counted("made", {0.5: 500, 0.9: 5}, trials=10_000, source="planted strangers", genuine=genuine)
    (pair,) = seen_with(node, case_id, replace(CARD, calibration=calibration)).pairs
    assert pair.impostor_above is not None
    assert pair.genuine_below is not None
    assert pair.impostor_above.share == pair.expected_fmr == pytest.approx(0.05 * 0.01**0.75, rel=0.01)
    assert (pair.impostor_above.bound, pair.impostor_above.trials) == ("measured", 10_000)
    assert pair.genuine_below.share == pytest.approx(0.30, abs=0.001)
    assert (pair.genuine_below.bound, pair.genuine_below.source) == ("measured", "planted pairs")
    (shipped,) = node.open_case(case_id).pairs
    assert shipped.impostor_above is not None
    assert (shipped.impostor_above.share, shipped.impostor_above.bound) == (1e-5, "at_most")
    assert shipped.genuine_below is None, "no pairs of one person were counted for this model"


def test_of_another_models_pair_nothing_is_said_of_today(node: Node, case_id: str) -> None:
    (pair,) = seen_with(node, case_id, replace(CARD, model_id="another")).pairs
    today = (pair.threshold_now, pair.still_flagged, pair.expected_fmr, pair.expected_fpir_now, pair.impostor_above)
    assert today == (None,) * 5
    assert pair.expected_fpir is not None


def test_a_picture_that_does_not_match_its_person_is_held_against_the_verification_threshold(node: Node, people: People) -> None:
    a, b = people.strangers(2)
    known = node.enrol(a).subject_id
    added = node.enrolments.add_samples(known, [face(mixed((0.3, a), rest=b))], caller=CLIENT).answer
    case = node.open_case(added.case_id or "")
    (pair,) = case.pairs
    assert (pair.threshold_now, pair.still_flagged) == (THRESHOLDS.verification, True)
    assert (pair.margin, pair.expected_fpir_now, pair.expected_fpir_at_score) == (None, None, None)
    assert pair.expected_fmr is not None
    assert case.matrix == []


# --- every two members --------------------------------------------------------------------------------------------


def test_two_members_that_were_never_paired_have_their_score_in_the_matrix(node: Node, people: People) -> None:
    a, b, rest = people.strangers(3)
    one, three = node.enrol(a).subject_id, node.enrol(mixed((0.21, a), rest=b)).subject_id
    two = node.enrol(mixed((0.75, a), (0.5, b), rest=rest)).subject_id
    case = the_case(node)
    found = by_pair(case)
    assert len(found) == 3
    apart = found[frozenset((one, three))]
    assert (apart.score, apart.flagged, apart.relation) == (pytest.approx(0.21, abs=1e-4), False, "below")
    for other in (one, three):
        entry = found[frozenset((other, two))]
        assert (entry.flagged, entry.relation) == (True, "pair")
        assert entry.score in {pair.score for pair in case.pairs}
    assert case.matrix_left_out == 0
    lower = by_pair(seen_with(node, case.id, CARD, Thresholds(verification=0.5, review=0.2, certain=0.9)))
    assert lower[frozenset((one, three))].relation == "above"


def test_a_picture_that_is_held_counts_in_no_matrix(node: Node, people: People) -> None:
    a, b, c, rest = people.strangers(4)
    one, three = node.enrol(a).subject_id, node.enrol(b).subject_id
    case_id = node.enrol(mixed((0.7, a), (0.7, b), rest=rest)).case_id or ""
    node.enrolments.add_samples(one, [face(mixed((0.5, b), rest=c))], caller=CLIENT)
    assert by_pair(node.open_case(case_id))[frozenset((one, three))].score == pytest.approx(0, abs=1e-4)


def test_only_the_reading_of_a_case_computes_its_matrix(node: Node, case_id: str) -> None:
    assert node.adjudication.claim(case_id, None, ANNA).matrix is None
    assert node.adjudication.heartbeat(case_id, ANNA).matrix is None
    assert node.open_case(case_id).matrix is not None


def test_members_that_were_decided_to_differ_or_are_one_by_now_are_named_so(node: Node, people: People) -> None:
    a, b, rest = people.strangers(3)
    one, two = node.enrol(a).subject_id, node.enrol(mixed((0.65, a), rest=b)).subject_id
    node.decide(the_case(node).id, Verdict.different)
    third = node.enrol(mixed((0.75, a), (0.4, b), rest=rest))
    case_id = third.case_id or ""
    entry = by_pair(node.open_case(case_id))[frozenset((one, two))]
    assert (entry.score, entry.flagged, entry.relation) == (pytest.approx(0.65, abs=1e-4), False, "distinct")
    node.decide(case_id, Verdict.poor_image)
    fourth = node.enrol(people.strangers(6)[5])
    assert fourth.case_id is None
    assert {entry.relation for entry in node.open_case(case_id).matrix or []} == {"distinct", "pair"}


def test_after_a_merge_its_members_are_one_person(node: Node, pair: tuple[wire.Enrolment, wire.Enrolment], case_id: str) -> None:
    node.decide(case_id, Verdict.same, pair[0].subject_id)
    (entry,) = node.open_case(case_id).matrix or []
    assert (entry.flagged, entry.relation) == (True, "merged")


def test_what_todays_model_cannot_compare_has_no_score(node: Node, people: People) -> None:
    a, b, rest = people.strangers(3)
    one, three = node.enrol(a).subject_id, node.enrol(b).subject_id
    node.enrol(mixed((0.7, a), (0.7, b), rest=rest))
    case = seen_with(node, the_case(node).id, replace(CARD, model_id="another"))
    entry = by_pair(case)[frozenset((one, three))]
    assert (entry.score, entry.relation) == (None, "unknown")


def test_the_matrix_of_a_large_case_is_of_its_best_pairs(world: World, people: People) -> None:
    world.thresholds = Thresholds(verification=0.5, review=0.2, certain=0.9)
    node = world.node()
    known = people.strangers(14)
    ids = [node.enrol(vector).subject_id for vector in known[:13]]
    shares = [0.33 - 0.01 * i for i in range(13)]
    newcomer = node.enrol(mixed(*zip(shares, known, strict=False), rest=known[13])).subject_id
    case = the_case(node)
    assert len(case.pairs) == 13
    assert case.matrix is not None
    assert len(case.matrix) == MOST_MEMBERS * (MOST_MEMBERS - 1) // 2
    assert case.matrix_left_out == 2
    members = {member for entry in case.matrix for member in (entry.a, entry.b)}
    assert members == {newcomer, *ids[: MOST_MEMBERS - 1]}


def test_where_the_calibration_says_nothing_the_reason_stands_beside_each_null(world: World, people: People) -> None:
    world.thresholds = Thresholds(verification=0.2, review=0.2, certain=0.9)
    node, person = world.node(), people.stranger()
    node.enrol(person)
    enrolled = node.enrol(people.like(person, 0.25))
    reason = "The calibration cal_synthetic begins at a score of 0.3."
    assert (enrolled.expected_fpir, enrolled.expected_fpir_reason) == (None, reason)
    (pair,) = node.open_case(enrolled.case_id or "").pairs
    assert (pair.expected_fmr, pair.expected_fmr_reason) == (None, reason)
