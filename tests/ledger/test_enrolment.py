from __future__ import annotations

from dataclasses import replace

import pytest
from sqlmodel import select

from backend import wire
from backend.enrolment import Newcomer
from backend.errors import ExternalIdTaken, GalleryBehind, ModelMismatch, SubjectNotFound
from backend.gallery.memory import Room
from backend.store import admission
from backend.store.sealing import Profile
from backend.store.tables import Enrolment
from backend.wire import SubjectState, Verdict
from tests.ledger.world import CLIENT, MODEL, Node, People, World, face, probe

REJECT = wire.OnDuplicate.reject


def test_a_newcomer_whom_nobody_resembles_is_active_and_makes_no_case(node: Node, people: People) -> None:
    one, other = people.strangers(2)
    node.enrol(one)
    outcome = node.outcome(other, external_id="E-1", metadata={"office": "north"})
    assert outcome.status == 201
    assert outcome.answer.state is SubjectState.active
    assert outcome.answer.external_id == "E-1"
    assert outcome.answer.duplicates == []
    assert outcome.answer.case_id is None
    assert outcome.answer.model_id == MODEL
    assert node.cases() == []
    stored = node.subjects.get(outcome.answer.subject_id)
    assert (stored.external_id, stored.metadata, stored.state) == ("E-1", {"office": "north"}, SubjectState.active)
    assert [sample.id for sample in stored.samples] == outcome.answer.sample_ids


def test_a_pair_that_reaches_the_review_threshold_is_flagged_with_what_was_in_force(node: Node, people: People) -> None:
    first = people.stranger()
    a = node.enrol(first)
    b = node.enrol(people.like(first, 0.7))
    assert [(d.subject_id, d.sample_id, d.band) for d in b.duplicates] == [(a.subject_id, a.sample_ids[0], "review")]
    assert b.duplicates[0].score == pytest.approx(0.7, abs=1e-5)
    case = node.open_case(b.case_id or "")
    assert {subject.id for subject in case.subjects} == {a.subject_id, b.subject_id}
    (pair,) = case.pairs
    assert {(pair.a.subject_id, pair.a.sample_id), (pair.b.subject_id, pair.b.sample_id)} == {
        (a.subject_id, a.sample_ids[0]),
        (b.subject_id, b.sample_ids[0]),
    }
    assert pair.score == b.duplicates[0].score == case.score
    assert (pair.threshold, pair.gallery_size, pair.model_id, pair.band) == (0.6, 1, MODEL, "review")
    assert pair.expected_fpir == pytest.approx(1e-5)
    assert case.source == "enrolment"


def test_a_pair_just_below_the_threshold_is_not_flagged_and_one_just_above_is(node: Node, people: People) -> None:
    below, above = people.strangers(2)
    node.enrol(below)
    node.enrol(above)
    assert node.enrol(people.like(below, 0.5999)).duplicates == []
    assert len(node.enrol(people.like(above, 0.6001)).duplicates) == 1


def test_every_match_is_found_not_only_the_best_k(node: Node, people: People) -> None:
    first = people.stranger()
    crowd = {node.enrol(people.like(first, 0.75)).subject_id for _ in range(40)}
    found = node.enrol(first)
    assert {duplicate.subject_id for duplicate in found.duplicates} == crowd


def test_reject_turns_a_certain_match_away_and_keeps_nothing_of_it(node: Node, people: People) -> None:
    first = people.stranger()
    a = node.enrol(first)
    outcome = node.outcome(people.like(first, 0.95), on_duplicate=REJECT, external_id="E-9", metadata={"a": "b"})
    assert outcome.status == 409
    assert outcome.answer.state is SubjectState.rejected
    assert [d.subject_id for d in outcome.answer.duplicates] == [a.subject_id]
    assert (outcome.answer.external_id, outcome.answer.case_id, outcome.answer.quality) == (None, None, [])
    rejected = node.subjects.get(outcome.answer.subject_id)
    assert (rejected.state, rejected.external_id, rejected.metadata, rejected.samples) == (SubjectState.rejected, None, {}, [])
    assert node.cases() == []
    node.replica.catch_up()
    assert node.replica.size == 1
    assert node.enrol(people.stranger(), external_id="E-9").state is SubjectState.active  # the external id is free again


