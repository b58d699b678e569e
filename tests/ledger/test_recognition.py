from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pytest

from backend.errors import GalleryBehind, InvalidThreshold, SeqUnknown, SubjectNotFound
from backend.faces.engine import Metric
from backend.recognition import WAIT_S, Thresholds
from backend.wire import Verdict
from tests.ledger.test_races import begin
from tests.ledger.world import CARD_L2, CLIENT, MODEL, Node, People, World, face, probe


def test_verification_states_score_threshold_decision_and_expected_fmr(node: Node, people: People) -> None:
    person = people.stranger()
    a = node.enrol(person)
    said = node.recognition.verify_subject(a.subject_id, probe(people.like(person, 0.7)), faces_in_image=2)
    assert said.score == pytest.approx(0.7, abs=1e-5)
    assert (said.threshold, said.decision, said.faces_in_image, said.sample_id) == (0.5, "match", 2, a.sample_ids[0])
    assert said.expected_fmr == pytest.approx(1e-3 ** (1 / 3) * 1e-5 ** (2 / 3), rel=0.01)
    assert said.expected_fmr_reason is None
    assert said.model_id == MODEL
    assert node.recognition.verify_subject(a.subject_id, probe(people.like(person, 0.4))).decision == "non_match"
    strict = node.recognition.verify_subject(a.subject_id, probe(people.like(person, 0.7)), threshold=0.75)
    assert (strict.threshold, strict.decision) == (0.75, "non_match")


def test_the_best_of_all_samples_counts(node: Node, people: People) -> None:
    person = people.stranger()
    a = node.enrol(people.like(person, 0.8), people.like(person, 0.97))
    said = node.recognition.verify_subject(a.subject_id, probe(person))
    assert said.score == pytest.approx(0.97, abs=1e-5)
    assert said.sample_id == a.sample_ids[1]


def test_a_verification_of_the_two_templates_of_a_case_gives_the_score_of_the_case(node: Node, people: People) -> None:
    person = people.stranger()
    other = people.like(person, 0.777)
    node.enrol(person)
    case = node.open_case(node.enrol(other).case_id or "")
    assert node.recognition.verify_images(probe(person), probe(other)).score == pytest.approx(case.score, abs=1e-6)


def test_a_threshold_without_support_in_the_calibration_says_so(node: Node, people: People) -> None:
    said = node.recognition.verify_images(probe(people.stranger()), probe(people.stranger()), threshold=0.1)
    assert said.expected_fmr is None
    assert "calibration" in (said.expected_fmr_reason or "")


@pytest.mark.parametrize("threshold", [math.nan, math.inf, 1.1, -1.1])
def test_a_threshold_that_is_not_on_the_scale_is_refused(node: Node, people: People, threshold: float) -> None:
    with pytest.raises(InvalidThreshold):
        node.recognition.verify_images(probe(people.stranger()), probe(people.stranger()), threshold=threshold)
    with pytest.raises(InvalidThreshold):
        node.recognition.identify([probe(people.stranger())], threshold=threshold)


def test_nobody_can_be_verified_against_who_is_not_there(node: Node, people: People) -> None:
    with pytest.raises(SubjectNotFound):
        node.recognition.verify_subject("sub_nobody", probe(people.stranger()))


def test_identification_ranks_people_above_the_threshold_for_each_face(node: Node, people: People) -> None:
    first, second, nobody = people.strangers(3)
    a, b = node.enrol(first, external_id="E-1"), node.enrol(second)
    said = node.recognition.identify([probe((0.8 * first + 0.6 * second).astype("float32")), probe(nobody)])
    assert [(c.subject_id, c.external_id, c.rank) for c in said.faces[0].candidates] == [
        (a.subject_id, "E-1", 1),
        (b.subject_id, None, 2),
    ]
    assert [round(c.score, 4) for c in said.faces[0].candidates] == [0.8, 0.6]
    assert said.faces[1].candidates == []
    assert (said.gallery_size, said.threshold, said.seq) == (2, 0.5, b.seq)
    assert said.expected_fpir is not None
    assert 0 < said.expected_fpir < 1
    assert said.expected_fpir_reason is None
    below = node.recognition.identify([probe(nobody)], threshold=0.1)
    assert (below.expected_fpir, below.expected_fpir_reason) == (None, "The calibration cal_synthetic begins at a score of 0.3.")
    box = said.faces[0].face.box
    assert (box.x, box.y, box.width, box.height) == (1.0, 2.0, 30.0, 40.0)


def test_each_person_is_one_candidate_with_the_best_sample_however_many_samples_crowd_the_index(
    node: Node, people: People
) -> None:
    person = people.stranger()
    crowded = [node.enrol(*[people.like(person, 0.9) for _ in range(30)]).subject_id for _ in range(2)]
    behind = node.enrol(people.like(person, 0.6)).subject_id
    said = node.recognition.identify([probe(person)], limit=3)
    assert {c.subject_id for c in said.faces[0].candidates[:2]} == set(crowded)
    assert said.faces[0].candidates[2].subject_id == behind
    assert len(node.recognition.identify([probe(person)], limit=1).faces[0].candidates) == 1


