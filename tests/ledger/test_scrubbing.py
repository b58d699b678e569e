"""The scrub after an erasure counts as done when nothing erased is left as a row, and not before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import psycopg
import pytest

from backend.errors import DatabaseAway, SubjectNotFound
from backend.gallery.candidates import best_comparison
from backend.store import postgres, vacuum
from backend.store.backup import back_up
from backend.store.database import Store
from backend.store.key_file import KeyFileWatch, add_key
from backend.store.keyring import Keyring
from backend.store.restore import restore
from backend.store.rotation import RotationError, retire, rotate
from backend.wire import OnDuplicate
from tests.ledger.test_erasure import enrol_mary, stored_bytes, waiting
from tests.ledger.world import CARD, CLIENT, ON_POSTGRESQL, Node, People, World, face
from tests.postgres_pages import rows_with


def away() -> bool:
    raise DatabaseAway()


def test_an_erasure_that_was_committed_succeeds_though_the_database_goes_away_before_the_scrub(
    world: World, node: Node, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = people.stranger()
    mary = enrol_mary(node, look)
    (second,) = node.enrolments.add_samples(mary.subject_id, [face(look)], caller=CLIENT).answer.sample_ids
    with monkeypatch.context() as patched:
        patched.setattr(node.store, "scrub", away)
        assert node.outcome(look, on_duplicate=OnDuplicate.reject).status == 409
        node.subjects.erase_sample(mary.subject_id, second, caller=CLIENT)
        node.subjects.erase(mary.subject_id, caller=CLIENT)
    with pytest.raises(SubjectNotFound):
        node.subjects.get(mary.subject_id)
    assert waiting(node) == 3
    node.enrolments.sweep()
    assert waiting(node) == 0


@ON_POSTGRESQL
def test_who_asks_for_an_erasure_does_not_wait_for_a_vacuum(world: World, node: Node, people: People) -> None:
    mary, before = enrol_mary(node, people.stranger()), vacuums(world)
    node.subjects.erase(mary.subject_id, caller=CLIENT)
    assert (waiting(node), vacuums(world)) == (1, before)
    node.enrolments.sweep()
    assert waiting(node) == 0


def test_after_a_restore_what_was_there_before_is_scrubbed(
    world: World, node: Node, people: People, tmp_path_factory: pytest.TempPathFactory
) -> None:
    backup = tmp_path_factory.mktemp("backup") / "ledger.backup"
    back_up(node.store, backup)
    enrol_mary(node, people.stranger())
    restore(node.store, backup, compare=partial(best_comparison, CARD.metric), replace=True)
    assert waiting(node) == 1
    node.enrolments.sweep()
    assert waiting(node) == 0


@contextmanager
def session_of_another(world: World, *statements: str) -> Iterator[None]:
    """Somebody else's transaction, open for as long as the block lasts."""
    with psycopg.connect(world.url) as connection:
        for statement in statements:
            connection.execute(statement)
        yield


READING = ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM subject")
HOLDERS = {
    "a backup": READING,
    "a running autovacuum": ("LOCK TABLE sample IN SHARE UPDATE EXCLUSIVE MODE",),
    "a writer that does not end": ("CREATE TABLE made_by_another ()",),
}


@ON_POSTGRESQL
@pytest.mark.parametrize("statements", HOLDERS.values(), ids=HOLDERS)
def test_as_long_as_somebody_keeps_the_dead_rows_the_scrub_is_not_done(
    world: World, node: Node, people: People, statements: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vacuum, "WAIT_S", 0.1)
    mary = enrol_mary(node, people.stranger())
    stored = stored_bytes(node, mary.subject_id)
    assert set(rows_with(world.url, stored.values())) >= {"subject", "sample", "template"}  # so would they be found
    with session_of_another(world, *statements):
        node.subjects.erase(mary.subject_id, caller=CLIENT)
        node.enrolments.sweep()
        assert rows_with(world.url, stored.values()) != []
        assert waiting(node) == 1
    node.enrolments.sweep()
    assert rows_with(world.url, stored.values()) == []
    assert waiting(node) == 0


@ON_POSTGRESQL
def test_a_prepared_transaction_keeps_the_dead_rows_too(world: World, node: Node, people: People) -> None:
    mary = enrol_mary(node, people.stranger())
    with psycopg.connect(world.url, autocommit=True) as connection:
        connection.execute("BEGIN; CREATE TABLE made_by_another (); PREPARE TRANSACTION 'forgotten'")
        try:
            node.subjects.erase(mary.subject_id, caller=CLIENT)
            assert node.store.scrub() is False
        finally:
            connection.execute("ROLLBACK PREPARED 'forgotten'")
    assert node.store.scrub() is True


