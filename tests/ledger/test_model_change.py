"""A change of model in the ledger: nobody is missed across it, both ways; and everything that two models touch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlmodel import col, select

from backend import wire
from backend.enrolment import Newcomer
from backend.errors import ModelMismatch, NotReady
from backend.faces.capture import CapturedFace
from backend.faces.engine import Vector
from backend.model_comparison import Judge, compare
from backend.recognition import Recognition, Thresholds
from backend.scan_job import ScanJob
from backend.scans import Scans
from backend.store import gallery_log, missing_templates, model_change, templates
from backend.store.conclusion import SearchOutdated, conclude
from backend.store.model_change import Checked, ModelChangeError, NotComplete
from backend.store.tables import Change, DuplicatePair, Enrolment, Gallery, GalleryChange, IndexSnapshot, ModelChange, Template
from tests.ledger.conftest import whole
from tests.ledger.world import CARD, CLIENT, DIMENSION, SUSI, THRESHOLDS, Node, People, World, face, probe

NEW = replace(CARD, model_id="synthetic-cosine-64-newer")
BOTH = (CARD, NEW)
TURN = np.linalg.qr(np.random.default_rng(3).standard_normal((DIMENSION, DIMENSION)))[0].astype(np.float32)
"""From one model's vectors to the other's: another space, in which everybody is as alike as before."""


@pytest.fixture
def world(tmp_path: Path, database_url: str | None) -> Iterator[World]:
    with whole(World(tmp_path, database_url=database_url, beside=(NEW,)).create()) as made:
        yield made


@pytest.fixture
def both(world: World) -> Node:
    """A replica that has loaded both."""
    return world.node(cards=BOTH)


def seen(vector: Vector, *, by: str = "both") -> CapturedFace:
    """A face, `vector` by the first model, as both see it, or one of them alone."""
    turned = (TURN @ vector).astype(np.float32)
    if by == "new":
        return face(turned, model_id=NEW.model_id)
    return replace(face(vector), others={NEW.model_id: turned} if by == "both" else {})


def enrol(node: Node, vector: Vector, *, by: str = "both", **options: object) -> wire.Enrolment:
    options.setdefault("caller", CLIENT)
    return node.enrolments.enrol([seen(vector, by=by)], **options).answer  # type: ignore[arg-type]


def begun(node: Node, vector: Vector, *, by: str = "both", policy: wire.OnDuplicate = wire.OnDuplicate.flag) -> str:
    """Between its two transactions."""
    with node.store.write() as session:
        newcomer = Newcomer([seen(vector, by=by)], on_duplicate=policy)
        return node.enrolments._admit(session, newcomer, CLIENT).enrolment_id


def finish(node: Node, enrolment_id: str) -> wire.Enrolment:
    return node.enrolments._finish(enrolment_id).answer


def begin(node: Node) -> ModelChange:
    with node.store.write() as session:
        change = model_change.begin(node.store, session, NEW.model_id)
    node.sides.look()
    return change


def fill(node: Node, change: ModelChange, model_id: str = NEW.model_id) -> int:
    """As the command does it, with the other model's vector turned into this one's."""
    turn, other = (TURN, CARD.model_id) if model_id == NEW.model_id else (TURN.T, NEW.model_id)
    with node.store.write() as session:
        page = missing_templates.page(node.store, session, model_id, limit=100)
        assert set(missing_templates.crops(node.store, session, [one.sample_id for one in page])) == {
            one.sample_id for one in page
        }
        vectors = {}
        for one in page:
            theirs = select(Template).where(Template.sample_id == one.sample_id, Template.model_id == other)
            vectors[one.sample_id] = (turn @ opened(node, session.exec(theirs).one())).astype(np.float32)
        return missing_templates.fill(node.store, session, change.id, model_id, vectors)


def opened(node: Node, template: Template) -> Vector:
    with node.store.read() as session:
        (found,) = templates.by_seqs(session, node.store.keyring, gallery_id=node.store.gallery_id, seqs=[template.seq])
    return found.vector


def head(node: Node) -> int:
    with node.store.read() as session:
        return gallery_log.head_seq(session, node.store.gallery_id)


def switch(node: Node, change: ModelChange) -> None:
    checked = Checked(head(node))
    assert missing(node) == 0
    with node.store.write() as session:
        model_change.switch(node.store, session, change.id, checked)


def missing(node: Node, model_id: str = NEW.model_id) -> int:
    with node.store.read() as session:
        return missing_templates.count(node.store, session, model_id)


def rows(node: Node, model_id: str) -> list[Template]:
    with node.store.read() as session:
        return list(session.exec(select(Template).where(Template.model_id == model_id)))


def actions(node: Node) -> list[str]:
    return [event.action for event in node.audit.list(limit=200).items]


# --- filling ------------------------------------------------------------------------------------------------------


def test_a_second_model_is_written_only_while_a_change_is_open(both: Node, people: People) -> None:
    enrol(both, people.stranger())
    assert rows(both, NEW.model_id) == []
    begin(both)
    enrol(both, people.stranger())
    assert len(rows(both, NEW.model_id)) == 1
    assert missing(both) == 1


def test_each_model_counts_its_own_rows_of_the_log(both: Node, people: People) -> None:
    change = begin(both)
    enrol(both, people.stranger(), by="old")
    erased = enrol(both, people.stranger())
    fill(both, change)
    both.subjects.erase(erased.subject_id, caller=SUSI)
    for side in both.sides.all:
        side.replica.catch_up()
        assert (side.replica.size, side.replica.status().problem) == (1, None)
        assert side.replica.seq == head(both)


def test_a_replica_of_one_model_alone_goes_on_beside(world: World, both: Node, people: People) -> None:
    alone = world.node()
    begin(both)
    person = people.stranger()
    first = enrol(both, person)
    assert alone.enrol(people.like(person, 0.95)).duplicates[0].subject_id == first.subject_id
    assert missing(both) == 1, "what it wrote is left to the back-fill"


def test_the_back_fill_leaves_alone_what_is_there_and_may_be_done_twice(both: Node, people: People) -> None:
    change = begin(both)
    enrol(both, people.stranger(), by="old")
    enrol(both, people.stranger())
    with both.store.read() as session:
        page = missing_templates.page(both.store, session, NEW.model_id, limit=10)
    vectors = {one.sample_id: people.stranger() for one in page}
    for expected in (1, 0):
        with both.store.write() as session:
            assert missing_templates.fill(both.store, session, change.id, NEW.model_id, vectors) == expected


def test_nothing_is_filled_for_a_change_that_was_ended(both: Node, people: People) -> None:
    change = begin(both)
    enrol(both, people.stranger(), by="old")
    with both.store.write() as session:
        model_change.abandon(both.store, session, change.id)
    with both.store.write() as session, pytest.raises(missing_templates.ChangeClosed):
        missing_templates.fill(both.store, session, change.id, NEW.model_id, {})


def test_an_older_program_is_shut_out_once_a_change_begins(both: Node) -> None:
    begin(both)
    with both.store.read() as session:
        assert session.exec(select(Gallery.min_app_level)).one() == model_change.KNOWS_TWO_MODELS


def test_one_change_at_a_time(both: Node) -> None:
    change = begin(both)
    with both.store.write() as session:
        assert model_change.begin(both.store, session, NEW.model_id).id == change.id
        with pytest.raises(ModelChangeError, match="is open"):
            model_change.begin(both.store, session, "a-third-model")


# --- the switch ---------------------------------------------------------------------------------------------------


def test_who_was_enrolled_before_the_switch_is_found_after_it(both: Node, people: People) -> None:
    person, other = people.strangers(2)
    before = enrol(both, person, by="old")
    change = begin(both)
    between = enrol(both, other)
    fill(both, change)
    switch(both, change)
    after = enrol(both, people.like(person, 0.8), by="new")
    assert (after.model_id, after.duplicates[0].subject_id) == (NEW.model_id, before.subject_id)
    assert enrol(both, people.like(other, 0.8), by="new").duplicates[0].subject_id == between.subject_id
    assert "model.switch" in actions(both)


def test_a_switch_that_would_miss_somebody_is_refused(both: Node, people: People) -> None:
    change = begin(both)
    checked = Checked(head(both))
    enrol(both, people.stranger(), by="old")
    with pytest.raises(NotComplete), both.store.write() as session:
        model_change.switch(both.store, session, change.id, checked)
    with both.store.read() as session:
        assert both.store.gallery(session).model_id == CARD.model_id


def test_faces_of_the_old_model_alone_are_refused_after_the_switch(both: Node, people: People) -> None:
    change = begin(both)
    switch(both, change)
    with pytest.raises(ModelMismatch):
        enrol(both, people.stranger(), by="old")


def test_a_face_that_both_models_saw_is_enrolled_whichever_is_in_force_by_then(both: Node, people: People) -> None:
    change = begin(both)
    switch(both, change)
    assert enrol(both, people.stranger()).model_id == NEW.model_id
    assert [len(rows(both, card.model_id)) for card in BOTH] == [1, 1]


def test_who_is_between_the_transactions_at_the_switch_is_judged_by_the_new_model(both: Node, people: People) -> None:
    person = people.stranger()
    before = enrol(both, person, by="old")
    change = begin(both)
    pending = begun(both, people.like(person, 0.8), by="old")
    fill(both, change)
    switch(both, change)
    answer = finish(both, pending)
    assert (answer.model_id, answer.duplicates[0].subject_id) == (NEW.model_id, before.subject_id)
    assert finish(both, pending) == answer


def test_of_two_on_either_side_of_the_switch_the_pair_is_found_once(world: World, both: Node, people: People) -> None:
    change, person = begin(both), people.stranger()
    pending = begun(both, person)
    switch(both, change)
    other = world.node(cards=BOTH, wait_s=0.2)
    later = begun(other, people.like(person, 0.8), by="new")
    answers = [finish(other, later), finish(both, pending)]
    assert sum(len(answer.duplicates) for answer in answers) >= 1
    with both.store.read() as session:
        assert len(session.exec(select(DuplicatePair)).all()) == 1
    assert len(both.cases()) == 1


def test_a_search_of_before_the_switch_concludes_nothing_after_it(both: Node, people: People) -> None:
    """It looked through the old model's index; who came by the new model alone was not in it."""
    change, person = begin(both), people.stranger()
    pending = begun(both, person)
    with both.store.read() as session:
        work = both.enrolments.search.load(session, pending)
    (found,) = both.enrolments.search.findings([work])  # type: ignore[list-item]
    switch(both, change)
    newcomer = begun(both, people.like(person, 0.8), by="new")
    with pytest.raises(SearchOutdated), both.store.write() as session:
        conclude(both.store, session, pending, found)
    finish(both, pending)
    finish(both, newcomer)
    assert len(both.cases()) == 1