def test_a_hit_on_a_merged_record_names_the_survivor_and_verification_uses_the_whole_set(node: Node, people: People) -> None:
    person = people.stranger()
    a, b = node.enrol(people.like(person, 0.8)), node.enrol(person)
    node.decide(b.case_id or "", Verdict.same, a.subject_id)
    (candidate,) = node.recognition.identify([probe(person)]).faces[0].candidates
    assert (candidate.subject_id, candidate.sample_id) == (a.subject_id, b.sample_ids[0])
    for named in (a.subject_id, b.subject_id):
        said = node.recognition.verify_subject(named, probe(person))
        assert said.score == pytest.approx(1.0, abs=1e-5)
        assert said.sample_id == b.sample_ids[0]


def test_verification_says_with_how_many_samples_it_compared_and_what_that_does_to_the_false_match_rate(
    node: Node, people: People
) -> None:
    """Of both records of a merged person; a picture that waits for a reviewer is none of them."""
    person = people.stranger()
    a = node.enrol(people.like(person, 0.7))
    b = node.enrol(people.like(person, 0.8), person)
    node.decide(b.case_id or "", Verdict.same, a.subject_id)
    one = node.recognition.verify_subject(b.subject_id, probe(person))
    added = node.enrolments.add_samples(b.subject_id, [face(people.like(person, 0.9))], caller=CLIENT).answer
    held = node.enrolments.add_samples(b.subject_id, [face(people.stranger())], caller=CLIENT).answer
    assert (added.case_id, held.case_id is None) == (None, False)
    more = node.recognition.verify_subject(b.subject_id, probe(person))
    assert (one.samples_compared, more.samples_compared) == (3, 4)
    assert (more.score, more.sample_id) == (pytest.approx(1.0, abs=1e-5), b.sample_ids[1])
    assert more.expected_fmr is not None
    assert more.samples_compared is not None
    assert more.expected_fmr_of_all == pytest.approx(1 - (1 - more.expected_fmr) ** more.samples_compared)
    image = node.recognition.verify_images(probe(person), probe(person))
    assert (image.samples_compared, image.expected_fmr_of_all) == (None, None)


def test_what_was_erased_is_no_candidate_even_while_this_index_still_holds_it(world: World, people: People) -> None:
    stale, other = world.node(), world.node()
    person = people.stranger()
    a = stale.enrol(person)
    other.subjects.erase(a.subject_id, caller=CLIENT)
    assert stale.replica.size == 1
    assert stale.recognition.identify([probe(person)]).faces[0].candidates == []


def test_nobody_is_a_candidate_before_the_second_transaction(node: Node, people: People) -> None:
    person = people.stranger()
    node.enrol(people.like(person, 0.8))
    begin(node, person)
    node.replica.catch_up()
    assert node.replica.size == 2
    (candidate,) = node.recognition.identify([probe(person)]).faces[0].candidates
    assert candidate.score == pytest.approx(0.8, abs=1e-5)


def test_an_enrolment_is_seen_on_every_replica_by_a_search_that_names_its_seq(world: World, people: People) -> None:
    writer, reader = world.node(), world.node()
    person = people.stranger()
    a = writer.enrol(person)
    assert reader.recognition.identify([probe(person)], min_seq=a.seq).faces[0].candidates[0].subject_id == a.subject_id


def test_a_search_that_names_a_seq_which_is_not_there_yet_is_refused(
    world: World, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, stuck = world.node(), world.node()
    seq = writer.enrol(people.stranger()).seq
    monkeypatch.setattr("backend.recognition.WAIT_S", 0.05)
    monkeypatch.setattr(stuck.replica, "catch_up", lambda **_: None)
    with pytest.raises(GalleryBehind):
        stuck.recognition.identify([], min_seq=seq)


def test_a_number_that_nobody_was_given_is_refused_at_once_and_not_waited_for(world: World, people: People) -> None:
    writer, reader = world.node(), world.node()
    seq = writer.enrol(people.stranger()).seq
    started = time.monotonic()
    with pytest.raises(SeqUnknown):
        reader.recognition.identify([], min_seq=seq + 1)
    assert time.monotonic() - started < WAIT_S
    writer.enrol(people.stranger())
    assert reader.recognition.identify([], min_seq=seq + 1).seq == seq + 1


def test_an_engine_with_distances_is_flagged_and_searched_on_its_own_scale(tmp_path: Path, people: People) -> None:
    """Vectors that are not unit-norm, score = 1 - distance: as the offline engine has them."""
    world = World(tmp_path, card=CARD_L2, thresholds=Thresholds(0.45, 0.5, 0.8)).create()
    node = world.node()
    assert CARD_L2.metric is Metric.l2

    def enrol(vector: np.ndarray) -> object:
        return node.enrolments.enrol([face(vector.astype(np.float32), model_id=CARD_L2.model_id)], caller=CLIENT).answer

    person = people.stranger() * np.float32(1.4)
    step = people.stranger()
    enrol(person)
    assert enrol(person + 0.501 * step).duplicates == []  # type: ignore[attr-defined]
    near = enrol(person - 0.499 * step)
    assert [round(d.score, 3) for d in near.duplicates] == [0.501]  # type: ignore[attr-defined]
    said = node.recognition.identify([probe((person + 0.2 * step).astype(np.float32))], threshold=-2.0)
    assert [round(c.score, 3) for c in said.faces[0].candidates] == [0.8, 0.699, 0.301]
    assert said.expected_fpir is None
    world.close()
