"""The chain: sealed by one, in order, whoever dies; whatever was tampered with is told, and where."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlmodel import Session, col, delete, select, update

from backend.commands.audit import WitnessError, read_witness
from backend.store import audit_chain, job_leases
from backend.store.audit import Asked
from backend.store.audit_chain import AT_ONCE, GENESIS, Sealer, Verdict
from backend.store.tables import AuditRow
from tests.ledger.world import ANNA, CLIENT, Node, People, World


@pytest.fixture
def world(world: World) -> World:
    """Places are counted from the test's own first event: the one of the pin is taken out before anybody seals it."""
    with world.node().store.write() as session:
        session.exec(delete(AuditRow))
    return world


@pytest.fixture
def sealed(node: Node) -> Node:
    """Six events in the chain."""
    for n in range(6):
        node.audit.record(ANNA, "test.event", f"obj_{n}", {"n": n})
    assert Sealer(node.store, "b1").run() == 6
    return node


def rows(node: Node) -> list[AuditRow]:
    with node.store.read() as session:
        return list(session.exec(select(AuditRow).order_by(col(AuditRow.seq))))


@pytest.fixture
def tampered(sealed: Node) -> Iterator[Callable[[Callable[[Session], object]], Verdict]]:
    """Do something to the rows behind the program's back, and verify; all is put back at the end."""
    before = [row.model_dump() for row in rows(sealed)]

    def tamper(do: Callable[[Session], object]) -> Verdict:
        with sealed.store.write() as session:
            do(session)
        return audit_chain.verify(sealed.store)

    yield tamper
    with sealed.store.write() as session:
        session.exec(delete(AuditRow))
        session.add_all([AuditRow(**row) for row in before])


# --- sealing ------------------------------------------------------------------------------------------------------


def test_events_are_written_unsealed_and_sealed_in_their_order(node: Node) -> None:
    for n in range(3):
        node.audit.record(CLIENT, "test.event", f"obj_{n}")
    assert [(row.position, row.hash) for row in rows(node)] == [(None, "")] * 3
    assert audit_chain.head(node.store) == audit_chain.Head(0, GENESIS, None, 3)
    assert audit_chain.unsealed(node.store)[0] == 3
    assert Sealer(node.store, "b1").run() == 3
    assert [row.position for row in rows(node)] == [1, 2, 3]
    first, second, third = rows(node)
    assert (first.previous_hash, second.previous_hash, third.previous_hash) == (GENESIS, first.hash, second.hash)
    head = audit_chain.head(node.store)
    assert (head.position, head.hash, head.waiting) == (3, third.hash, 0)
    assert Sealer(node.store, "b1").run() == 0


def test_more_than_one_batch_is_sealed_in_one_go(node: Node) -> None:
    with node.store.write() as session:
        for n in range(AT_ONCE + 7):
            node.audit.append(session, CLIENT, "test.event", f"obj_{n}")
    assert Sealer(node.store, "b1").run() == AT_ONCE + 7
    assert audit_chain.verify(node.store).position == AT_ONCE + 7


def test_only_one_replica_seals_and_another_takes_over_from_one_that_died(node: Node) -> None:
    node.audit.record(CLIENT, "test.event", "obj_1")
    assert job_leases.hold(node.store, audit_chain.JOB, holder="dead", seconds=0.3) is not None
    assert Sealer(node.store, "b2").run() == 0
    with node.store.write() as session:
        session.exec(update(job_leases.JobLease).values(until=node.store.now(session)))
    assert Sealer(node.store, "b2").run() == 1


def test_who_lost_the_lease_meanwhile_seals_nothing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.audit.record(CLIENT, "test.event", "obj_1")
    monkeypatch.setattr(job_leases, "hold", lambda *_, **__: 0)  # an epoch from before somebody else took it
    assert Sealer(node.store, "b1").run() == 0
    assert rows(node)[0].position is None


def test_sealing_beside_many_writers_leaves_one_chain_without_gaps(world: World, people: People) -> None:
    nodes = world.fleet(3)
    vectors = people.strangers(24)
    stop = threading.Event()

    def seal(number: int) -> None:
        while not stop.is_set():
            Sealer(nodes[number].store, f"b{number}").run()
            stop.wait(0.01)

    sealing = [threading.Thread(target=seal, args=(number,)) for number in range(3)]
    writing = [
        threading.Thread(target=lambda n=n: [nodes[n].enrol(vector) for vector in vectors[n::3]])  # type: ignore[misc]
        for n in range(3)
    ]
    for thread in (*sealing, *writing):
        thread.start()
    for thread in writing:
        thread.join()
    stop.set()
    for thread in sealing:
        thread.join()
    with nodes[0].store.write() as session:
        audit_chain.seal(nodes[0].store, session)
    assert [row.position for row in rows(nodes[0])] == list(range(1, 25))
    assert audit_chain.verify(nodes[0].store).holds


def test_rows_that_the_first_release_chained_by_itself_are_taken_up(node: Node) -> None:
    """It writes both hashes and no place, and follows whatever row it finds last: also one that is not sealed yet."""
    node.audit.record(CLIENT, "test.event", "obj_1")
    with node.store.write() as session:
        session.add(
            AuditRow(
                gallery_id="main", at=node.store.now(session), actor="key_1", actor_kind="key", action="subject.enrol",
                detail={}, previous_hash=GENESIS, hash="f" * 64,
            )
        )  # fmt: skip
    node.audit.record(CLIENT, "test.event", "obj_3")
    assert Sealer(node.store, "b1").run() == 3
    assert audit_chain.verify(node.store).position == 3


# --- tampering ----------------------------------------------------------------------------------------------------

