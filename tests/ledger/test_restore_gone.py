"""What was erased or revoked does not come back with a backup, whichever backups are restored and in whatever order."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlmodel import select, update

from backend import wire
from backend.errors import SampleNotFound, SubjectNotFound
from backend.store import forest, gone
from backend.store.api_keys import Keys
from backend.store.tables import AuditRow, Sample, Subject
from backend.wire import SubjectState
from tests.ledger.test_backup import load, save, sealed
from tests.ledger.test_erasure import add
from tests.ledger.test_erasure_races import begun
from tests.ledger.world import ANNA, CLIENT, ON_SQLITE, Node, People, World, probe


def gone_again(node: Node) -> list[tuple[str, str | None, dict[str, object]]]:
    """What the trail says that a restore took out, oldest first."""
    with node.store.read() as session:
        rows = session.exec(select(AuditRow).where(AuditRow.actor == "system")).all()
    return [(row.action, row.object_id, row.detail) for row in rows if row.detail.get("reason") == "restore"]


# --- samples ------------------------------------------------------------------------------------------------------


def test_a_sample_that_was_erased_since_is_neither_there_nor_found(world: World, people: People, tmp_path: Path) -> None:
    node, other = world.node(), world.node()
    person, aside = people.strangers(2)
    a = node.enrol(person, people.like(person, 0.55))
    save(world, tmp_path / "one.backup")
    node.subjects.erase_sample(a.subject_id, a.sample_ids[0], caller=CLIENT)
    node.enrol(aside)

    done = load(world, tmp_path / "one.backup", replace=True)

    assert (done.erased_again, done.samples_erased_again, done.left_bare) == (0, 1, ())
    assert [sample.id for sample in node.subjects.get(a.subject_id).samples] == [a.sample_ids[1]]
    with pytest.raises(SampleNotFound):
        node.subjects.sample_image(a.subject_id, a.sample_ids[0], ANNA)
    other.replica.catch_up()
    assert (other.replica.size, other.replica.status().problem) == (1, None)
    assert other.recognition.verify_subject(a.subject_id, probe(person)).sample_id == a.sample_ids[1]
    assert gone_again(node) == [("sample.erase", a.subject_id, {"sample": a.sample_ids[0], "reason": "restore"})]


def test_a_case_that_rested_on_it_goes_on_with_the_best_that_is_left(
    world: World, node: Node, people: People, tmp_path: Path
) -> None:
    person = people.stranger()
    node.enrol(person)
    b = node.enrol(people.like(person, 0.95), people.like(person, 0.7))
    save(world, tmp_path / "one.backup")
    node.subjects.erase_sample(b.subject_id, b.sample_ids[0], caller=CLIENT)
    load(world, tmp_path / "one.backup", replace=True)
    case = node.open_case(b.case_id or "")
    (pair,) = case.pairs
    assert (case.state, pair.band, round(pair.score, 4)) == (wire.CaseState.open, "review", 0.7)


def test_a_person_of_whom_the_backup_has_no_other_picture_stays_and_is_named(
    world: World, node: Node, people: People, tmp_path: Path
) -> None:
    person = people.stranger()
    a = node.enrol(person, external_id="E-1")
    flagged = node.enrol(people.like(person, 0.8))
    save(world, tmp_path / "one.backup")
    add(node, a.subject_id, people.like(person, 0.9))
    node.subjects.erase_sample(a.subject_id, a.sample_ids[0], caller=CLIENT)

    done = load(world, tmp_path / "one.backup", replace=True)

    assert (done.samples_erased_again, done.left_bare) == (1, (a.subject_id,))
    shown = node.subjects.get(a.subject_id)
    assert (shown.state, shown.external_id, shown.samples) == (SubjectState.active, "E-1", [])
    assert node.open_case(flagged.case_id or "").state is wire.CaseState.resolved
    with pytest.raises(SubjectNotFound, match="no sample"):
        node.recognition.verify_subject(a.subject_id, probe(person))
    sample_id = add(node, a.subject_id, people.like(person, 0.9))
    assert node.recognition.verify_subject(a.subject_id, probe(person)).sample_id == sample_id


@pytest.mark.parametrize("further", [False, True])
def test_one_whose_enrolment_the_backup_caught_midway_is_erased_and_that_enrolment_done(
    world: World, people: People, tmp_path: Path, further: bool
) -> None:
    node = world.node(lease_s=0.01)
    person = people.stranger()
    known = node.enrol(person).subject_id if further else None
    begun(node, people.like(person, 0.9), subject_id=known)
    save(world, tmp_path / "one.backup")
    node.enrolments.sweep()
    (subject,) = node.subjects.list().items
    erased = subject.samples[-1].id
    add(node, subject.id, people.like(person, 0.8))
    node.subjects.erase_sample(subject.id, erased, caller=CLIENT)

    done = load(world, tmp_path / "one.backup", replace=True)

    assert (done.samples_erased_again, len(done.left_bare)) == (1, 0 if further else 1)
    assert node.enrolments.sweep() == 0
    shown = node.subjects.get(subject.id)
    assert (shown.state, len(shown.samples)) == (SubjectState.active, 1 if further else 0)


# --- one restore after another ------------------------------------------------------------------------------------


def test_the_wrong_backup_restored_first_does_not_make_the_next_one_forget(
    world: World, node: Node, people: People, tmp_path: Path
) -> None:
    stays, goes = people.strangers(2)
    kept = node.enrol(stays)
    save(world, tmp_path / "one.backup")
    erased = node.enrol(goes)
    sample = add(node, kept.subject_id, people.like(stays, 0.8))
    key = Keys(node.store).create(wire.KeyRequest(name="turnstile", scopes=[wire.Scope.client]))
    save(world, tmp_path / "two.backup")
    node.subjects.erase(erased.subject_id, caller=CLIENT)
    node.subjects.erase_sample(kept.subject_id, sample, caller=CLIENT)
    Keys(node.store).revoke(key.id)

    first = load(world, tmp_path / "one.backup", replace=True)
    assert (first.erased_again, first.samples_erased_again, first.revoked_again) == (0, 0, 0)
    load(world, tmp_path / "one.backup", replace=True)  # twice, as somebody in a hurry does
    second = load(world, tmp_path / "two.backup", replace=True)

    assert (second.erased_again, second.samples_erased_again, second.revoked_again) == (1, 1, 1)
    with pytest.raises(SubjectNotFound):
        node.subjects.get(erased.subject_id)
    assert [one.id for one in node.subjects.get(kept.subject_id).samples] == kept.sample_ids
    assert Keys(node.store).authenticate(key.secret) is None
    assert {action: object_id for action, object_id, _ in gone_again(node)} == {
        "subject.erase": erased.subject_id,
        "sample.erase": kept.subject_id,
        "key.revoke": key.id,
    }


def test_what_the_trail_of_the_backup_knows_is_not_carried_a_second_time(
    world: World, node: Node, people: People, tmp_path: Path
) -> None:
    vectors = people.strangers(3)
    ids = [node.enrol(vector).subject_id for vector in vectors]
    node.subjects.erase(ids[0], caller=CLIENT)
    save(world, tmp_path / "one.backup")
    node.subjects.erase(ids[1], caller=CLIENT)
    for _ in range(2):
        load(world, tmp_path / "one.backup", replace=True)
    with node.store.read() as session:
        carried = session.exec(select(AuditRow.detail).where(AuditRow.action == gone.CARRIED)).all()
        assert gone.known(node.store, session).records == set(ids[:2])
    assert carried == [{"records": [ids[1]]}]


@ON_SQLITE
def test_more_people_than_a_statement_takes_are_erased_again_though_merges_run_across(
    world: World, node: Node, people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forest, "CHUNK", 2)
    ids = [node.enrol(vector).subject_id for vector in people.strangers(6)]
    with node.store.write() as session:
        session.exec(update(Subject).where(Subject.id == ids[4]).values(state="merged", merged_into=ids[0], merged_by="dec_1"))
        session.exec(update(Subject).where(Subject.id == ids[5]).values(state="merged", merged_into=ids[1], merged_by="dec_1"))
    save(world, tmp_path / "one.backup")
    with node.store.write() as session:
        session.exec(update(Subject).where(Subject.id == ids[5]).values(state="active", merged_into=None, merged_by=None))
    for id_ in ids[:4]:
        node.subjects.erase(id_, caller=CLIENT)
    assert load(world, tmp_path / "one.backup", replace=True).erased_again == 5
    (left,) = node.subjects.list().items
    assert (left.id, left.state, left.merged_into) == (ids[5], SubjectState.active, None)
    sealed(node)
    with node.store.read() as session:
        assert [sample.subject_id for sample in session.exec(select(Sample))] == [ids[5]]