def test_reject_leaves_the_review_band_to_a_person(node: Node, people: People) -> None:
    first = people.stranger()
    node.enrol(first)
    outcome = node.outcome(people.like(first, 0.8), on_duplicate=REJECT)
    assert (outcome.status, outcome.answer.state) == (201, SubjectState.active)
    assert outcome.answer.case_id is not None


def test_an_external_id_belongs_to_one_subject(node: Node, people: People) -> None:
    node.enrol(people.stranger(), external_id="E-1")
    with pytest.raises(ExternalIdTaken):
        node.enrol(people.stranger(), external_id="E-1")
    assert node.subjects.list().total == 1


def test_templates_of_another_model_are_refused(node: Node, people: People) -> None:
    with pytest.raises(ModelMismatch):
        node.enrolments.enrol([face(people.stranger(), model_id="another")], caller=CLIENT)
    assert node.subjects.list().total == 0


def test_a_replica_whose_gallery_is_pinned_to_another_model_meanwhile_enrols_nobody(node: Node, people: People) -> None:
    node.enrol(people.stranger())
    with node.store.write() as session:
        node.store.gallery(session).model_id = "another"
    with pytest.raises(ModelMismatch):
        node.enrol(people.stranger())
    with node.store.write() as session:
        node.store.gallery(session).model_id = MODEL
    assert node.subjects.list().total == 1


def test_nobody_is_admitted_under_the_terms_of_another_model_than_the_gallerys(node: Node, people: People) -> None:
    side = node.sides.in_force()
    samples = node.enrolments._samples([face(people.stranger())], side)
    with node.store.read() as session:
        terms = replace(node.enrolments._terms(session, side, CLIENT, wire.OnDuplicate.flag), model_id="another")
    with pytest.raises(ModelMismatch), node.store.write() as session:
        admission.admit_subject(node.store, session, Profile(None, {}), samples, terms=terms)
    assert node.subjects.list().total == 0


def test_several_images_make_one_subject_that_is_no_duplicate_of_itself(node: Node, people: People) -> None:
    first = people.stranger()
    a = node.enrol(first, people.like(first, 0.95), people.like(first, 0.9))
    assert len(a.sample_ids) == len(a.quality) == 3
    assert a.duplicates == []
    b = node.enrol(people.like(first, 0.97))
    assert [d.subject_id for d in b.duplicates] == [a.subject_id]
    assert len(node.open_case(b.case_id or "").pairs) == 1


def test_of_the_images_of_one_enrolment_whoever_most_of_them_show_is_enrolled_and_the_others_wait(
    node: Node, people: People
) -> None:
    person, other = people.strangers(2)
    known = node.enrol(other)
    answer = node.enrol(other, person, people.like(person, 0.8))
    stray, reference, second = answer.sample_ids
    assert (answer.state, answer.duplicates) == (SubjectState.active, []), "a picture that waits was compared"
    shown = node.recognition.verify_subject(answer.subject_id, probe(other))
    assert (shown.decision, shown.sample_id in {reference, second}) == ("non_match", True)
    case = node.open_case(answer.case_id or "")
    (pair,) = case.pairs
    assert pair.a.subject_id == pair.b.subject_id == answer.subject_id
    assert stray in {pair.a.sample_id, pair.b.sample_id}
    assert node.enrol(people.like(other, 0.9)).duplicates[0].subject_id == known.subject_id
    node.decide(case.id, Verdict.same)
    assert node.enrolments.sweep() == 1
    pairs = [set(case.subject_ids) for case in node.cases(wire.CaseState.open)]
    assert any({known.subject_id, answer.subject_id} <= subjects for subjects in pairs), "accepted, it was compared with nobody"


def test_of_two_images_that_show_two_people_the_first_is_enrolled(node: Node, people: People) -> None:
    first, second = people.strangers(2)
    answer = node.enrol(first, second)
    assert answer.case_id is not None
    assert node.enrol(people.like(first, 0.9)).duplicates[0].subject_id == answer.subject_id
    assert node.enrol(people.like(second, 0.9)).duplicates == []