def test_a_replica_without_the_new_model_finishes_nothing_and_says_what_to_load(world: World, both: Node, people: People) -> None:
    alone = world.node()
    change = begin(both)
    pending = begun(alone, people.stranger(), by="old")
    fill(both, change)
    switch(both, change)
    with pytest.raises(NotReady):
        finish(alone, pending)
    alone.sides.look()
    with pytest.raises(NotReady, match="BACKEND_NEXT_MODEL_PACK"):
        alone.sides.in_force()
    assert alone.enrolments.sweep() == 0
    assert finish(both, pending).model_id == NEW.model_id


def test_a_certain_duplicate_across_the_switch_is_rejected_and_leaves_both_indexes(both: Node, people: People) -> None:
    person = people.stranger()
    enrol(both, person, by="old")
    change = begin(both)
    fill(both, change)
    switch(both, change)
    outcome = both.enrolments.enrol([seen(people.like(person, 0.95))], caller=CLIENT, on_duplicate=wire.OnDuplicate.reject)
    assert outcome.status == 409
    assert [len(rows(both, card.model_id)) for card in BOTH] == [1, 1]


def test_answers_by_a_model_that_is_no_longer_in_force_are_refused(both: Node, people: People) -> None:
    person = people.stranger()
    known = enrol(both, person)
    change = begin(both)
    fill(both, change)
    switch(both, change)
    with pytest.raises(ModelMismatch):
        both.recognition.identify([probe(person)])
    with pytest.raises(ModelMismatch):
        both.recognition.verify_subject(known.subject_id, probe(person))
    both.sides.look()
    newer = Recognition(both.store, both.sides.in_force().replica, NEW, THRESHOLDS)
    newer._replica.catch_up()
    turned = probe((TURN @ person).astype(np.float32))
    assert newer.identify([turned]).faces[0].candidates[0].subject_id == known.subject_id
    assert newer.verify_subject(known.subject_id, turned).decision == "match"


