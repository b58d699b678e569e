from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from backend import wire
from backend.enrolment import Idempotency
from backend.errors import CaseStateConflict, LastSample, PreconditionFailed, SampleNotFound
from backend.faces.engine import Vector
from backend.scan_job import ScanJob
from backend.scans import Scans
from backend.store import scrubbing
from backend.store.tables import DuplicateCase, DuplicatePair, Enrolment, Outbox, PairState, Sample, Subject, Template
from backend.wire import DecideRequest, Verdict
from tests.ledger.world import ANNA, CARD, CLIENT, ON_SQLITE, SUSI, THRESHOLDS, Node, People, World, face, probe, unit

CROP = b"\xff\xd8" + b"THE-FACE-OF-MARY" * 400 + b"\xff\xd9"
EXTERNAL_ID = "PASSPORT-0815-4711"
METADATA = {"name": "Mary Shelley-Wollstonecraft"}


def raw_files(world: World) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(world.folder.glob("ledger.db*")))


def enrol_mary(node: Node, vector: object) -> wire.Enrolment:
    return node.enrolments.enrol(
        [face(vector, crop=CROP)],  # type: ignore[arg-type]
        caller=CLIENT,
        external_id=EXTERNAL_ID,
        metadata=METADATA,
        idempotency=Idempotency("mary", "0" * 64),
    ).answer


def stored_bytes(node: Node, subject_id: str) -> dict[str, bytes]:
    """Everything that is stored of a subject, as it lies in the file."""
    with node.store.read() as session:
        subject = session.get(Subject, subject_id)
        sample = session.exec(select(Sample).where(Sample.subject_id == subject_id)).one()
        template = session.exec(select(Template).where(Template.subject_id == subject_id)).one()
        enrolment = session.exec(select(Enrolment).where(Enrolment.subject_id == subject_id)).one()
    assert subject is not None
    found = {
        "key": subject.wrapped_key,
        "profile": subject.sealed_profile,
        "external id": (subject.external_id_index or "").encode(),
        "crop": (sample.sealed_crop or b"")[:500],  # the rest lies on pages of its own
        "details": sample.sealed_details,
        "vector": template.sealed_vector,
        "answer": enrolment.sealed_answer,
    }
    return {name: value for name, value in found.items() if value}


def plain_bytes(vector: object) -> dict[str, bytes]:
    return {
        "crop": CROP[2:34],
        "vector": vector.tobytes(),  # type: ignore[attr-defined]
        "external id": EXTERNAL_ID.encode(),
        "metadata": METADATA["name"].encode(),
    }


@ON_SQLITE
def test_nothing_of_a_subject_stands_readable_in_the_files(world: World, node: Node, people: People) -> None:
    vector = people.stranger()
    mary = enrol_mary(node, vector)
    files = raw_files(world)
    assert mary.subject_id.encode() in files  # the look is at the right bytes
    for name, plain in plain_bytes(vector).items():
        assert plain not in files, f"{name} stands in the file"


@ON_SQLITE
def test_an_erased_subject_leaves_no_bytes_not_even_encrypted_ones(world: World, node: Node, people: People) -> None:
    for _ in range(5):
        node.enrol(people.stranger(), external_id=f"E-{_}")
    vector = people.stranger()
    mary = enrol_mary(node, vector)
    stored = stored_bytes(node, mary.subject_id)
    assert set(stored) == {"key", "profile", "external id", "crop", "details", "vector", "answer"}
    before = raw_files(world)
    for name, value in stored.items():
        assert value in before, f"{name} is not where this test looks"
    node.subjects.erase(mary.subject_id, caller=CLIENT)
    after = raw_files(world)
    for name, value in (*stored.items(), *plain_bytes(vector).items()):
        assert value not in after, f"{name} is still in the files"
    assert (world.folder / "ledger.db-wal").stat().st_size < 100_000
    assert node.subjects.list().total == 5


def test_erasing_tells_every_index(world: World, people: People) -> None:
    one, other = world.node(), world.node()
    vector = people.stranger()
    mary = enrol_mary(one, vector)
    other.replica.catch_up()
    assert other.replica.size == 1
    one.subjects.erase(mary.subject_id, caller=CLIENT)
    other.replica.catch_up()
    assert other.replica.size == 0
    assert other.replica.status().problem is None