CHANGES: dict[str, object] = {
    "actor": "usr_eve", "actor_kind": "key", "sid": None, "kid": "kid_9", "action": "test.other", "object_id": "obj_9",
    "detail": {"n": 9}, "hash": "0" * 64, "previous_hash": "0" * 64,
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_column_breaks_the_chain_at_its_row(tampered: Callable[..., Verdict], name: str) -> None:
    change = {name: CHANGES[name]}
    verdict = tampered(lambda session: session.exec(update(AuditRow).where(col(AuditRow.position) == 3).values(**change)))
    assert (verdict.holds, verdict.broken_at) == (False, 3)
    assert "changed" in (verdict.why or "")


def test_a_row_taken_out_is_missed(tampered: Callable[..., Verdict]) -> None:
    verdict = tampered(lambda session: session.exec(delete(AuditRow).where(col(AuditRow.position) == 4)))
    assert (verdict.broken_at, verdict.why) == (4, "a row is missing: after place 3 comes 5")


def test_a_row_taken_out_and_its_place_filled_is_told(tampered: Callable[..., Verdict]) -> None:
    def take_out(session: Session) -> None:
        session.exec(delete(AuditRow).where(col(AuditRow.position) == 2))
        for place in range(3, 7):
            session.exec(update(AuditRow).where(col(AuditRow.position) == place).values(position=place - 1))

    verdict = tampered(take_out)
    assert verdict.broken_at == 2
    assert "does not follow" in (verdict.why or "")


def test_two_rows_exchanged_are_told(tampered: Callable[..., Verdict]) -> None:
    def exchange(session: Session) -> None:
        for before, after in ((2, 99), (3, 2), (99, 3)):
            session.exec(update(AuditRow).where(col(AuditRow.position) == before).values(position=after))

    assert tampered(exchange).broken_at == 2


def test_a_cut_off_end_is_told_by_a_witness_alone(sealed: Node, tampered: Callable[..., Verdict]) -> None:
    head = audit_chain.head(sealed.store)
    assert tampered(lambda session: session.exec(delete(AuditRow).where(col(AuditRow.position) > 4))).holds
    verdict = audit_chain.verify(sealed.store, {head.position: head.hash})
    assert verdict.broken_at == 6
    assert "cut off" in (verdict.why or "")


def test_a_chain_written_anew_is_told_by_a_witness(sealed: Node, tampered: Callable[..., Verdict]) -> None:
    witness = {row.position: row.hash for row in rows(sealed) if row.position}

    def write_anew(session: Session) -> None:
        session.exec(update(AuditRow).where(col(AuditRow.position) == 2).values(actor="usr_eve"))
        session.exec(update(AuditRow).values(position=None))
        audit_chain.seal(sealed.store, session)

    assert tampered(write_anew).holds
    verdict = audit_chain.verify(sealed.store, witness)
    assert verdict.broken_at == 2
    assert "written anew" in (verdict.why or "")


def test_heads_given_up_by_a_restore_are_believed_where_the_chain_itself_says_so(sealed: Node) -> None:
    """A backup of place 4 was restored over a ledger that had come to place 6 with another hash."""
    witness = {row.position: row.hash for row in rows(sealed) if row.position}
    detail = {"backup_position": 6, "replaced_position": 9, "replaced_hash": "9" * 64}
    sealed.audit.record(ANNA, audit_chain.RESTORED, None, detail)
    Sealer(sealed.store, "b1").run()
    given_up = {7: "7" * 64, 8: "8" * 64, 9: "9" * 64}
    verdict = audit_chain.verify(sealed.store, witness | given_up)
    assert (verdict.holds, verdict.witnessed, verdict.given_up, verdict.restores) == (True, 6, 3, [7])
    for wrong in ({9: "a" * 64}, {10: "b" * 64}, {3: "c" * 64}):
        assert not audit_chain.verify(sealed.store, witness | wrong).holds


# --- asking -------------------------------------------------------------------------------------------------------


def test_conditions_are_exact_and_all_must_hold(node: Node) -> None:
    node.audit.record(ANNA, "case.decide", "case_1")
    node.audit.record(CLIENT, "case.decide", "case_2")
    node.audit.record(ANNA, "sample.view", "smp_1")
    middle = node.audit.list().items[1].at
    found = {
        Asked(actor=ANNA.id): ["smp_1", "case_1"],
        Asked(action="case.decide"): ["case_2", "case_1"],
        Asked(actor=ANNA.id, action="case.decide"): ["case_1"],
        Asked(object_id="case_2"): ["case_2"],
        Asked(before=middle): ["case_1"],
        Asked(object_id="case_9"): [],
    }
    for asked, objects in found.items():
        page = node.audit.list(asked=asked)
        assert [event.object_id for event in page.items] == objects
        assert page.total == len(objects)
    assert node.audit.list(asked=Asked(after=middle)).total >= 2


@pytest.mark.parametrize(
    "line",
    [
        "2026-01-02T03:04:05Z INFO backend.store.audit_chain audit head position=12 hash={hash}",
        '{{"time": "2026-01-02T03:04:05.123Z", "level": "INFO", "message": "audit head", "position": 12, "hash": "{hash}"}}',
        "12 {hash}",
    ],
)
def test_a_witness_is_a_log_or_plain_lines(tmp_path: Path, line: str) -> None:
    file = tmp_path / "witness"
    file.write_text("2026-01-02 INFO backend.app serving port=8000\n" + line.format(hash="ab" * 32) + "\n")
    assert read_witness(file) == {12: "ab" * 32}


def test_a_witness_that_names_no_head_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("nothing\n")
    with pytest.raises(WitnessError, match="names no head"):
        read_witness(tmp_path / "empty")