def test_a_number_of_the_other_model_is_reached_too(both: Node, people: People) -> None:
    """`min_seq` of an enrolment goes on working across the switch."""
    change = begin(both)
    fill(both, change)
    switch(both, change)
    answer = enrol(both, people.stranger(), by="new")
    old = both.sides.of(CARD.model_id)
    assert old is not None
    assert old.replica.wait_for(answer.seq, timeout_s=5)


def test_a_scan_under_way_at_the_switch_ends_with_the_reason(both: Node, people: People) -> None:
    person = people.stranger()
    for score in (1.0, 0.7):
        enrol(both, people.like(person, score))
    change = begin(both)
    fill(both, change)
    scan = Scans(both.store, CARD, THRESHOLDS).start(wire.ScanRequest(), SUSI)
    switch(both, change)
    ScanJob(both.store, both.replica, CARD, THRESHOLDS, holder="b1").work()
    ended = Scans(both.store, CARD, THRESHOLDS).read(scan.id)
    assert (ended.state, ended.problem) == (wire.ScanState.failed, "the gallery's model changed since: start a new scan")
    with pytest.raises(ModelMismatch):
        Scans(both.store, CARD, THRESHOLDS).start(wire.ScanRequest(), SUSI)


def test_a_scan_by_the_new_model_looks_at_each_picture_once(both: Node, people: People) -> None:
    for person in people.strangers(3):
        enrol(both, person)
    change = begin(both)
    fill(both, change)
    switch(both, change)
    newer = both.sides.of(NEW.model_id)
    assert newer is not None
    scan = Scans(both.store, NEW, THRESHOLDS).start(wire.ScanRequest(), SUSI)
    newer.replica.catch_up()
    ScanJob(both.store, newer.replica, NEW, THRESHOLDS, holder="b1").work()
    done = Scans(both.store, NEW, THRESHOLDS).read(scan.id)
    assert (done.state, done.templates_done, done.templates_total) == (wire.ScanState.done, 3, 3)