def test_a_rejected_newcomer_leaves_no_bytes_either(world: World, node: Node, people: People) -> None:
    vector = people.stranger()
    node.enrol(vector)
    outcome = node.enrolments.enrol(
        [face(vector, crop=CROP)],
        caller=CLIENT,
        external_id=EXTERNAL_ID,
        metadata=METADATA,
        on_duplicate=wire.OnDuplicate.reject,
    )
    assert outcome.status == 409
    with node.store.read() as session:
        rejected = session.get(Subject, outcome.answer.subject_id)
        assert rejected is not None
        assert (rejected.wrapped_key, rejected.sealed_profile, rejected.external_id_index) == (None, None, None)
        assert session.exec(select(Sample).where(Sample.subject_id == rejected.id)).all() == []
    assert node.store.keyring.blind_index("main", EXTERNAL_ID).encode() not in raw_files(world)


@ON_SQLITE
def test_a_reader_that_holds_the_log_delays_the_scrubbing_to_the_next_sweep(world: World, people: People) -> None:
    node, reader = world.node(), world.node()
    mary = enrol_mary(node, people.stranger())
    key = stored_bytes(node, mary.subject_id)["key"]
    with reader.store.read() as session:
        session.exec(select(Subject)).all()
        node.subjects.erase(mary.subject_id, caller=CLIENT)
        assert key in raw_files(world)
        assert waiting(node) == 1
    node.enrolments.sweep()
    assert key not in raw_files(world)
    assert waiting(node) == 0


def test_a_note_goes_with_either_side_of_its_case(node: Node, people: People) -> None:
    vector = people.stranger()
    a = enrol_mary(node, vector)
    b = node.enrol(people.like(vector, 0.8))
    request = DecideRequest(verdict=Verdict.different, version=1, note="Mary has a scar")
    assert node.adjudication.decide(b.case_id or "", request, ANNA).decisions[0].note == "Mary has a scar"
    node.subjects.erase(b.subject_id, caller=CLIENT)
    case = node.open_case(b.case_id or "")
    assert case.decisions[0].note is None
    assert case.pairs == []
    assert node.subjects.get(a.subject_id).id == a.subject_id


def test_an_erased_external_id_can_be_given_again(node: Node, people: People) -> None:
    vector = people.stranger()
    mary = enrol_mary(node, vector)
    node.subjects.erase(mary.subject_id, caller=CLIENT)
    again = enrol_mary(node, vector)
    assert again.subject_id != mary.subject_id
    assert again.duplicates == []
    assert again.seq > mary.seq + 1, "a seq was used twice"


def waiting(node: Node) -> int:
    with node.store.read() as session:
        return len(session.exec(select(Outbox).where(Outbox.topic == scrubbing.SCRUB)).all())


@pytest.fixture(autouse=True)
def no_plain_temporary_files(tmp_path: Path) -> Iterator[None]:
    yield
    left = {path.name for path in tmp_path.iterdir()} - {"ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.key"}
    assert left == set()


# --- one sample ---------------------------------------------------------------------------------------------------


def add(node: Node, subject_id: str, vector: Vector, crop: bytes = b"\xff\xd8more\xff\xd9") -> str:
    """The id of the new sample."""
    (sample,) = node.enrolments.add_samples(subject_id, [face(vector, crop=crop)], caller=CLIENT).answer.sample_ids
    return sample


