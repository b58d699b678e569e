"""The chain followed in stretches: the same verdict as in one go, whatever was tampered with, also between two."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import event
from sqlmodel import Session, col, delete, update

from backend.errors import BadCursor
from backend.store import audit_chain
from backend.store.audit_chain import Sealer
from backend.store.audit_stretch import CHUNK, Stretch, follow
from backend.store.paging import encode_cursor
from backend.store.tables import AuditRow
from tests.ledger.world import ANNA, Node, World

LONG = 2 * CHUNK + 7


@pytest.fixture
def world(world: World) -> World:
    with world.node().store.write() as session:
        session.exec(delete(AuditRow))
    return world


@pytest.fixture
def chain(node: Node) -> Iterator[Node]:
    """Two full chunks and a little; whatever a test did to it is taken away at its end."""
    with node.store.write() as session:
        for n in range(LONG):
            node.audit.append(session, ANNA, "test.event", f"obj_{n}", {"n": n})
    assert Sealer(node.store, "b1").run() == LONG
    yield node
    with node.store.write() as session:
        session.exec(delete(AuditRow))


def whole(node: Node) -> list[Stretch]:
    """Each stretch of one chunk: its time is over at once."""
    stretches = [follow(node.store, budget_s=0)]
    while stretches[-1].next is not None:
        stretches.append(follow(node.store, stretches[-1].next, budget_s=0))
    return stretches


def change(node: Node, do: Callable[[Session], object]) -> None:
    with node.store.write() as session:
        do(session)


def test_a_whole_chain_is_followed_in_one_stretch_or_in_several(chain: Node) -> None:
    head = audit_chain.head(chain.store)
    once = follow(chain.store)
    assert (once.checked, once.next, once.verdict.holds) == (LONG, None, True)
    assert (once.verdict.position, once.verdict.hash) == (head.position, head.hash)
    several = whole(chain)
    assert [one.checked for one in several] == [CHUNK, CHUNK, 7]
    assert several[-1].verdict == once.verdict


def test_an_empty_chain_holds(node: Node) -> None:
    assert follow(node.store) == Stretch()


@pytest.mark.parametrize("place", [1, CHUNK, CHUNK + 1, LONG])
def test_a_changed_row_is_found_in_whichever_stretch_it_is(chain: Node, place: int) -> None:
    change(chain, lambda s: s.exec(update(AuditRow).where(col(AuditRow.position) == place).values(actor="usr_eve")))
    last = whole(chain)[-1]
    assert (last.verdict.broken_at, last.next) == (place, None)
    assert last.verdict.why is not None
    assert last.verdict.why.startswith("the row was changed")
    told = audit_chain.verify(chain.store)
    assert (told.broken_at, told.why) == (last.verdict.broken_at, last.verdict.why)


def test_a_row_that_was_taken_out_at_the_seam_of_two_stretches_is_missed(chain: Node) -> None:
    first = follow(chain.store, budget_s=0)
    change(chain, lambda s: s.exec(delete(AuditRow).where(col(AuditRow.position) == CHUNK + 1)))
    second = follow(chain.store, first.next)
    assert (second.verdict.broken_at, second.checked) == (CHUNK + 1, 0)


def test_rows_that_were_written_anew_between_two_stretches_do_not_follow(chain: Node) -> None:
    first = follow(chain.store, budget_s=0)

    def anew(session: Session) -> None:
        session.exec(update(AuditRow).where(col(AuditRow.position) == CHUNK).values(object_id="obj_x"))
        session.exec(update(AuditRow).values(position=None))
        while audit_chain.seal(chain.store, session):
            pass

    change(chain, anew)
    assert audit_chain.verify(chain.store).holds, "in one go nobody notices without a witness"
    assert follow(chain.store, first.next).verdict.broken_at == CHUNK + 1


def test_an_end_that_was_cut_off_between_two_stretches_is_told(chain: Node) -> None:
    first = follow(chain.store, budget_s=0)
    change(chain, lambda s: s.exec(delete(AuditRow).where(col(AuditRow.position) >= CHUNK - 2)))
    second = follow(chain.store, first.next)
    assert second.verdict.broken_at == CHUNK - 2
    assert second.verdict.why is not None
    assert "its end was cut off" in second.verdict.why


def test_going_on_at_the_very_end_says_that_it_is_the_end(chain: Node) -> None:
    head = audit_chain.head(chain.store)
    last = follow(chain.store, encode_cursor(head.position, head.hash))
    assert (last.verdict.holds, last.checked, last.next) == (True, 0, None)


def test_events_that_are_sealed_while_it_is_followed_are_no_cut(chain: Node) -> None:
    """The last chunk was full: the next stretch finds nothing more, and a moment later there is something."""
    head, engine = audit_chain.head(chain.store), chain.store._database.engine
    sealed: list[int] = []

    def seal_another(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "position > " in statement and not sealed:
            sealed.append(0)
            with chain.store.write() as session:
                chain.audit.append(session, ANNA, "test.event", "obj_x", {})
            sealed[0] = Sealer(chain.store, "b1").run()

    event.listen(engine, "after_cursor_execute", seal_another)
    try:
        found = follow(chain.store, encode_cursor(head.position, head.hash))
    finally:
        event.remove(engine, "after_cursor_execute", seal_another)
    assert sealed == [1]
    assert found.verdict.holds, found.verdict.why


def test_the_time_that_a_stretch_has_ends_it_after_the_chunk_that_was_begun(chain: Node) -> None:
    clock = iter([0.0, 1.0, 3.0])
    stretch = follow(chain.store, budget_s=2.0, monotonic=lambda: next(clock))
    assert stretch.checked == 2 * CHUNK
    assert stretch.next is not None


@pytest.mark.parametrize("cursor", ["nonsense", encode_cursor(1), encode_cursor(-1, "x"), encode_cursor(2**63, "x")])
def test_a_cursor_of_somebody_elses_is_refused(node: Node, cursor: str) -> None:
    with pytest.raises(BadCursor):
        follow(node.store, cursor)