# --- what a reviewer does about it --------------------------------------------------------------------------------


def test_a_held_picture_is_filled_stays_out_of_the_index_and_may_be_accepted_after_the_switch(both: Node, people: People) -> None:
    person, other = people.strangers(2)
    known = enrol(both, person)
    look_alike = enrol(both, other)
    held = both.enrolments.add_samples(known.subject_id, [seen(people.like(other, 0.8), by="old")], caller=CLIENT).answer
    assert held.case_id is not None
    change = begin(both)
    assert fill(both, change) == 3
    newer = both.sides.of(NEW.model_id)
    assert newer is not None
    newer.replica.catch_up()
    assert newer.replica.size == 2
    switch(both, change)
    both.sides.look()
    both.decide(held.case_id, wire.Verdict.same, known.subject_id)
    assert both.enrolments.sweep() == 1
    with both.store.read() as session:
        again = session.exec(select(Enrolment).where(Enrolment.kind == "accepted")).one()
        pair = session.exec(select(DuplicatePair).where(DuplicatePair.kind == "duplicate")).all()
    assert again.model_id == NEW.model_id
    assert [{one.a_subject_id, one.b_subject_id} for one in pair if one.model_id == NEW.model_id] == [
        {known.subject_id, look_alike.subject_id}
    ]


