from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from backend import wire
from backend.enrolment import Idempotency
from backend.store import scrubbing
from backend.store.tables import Enrolment, Outbox, Sample, Subject, Template
from backend.wire import DecideRequest, Verdict
from tests.ledger.world import ANNA, CLIENT, ON_SQLITE, Node, People, World, face

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