def test_images_that_match_from_one_to_the_next_show_one_person(node: Node, people: People) -> None:
    young, *_, old = ages = people.between(*people.strangers(2), steps=5)
    assert float(young @ old) < 0.1
    answer = node.enrol(*ages)
    assert answer.case_id is None
    assert [node.recognition.verify_subject(answer.subject_id, probe(age)).decision for age in ages] == ["match"] * 5


def test_a_newcomer_is_not_rejected_for_an_image_that_waits_for_a_reviewer(node: Node, people: People) -> None:
    person, other = people.strangers(2)
    node.enrol(other)
    outcome = node.outcome(person, people.like(person, 0.9), other, on_duplicate=REJECT)
    assert (outcome.status, outcome.answer.state) == (201, SubjectState.active)


def test_a_chain_of_pairs_is_one_case(node: Node, people: People) -> None:
    first = people.stranger()
    a, b = node.enrol(first), node.enrol(people.like(first, 0.8))
    c = node.enrol(people.like(first, 0.85))
    assert c.case_id == b.case_id
    case = node.open_case(b.case_id or "")
    assert {a.subject_id, b.subject_id, c.subject_id} == {subject.id for subject in case.subjects}
    assert case.version == 2
    assert len(node.cases()) == 1


def test_a_newcomer_who_bridges_two_cases_joins_them_and_the_older_survives(node: Node, people: People) -> None:
    left, right = people.strangers(2)
    node.enrol(left)
    older = node.enrol(people.like(left, 0.9)).case_id or ""
    node.enrol(right)
    newer = node.enrol(people.like(right, 0.9)).case_id or ""
    before = node.open_case(older).version
    bridge = node.enrol((0.7071 * (left + right)).astype("float32"))
    assert bridge.case_id == older
    assert [case.id for case in node.cases()] == [older]
    joined = node.open_case(older)
    assert joined.version > before
    assert len(joined.subjects) == 5
    with pytest.raises(Exception, match=older):
        node.open_case(newer)


def test_people_who_were_decided_to_differ_are_never_flagged_again_also_not_by_another_sample(node: Node, people: People) -> None:
    first = people.stranger()
    a = node.enrol(first)
    b = node.enrol(people.like(first, 0.8))
    node.decide(b.case_id or "", Verdict.twin_or_relative)
    again = node.enrolments.add_samples(b.subject_id, [face(people.like(first, 0.85))], caller=CLIENT).answer
    assert again.duplicates == []
    c = node.enrol(people.like(first, 0.9))
    assert {d.subject_id for d in c.duplicates} >= {a.subject_id}


def test_a_further_sample_that_matches_its_subject_counts_and_is_compared_with_everybody(node: Node, people: People) -> None:
    first, second = people.strangers(2)
    a, b = node.enrol(first), node.enrol(second)
    between = (0.7071 * (first + second)).astype("float32")
    added = node.enrolments.add_samples(a.subject_id, [face(between)], caller=CLIENT)
    assert added.status == 201
    assert [d.subject_id for d in added.answer.duplicates] == [b.subject_id]
    assert added.answer.case_id is not None
    assert len(node.subjects.get(a.subject_id).samples) == 2


def test_a_further_sample_that_shows_somebody_else_waits_for_a_reviewer_and_matches_nobody(node: Node, people: People) -> None:
    first, second, third = people.strangers(3)
    a = node.enrol(first)
    added = node.enrolments.add_samples(a.subject_id, [face(second)], caller=CLIENT).answer
    assert added.case_id is not None
    case = node.open_case(added.case_id)
    (pair,) = case.pairs
    assert pair.a.subject_id == pair.b.subject_id == a.subject_id
    assert {pair.a.sample_id, pair.b.sample_id} == {a.sample_ids[0], added.sample_ids[0]}
    b = node.enrol(second)
    assert b.duplicates == []
    node.decide(case.id, Verdict.same)
    assert node.enrolments.sweep() == 1
    assert node.enrol(people.like(second, 0.99)).duplicates[0].subject_id in {a.subject_id, b.subject_id}
    (found,) = [c for c in node.cases(wire.CaseState.open) if b.subject_id in c.subject_ids]
    assert a.subject_id in found.subject_ids  # found when it was accepted: nothing was missed meanwhile
    assert node.enrol(third).duplicates == []