def test_a_pair_of_the_old_model_is_renewed_when_the_new_one_finds_it(both: Node, people: People) -> None:
    person = people.stranger()
    first = enrol(both, person)
    second = enrol(both, people.like(person, 0.9))
    change = begin(both)
    fill(both, change)
    switch(both, change)
    both.sides.look()
    both.enrolments.add_samples(second.subject_id, [seen(people.like(person, 0.8))], caller=CLIENT)
    with both.store.read() as session:
        (pair,) = session.exec(select(DuplicatePair)).all()
    assert pair.model_id == NEW.model_id
    assert {pair.a_subject_id, pair.b_subject_id} == {first.subject_id, second.subject_id}


def test_erasing_a_picture_of_a_pair_of_the_old_model_leaves_it_to_reviewers(both: Node, people: People) -> None:
    person = people.stranger()
    enrol(both, person)
    second = enrol(both, people.like(person, 0.9))
    both.enrolments.add_samples(second.subject_id, [seen(people.like(person, 0.7))], caller=CLIENT)
    change = begin(both)
    fill(both, change)
    switch(both, change)
    both.subjects.erase_sample(second.subject_id, second.sample_ids[0], caller=SUSI)
    with both.store.read() as session:
        (pair,) = session.exec(select(DuplicatePair)).all()
    assert (pair.state, pair.model_id) == ("open", NEW.model_id)


def test_the_comparison_counts_known_pairs_by_both_models(both: Node, people: People) -> None:
    same, different, waiting = people.strangers(3)
    cases = []
    for person in (same, different, waiting):
        enrol(both, person)
        cases.append(enrol(both, people.like(person, 0.8)).case_id or "")
    both.decide(cases[0], wire.Verdict.same, both.open_case(cases[0]).pairs[0].a.subject_id)
    both.decide(cases[1], wire.Verdict.different)
    fill(both, begin(both))
    alike = compare(both.store, Judge(CARD, THRESHOLDS), Judge(NEW, THRESHOLDS))
    assert {known: dict(row) for known, row in alike.table.items()} == {
        "same": {"both": 1}, "different": {"both": 1}, "open": {"both": 1},
    }  # fmt: skip
    assert alike.agreement == 1.0
    stricter = compare(both.store, Judge(CARD, THRESHOLDS), Judge(NEW, Thresholds(0.5, 0.85, 0.95)))
    assert stricter.agreement == 0.0
    assert {known for _, known, judged in stricter.changed if judged == "old_only"} == {"same", "different", "open"}


# --- the way back, and the end ------------------------------------------------------------------------------------


def test_rolled_back_finds_also_who_came_by_the_new_model_alone(both: Node, people: People) -> None:
    person, other = people.strangers(2)
    before = enrol(both, person)
    change = begin(both)
    fill(both, change)
    switch(both, change)
    meanwhile = enrol(both, other, by="new")
    with pytest.raises(NotComplete), both.store.write() as session:
        model_change.roll_back(both.store, session, change.id, Checked(0))
    assert fill(both, change, CARD.model_id) == 1
    with both.store.write() as session:
        model_change.roll_back(both.store, session, change.id, Checked(0))
    assert enrol(both, people.like(person, 0.8), by="old").duplicates[0].subject_id == before.subject_id
    assert enrol(both, people.like(other, 0.8), by="old").duplicates[0].subject_id == meanwhile.subject_id
    assert "model.roll_back" in actions(both)


def test_a_change_that_is_switched_is_not_abandoned_and_one_that_is_not_is_not_finished(both: Node) -> None:
    change = begin(both)
    with both.store.write() as session, pytest.raises(ModelChangeError, match="--switch comes first"):
        model_change.finish(both.store, session, change.id)
    switch(both, change)
    with both.store.write() as session, pytest.raises(ModelChangeError, match="--roll-back comes first"):
        model_change.abandon(both.store, session, change.id)