@ON_POSTGRESQL
def test_who_may_not_see_other_peoples_sessions_sees_that_they_read(world: World, node: Node, people: People) -> None:
    """The program's role need not be a superuser, and the backup may run as another."""
    with psycopg.connect(world.url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS clerk")
        connection.execute("CREATE ROLE clerk LOGIN")
        connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk")
    store = Store.open(world.url.replace("postgres@", "clerk@"), keyring=Keyring.load(world.key_file))
    try:
        with node.store._database.engine.connect() as connection:  # type: ignore[attr-defined]
            assert vacuum._nobody_sees_the_dead(connection)
        with session_of_another(world, *READING), psycopg.connect(world.url, autocommit=True) as other:
            other.execute("CREATE TABLE made_meanwhile ()")
            with store._database.engine.connect() as connection:  # type: ignore[attr-defined]
                assert not vacuum._nobody_sees_the_dead(connection)
        assert store.scrub() is False, "a table that it may not vacuum counts as done"
    finally:
        store.close()
        with psycopg.connect(world.url, autocommit=True) as connection:
            connection.execute("DROP OWNED BY clerk; DROP ROLE clerk")


@ON_POSTGRESQL
def test_a_reader_that_stays_costs_a_look_and_no_vacuum(world: World, node: Node, people: People) -> None:
    mary = enrol_mary(node, people.stranger())
    with session_of_another(world, *READING):
        node.subjects.erase(mary.subject_id, caller=CLIENT)
        before = vacuums(world)
        for _ in range(2):
            assert node.store.scrub() is False
        assert vacuums(world) == before
    assert node.store.scrub() is True
    assert vacuums(world) > before


def vacuums(world: World) -> int:
    with psycopg.connect(world.url) as connection:
        (count,) = connection.execute("SELECT sum(vacuum_count) FROM pg_stat_user_tables").fetchone() or (0,)
    return int(count)


@ON_POSTGRESQL
def test_a_busy_server_is_scrubbed_between_its_transactions(world: World, people: People) -> None:
    """Somebody is always in the midst of one; none of them lasts."""
    node, stop = world.node(), threading.Event()
    mary = enrol_mary(node, people.stranger())

    def work() -> None:
        while not stop.is_set():
            with psycopg.connect(world.url) as connection:
                connection.execute("CREATE TEMPORARY TABLE busy ()")
                connection.execute("SELECT pg_sleep(0.02), count(*) FROM subject")

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(work) for _ in range(4)]
        try:
            node.subjects.erase(mary.subject_id, caller=CLIENT)
            assert node.store.scrub() is True
        finally:
            stop.set()
        for worker in workers:
            worker.result()


@ON_POSTGRESQL
def test_a_long_vacuum_is_not_cut_by_the_limit_for_statements(
    world: World, node: Node, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    for person in people.strangers(20):
        node.enrol(person)
    with psycopg.connect(world.url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f'ALTER DATABASE "{name}" SET vacuum_cost_delay = 20')
        connection.execute(f'ALTER DATABASE "{name}" SET vacuum_cost_limit = 1')
    monkeypatch.setattr(postgres, "STATEMENT_TIMEOUT_S", 0.1)
    store = Store.open(world.url, keyring=Keyring.load(world.key_file))
    try:
        with pytest.raises(DatabaseAway), store.read() as session:
            session.connection().exec_driver_sql("SELECT pg_sleep(0.3)")
        assert store.scrub() is True
        with pytest.raises(DatabaseAway), store.read() as session:
            session.connection().exec_driver_sql("SELECT pg_sleep(0.3)")
    finally:
        store.close()


@ON_POSTGRESQL
def test_an_old_key_is_retired_only_when_nothing_that_it_wrapped_is_left(world: World, node: Node, people: People) -> None:
    node.enrol(people.stranger())
    add_key(world.key_file)
    KeyFileWatch(node.store, world.key_file).look()
    with session_of_another(world, *READING):
        rotate(node.store)
        with pytest.raises(RotationError, match="a reader keeps the old wrapped keys"):
            retire(node.store)
    assert retire(node.store) == 1