def test_a_sample_that_a_reviewer_refuses_counts_for_nothing_and_undo_asks_again(node: Node, people: People) -> None:
    first, second = people.strangers(2)
    a = node.enrol(first)
    case_id = node.enrolments.add_samples(a.subject_id, [face(second)], caller=CLIENT).answer.case_id or ""
    node.decide(case_id, Verdict.different)
    assert [sample.id for sample in node.subjects.get(a.subject_id).samples] == a.sample_ids
    assert node.undo(case_id).state is wire.CaseState.open
    node.decide(case_id, Verdict.same)
    node.enrolments.sweep()
    assert node.enrol(people.like(second, 0.95)).duplicates[0].subject_id == a.subject_id
    node.undo(case_id)
    assert node.enrol(people.like(second, 0.94)).case_id is not None


def test_a_sample_of_nobody_is_refused(node: Node, people: People) -> None:
    with pytest.raises(SubjectNotFound):
        node.enrolments.add_samples("sub_nobody", [face(people.stranger())], caller=CLIENT)


def test_a_sample_added_to_a_merged_record_stays_on_that_record(node: Node, people: People) -> None:
    first = people.stranger()
    a, b = node.enrol(first), node.enrol(people.like(first, 0.9))
    node.decide(b.case_id or "", Verdict.same, a.subject_id)
    added = node.enrolments.add_samples(b.subject_id, [face(people.like(first, 0.8))], caller=CLIENT).answer
    assert added.case_id is None
    assert len(node.subjects.get(a.subject_id).samples) == 3
    node.undo(b.case_id or "")
    assert len(node.subjects.get(a.subject_id).samples) == 1
    assert {sample.id for sample in node.subjects.get(b.subject_id).samples} == {*b.sample_ids, *added.sample_ids}


def test_pictures_are_not_kept_where_the_operator_says_so(world: World, people: People) -> None:
    node = world.node(store_images=False)
    a = node.enrol(people.stranger())
    assert node.subjects.get(a.subject_id).samples[0].image is None
    with pytest.raises(Exception, match="No picture"):
        node.subjects.sample_image(a.subject_id, a.sample_ids[0], CLIENT)


def test_an_enrolment_whose_gallery_cannot_catch_up_is_finished_later_and_answered_to_the_same_request(
    world: World, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend import findings
    from backend.enrolment import Idempotency

    stuck, other = world.node(), world.node()
    stuck.replica.catch_up()
    monkeypatch.setattr(findings, "GALLERY_WAIT_S", 0.0)
    monkeypatch.setattr(stuck.replica, "catch_up", lambda **_: None)
    request = {"caller": CLIENT, "idempotency": Idempotency("k", "0" * 64)}
    with pytest.raises(GalleryBehind):
        stuck.enrolments.enrol([face(people.stranger())], **request)  # type: ignore[arg-type]
    assert other.subjects.list().total == 0  # nobody sees it yet
    monkeypatch.setattr(findings, "GALLERY_WAIT_S", 10.0)
    replayed = other.enrolments.replay(CLIENT, "k", "0" * 64)
    assert replayed is not None
    assert replayed.answer.state is SubjectState.active
    assert other.subjects.list().total == 1


def test_nothing_is_begun_by_a_replica_that_could_not_finish_it(
    world: World, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.findings.DOUBT_WAIT_S", 0.0)
    known = world.node().enrol(people.stranger())
    doubtful = world.node()
    doubtful.replica._room = Room(bytes_per_template=1, limit=0)
    one = Newcomer([face(people.stranger())])
    for begin in (
        lambda: doubtful.enrol(people.stranger()),
        lambda: doubtful.enrolments.enrol_all([one], caller=CLIENT),
        lambda: doubtful.enrolments.add_samples(known.subject_id, one.faces, caller=CLIENT),
    ):
        with pytest.raises(GalleryBehind, match="this replica may use"):
            begin()
    with doubtful.store.read() as session:
        assert [one.state for one in session.exec(select(Enrolment))] == ["done"]