def test_an_erased_sample_is_gone_from_reading_searching_and_every_index(world: World, people: People) -> None:
    node, other = world.node(), world.node()
    person = people.stranger()
    a = node.enrol(person, people.like(person, 0.7))
    first, second = a.sample_ids
    version = node.subjects.get(a.subject_id).version
    node.subjects.erase_sample(a.subject_id, first, caller=CLIENT, if_match=version)
    shown = node.subjects.get(a.subject_id)
    assert [sample.id for sample in shown.samples] == [second]
    assert shown.version == version + 1
    with pytest.raises(SampleNotFound):
        node.subjects.sample_image(a.subject_id, first, ANNA)
    with pytest.raises(SampleNotFound):
        node.subjects.erase_sample(a.subject_id, first, caller=CLIENT)
    other.replica.catch_up()
    assert (other.replica.size, other.replica.status().problem) == (1, None)
    found = node.recognition.verify_subject(a.subject_id, probe(person), threshold=None, faces_in_image=1)
    assert found.sample_id == second
    event = node.audit.list().items[0]
    assert (event.action, event.object_id, event.detail) == ("sample.erase", a.subject_id, {"sample": first})


@ON_SQLITE
def test_an_erased_sample_leaves_no_bytes_not_even_encrypted_ones(world: World, node: Node, people: People) -> None:
    person = people.stranger()
    a = node.enrol(person)
    sample_id = add(node, a.subject_id, people.like(person, 0.8), crop=CROP)
    with node.store.read() as session:
        sample = session.get_one(Sample, sample_id)
        template = session.exec(select(Template).where(Template.sample_id == sample_id)).one()
    stored = [(sample.sealed_crop or b"")[:500], sample.sealed_details, template.sealed_vector]
    assert all(value in raw_files(world) for value in stored)
    node.subjects.erase_sample(a.subject_id, sample_id, caller=CLIENT)
    assert not any(value in raw_files(world) for value in stored)


def test_the_only_active_sample_is_not_erased_alone(node: Node, people: People) -> None:
    person = people.stranger()
    a = node.enrol(person)
    add(node, a.subject_id, people.stranger())  # held: it counts for nothing
    with pytest.raises(LastSample, match="erase that subject"):
        node.subjects.erase_sample(a.subject_id, a.sample_ids[0], caller=CLIENT)
    assert len(node.subjects.get(a.subject_id).samples) == 2


def test_a_sample_is_erased_under_its_own_version_and_its_own_person_only(node: Node, people: People) -> None:
    one, other = people.strangers(2)
    a, b = node.enrol(one, one), node.enrol(other, other)
    with pytest.raises(PreconditionFailed):
        node.subjects.erase_sample(a.subject_id, a.sample_ids[0], caller=CLIENT, if_match=7)
    with pytest.raises(SampleNotFound):
        node.subjects.erase_sample(b.subject_id, a.sample_ids[0], caller=CLIENT)
    assert len(node.subjects.get(a.subject_id).samples) == 2


def test_a_pair_that_rested_on_the_sample_alone_is_closed_and_its_case_resolved(node: Node, people: People) -> None:
    person, apart = people.strangers(2)
    a = node.enrol(person)
    b = node.enrol(apart, people.like(person, 0.8))
    node.adjudication.claim(b.case_id or "", None, ANNA)
    node.subjects.erase_sample(b.subject_id, b.sample_ids[1], caller=CLIENT)
    assert node.cases(wire.CaseState.resolved)[0].id == b.case_id
    with node.store.read() as session:
        (pair,) = session.exec(select(DuplicatePair)).all()
        case = session.get_one(DuplicateCase, b.case_id)
    assert (pair.state, case.closed_reason, case.lease_holder) == (PairState.closed, "sample_erased", None)
    with pytest.raises(CaseStateConflict):
        node.decide(b.case_id or "", Verdict.same, a.subject_id)


def test_a_pair_with_other_evidence_stays_with_the_best_that_is_left(node: Node, people: People) -> None:
    person = people.stranger()
    node.enrol(person)
    b = node.enrol(people.like(person, 0.95), people.like(person, 0.7))
    before = node.open_case(b.case_id or "")
    assert (before.pairs[0].band, round(before.score, 4)) == ("certain", 0.95)
    node.subjects.erase_sample(b.subject_id, b.sample_ids[0], caller=CLIENT)
    case = node.open_case(b.case_id or "")
    assert case.state is wire.CaseState.open
    assert case.version > before.version
    (pair,) = case.pairs
    assert (pair.band, round(pair.score, 4), round(case.score, 4)) == ("review", 0.7, 0.7)
    assert b.sample_ids[1] in (pair.a.sample_id, pair.b.sample_id)