@pytest.mark.parametrize("ended", ["finished", "abandoned"])
def test_a_model_that_was_given_up_leaves_nothing(both: Node, people: People, ended: str) -> None:
    for person in people.strangers(3):
        enrol(both, person)
    change = begin(both)
    fill(both, change)
    for side in both.sides.all:
        side.replica.catch_up()
    kept, gone = (NEW, CARD) if ended == "finished" else (CARD, NEW)
    if ended == "finished":
        switch(both, change)
    with both.store.write() as session:
        (model_change.finish if ended == "finished" else model_change.abandon)(both.store, session, change.id)
        assert list(missing_templates.given_up(both.store, session)) == [gone.model_id]
        session.add(snapshot_of(both, gone.model_id))
    dropped = []
    while not dropped or dropped[-1]:
        with both.store.write() as session:
            dropped.append(missing_templates.drop_some(both.store, session, gone.model_id, limit=2))
    assert dropped == [2, 1, 0]
    assert (len(rows(both, gone.model_id)), len(rows(both, kept.model_id))) == (0, 3)
    with both.store.read() as session:
        last = gallery_log.head(session, both.store.gallery_id, gone.model_id)
        assert last is not None
        assert (last.count, last.checksum) == (0, 0)
        assert session.exec(select(IndexSnapshot)).all() == []
    forgotten = both.sides.of(gone.model_id)
    assert forgotten is not None
    forgotten.replica.catch_up()
    assert forgotten.replica.size == 0
    assert "pinned to" in (forgotten.replica.status().problem or "")
    again = model_change_to(both, gone.model_id)
    assert again.state == "filling", "and it may be the next one"


def snapshot_of(node: Node, model_id: str) -> IndexSnapshot:
    with node.store.read() as session:
        now = node.store.now(session)
    return IndexSnapshot(
        gallery_id=node.store.gallery_id, holder="b1", model_id=model_id, id=f"snp_{model_id}", epoch="e", seq=1, count=1,
        checksum=0, wrapped_key=b"", created_at=now,
    )  # fmt: skip


def model_change_to(node: Node, model_id: str) -> ModelChange:
    with node.store.write() as session:
        return model_change.begin(node.store, session, model_id)


def test_erased_is_erased_of_both_models(both: Node, people: People) -> None:
    change, person = begin(both), people.stranger()
    known = enrol(both, person)
    more = both.enrolments.add_samples(known.subject_id, [seen(people.like(person, 0.9))], caller=CLIENT).answer
    fill(both, change)
    both.subjects.erase_sample(known.subject_id, more.sample_ids[0], caller=SUSI)
    both.subjects.erase(known.subject_id, caller=SUSI)
    with both.store.read() as session:
        assert session.exec(select(Template)).all() == []
        removed = session.exec(select(GalleryChange.model_id).where(col(GalleryChange.kind) == Change.remove)).all()
    assert sorted(removed) == sorted([CARD.model_id, NEW.model_id] * 2)


def test_who_is_knowingly_left_behind_is_named_in_the_trail(both: Node, people: People) -> None:
    left = enrol(both, people.stranger(), by="old")
    change = begin(both)
    with both.store.write() as session:
        model_change.switch(both.store, session, change.id, Checked(head(both), left.sample_ids))
    events = {event.action: event.detail for event in both.audit.list(limit=200).items}
    assert events["model.switch"]["left_behind"] == 1
    assert events["model.leave_behind"]["samples"] == left.sample_ids
    with both.store.read() as session:
        assert session.exec(select(ModelChange.left_behind)).one() == 1


def test_a_replica_that_starts_after_the_switch_needs_the_new_model_alone(world: World, both: Node, people: People) -> None:
    person = people.stranger()
    enrol(both, person)
    change = begin(both)
    pending = begun(both, people.like(person, 0.8))
    fill(both, change)
    switch(both, change)
    alone = world.node(cards=[NEW])
    assert len(finish(alone, pending).duplicates) == 1
    assert alone.replica.status().problem is None