def test_two_people_whose_pair_lost_its_evidence_are_flagged_by_any_new_one(node: Node, people: People) -> None:
    person, apart = people.strangers(2)
    a = node.enrol(person)
    own, alike = unit(apart + 0.5 * person), unit(person + 0.3 * apart)  # both are of b; only the second reaches a
    b = node.enrol(own, alike)
    assert [candidate.subject_id for candidate in b.duplicates] == [a.subject_id]
    node.subjects.erase_sample(b.subject_id, b.sample_ids[1], caller=CLIENT)
    assert node.cases(wire.CaseState.open) == []
    toward = unit(apart + 0.9 * person)  # less alike than what was erased, and of b beyond doubt
    again = node.enrolments.add_samples(b.subject_id, [face(toward)], caller=CLIENT).answer
    assert [candidate.subject_id for candidate in again.duplicates] == [a.subject_id]
    (case,) = node.cases(wire.CaseState.open)
    assert case.id == again.case_id
    assert set(case.subject_ids) == {a.subject_id, b.subject_id}


def test_evidence_below_the_threshold_of_enrolment_counts_where_a_scan_asked_for_it(node: Node, people: People) -> None:
    person, side = people.strangers(2)
    a = node.enrol(person)
    b = node.enrol(unit(0.8 * person + 0.6 * side), unit(0.5 * person + 0.75**0.5 * side))
    Scans(node.store, CARD, THRESHOLDS).start(wire.ScanRequest(threshold=0.45), SUSI)
    ScanJob(node.store, node.replica, CARD, THRESHOLDS, holder="b1").work()
    node.subjects.erase_sample(b.subject_id, b.sample_ids[0], caller=CLIENT)
    (pair,) = node.open_case(b.case_id or "").pairs
    assert ({pair.a.subject_id, pair.b.subject_id}, round(pair.score, 3)) == ({a.subject_id, b.subject_id}, 0.5)


def test_erasing_a_held_sample_ends_the_question_whom_it_shows(node: Node, people: People) -> None:
    one, other = people.strangers(2)
    a = node.enrol(one)
    held = add(node, a.subject_id, other)
    (case,) = node.cases(wire.CaseState.open)
    node.subjects.erase_sample(a.subject_id, held, caller=CLIENT)
    assert node.cases(wire.CaseState.open) == []
    assert node.open_case(case.id).state is wire.CaseState.resolved
    assert [sample.id for sample in node.subjects.get(a.subject_id).samples] == a.sample_ids


def test_a_held_sample_is_asked_about_beside_the_best_sample_that_is_left(node: Node, people: People) -> None:
    one, other = people.strangers(2)
    a = node.enrol(unit(one + 0.3 * other), one)
    held = add(node, a.subject_id, other)
    (case,) = node.cases(wire.CaseState.open)
    assert node.open_case(case.id).pairs[0].a.sample_id == a.sample_ids[0]
    node.subjects.erase_sample(a.subject_id, a.sample_ids[0], caller=CLIENT)
    (pair,) = node.open_case(case.id).pairs
    assert (pair.a.sample_id, pair.b.sample_id) == (a.sample_ids[1], held)


def test_a_survivors_sample_may_be_on_a_record_that_was_merged_into_it(node: Node, people: People) -> None:
    person = people.stranger()
    a, b = node.enrol(person), node.enrol(people.like(person, 0.95), people.like(person, 0.8))
    node.decide(b.case_id or "", Verdict.same, a.subject_id)
    versions = {s: node.subjects.get(s).version for s in (a.subject_id, b.subject_id)}
    node.subjects.erase_sample(a.subject_id, b.sample_ids[0], caller=CLIENT)
    assert {s: node.subjects.get(s).version for s in versions} == {s: version + 1 for s, version in versions.items()}
    with pytest.raises(LastSample, match=b.subject_id):
        node.subjects.erase_sample(a.subject_id, b.sample_ids[1], caller=CLIENT)
    node.undo(b.case_id or "")
    assert [sample.id for sample in node.subjects.get(b.subject_id).samples] == [b.sample_ids[1]]
