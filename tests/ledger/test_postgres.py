"""What is PostgreSQL's own: durability that is asserted, its clock and lock, announcements, and a server that goes away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from backend.errors import DatabaseAway, NotReady
from backend.gallery.candidates import best_comparison
from backend.store import gallery_log, postgres, schema
from backend.store.backup import back_up
from backend.store.database import Store
from backend.store.keyring import Keyring
from backend.store.migration import upgrade
from backend.store.restore import restore
from tests.ledger.world import MODEL, ON_POSTGRESQL, Node, People, World, wait_until
from tests.postgres import PostgresServer, postgres_server


@pytest.fixture
def store(world: World) -> Iterator[Store]:
    opened = Store.open(world.url, keyring=Keyring.load(world.key_file))
    yield opened
    opened.close()


def database_name(world: World) -> str:
    return world.url.rsplit("/", 1)[1]


def as_owner(world: World, statement: str) -> None:
    """From another database of the same server, which settings of this one do not touch."""
    with psycopg.connect(world.url.rsplit("/", 1)[0] + "/postgres", autocommit=True) as connection:
        connection.execute(statement)


# --- durability ---------------------------------------------------------------------------------------------------


@ON_POSTGRESQL
def test_commits_are_on_the_disk_whatever_the_role_prefers(world: World, store: Store) -> None:
    as_owner(world, f'ALTER DATABASE "{database_name(world)}" SET synchronous_commit = off')
    with store.read() as session:
        assert session.connection().execute(text("SHOW synchronous_commit")).scalar_one() == "on"


def test_a_server_without_fsync_is_refused_in_a_sentence_by_everything() -> None:
    with postgres_server() as server:
        server.stop()
        with (server.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("fsync = off\n")
        server.start()
        unsafe = Store.open(server.new_database(), keyring=Keyring(bytes(32)))
        for use in (unsafe.ping, unsafe.schema_state, unsafe.pinned_model):
            with pytest.raises(NotReady, match="fsync=off where on is needed"):
                use()
        with pytest.raises(NotReady, match="fsync"), unsafe.write():
            pass
        with pytest.raises(NotReady, match="fsync"):
            upgrade(server.new_database())
        unsafe.close()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_every_name_is_refused_in_a_sentence(postgres: PostgresServer, encoding: str) -> None:
    url = postgres.new_database(encoding=encoding)
    with pytest.raises(NotReady, match=f"encoded in {encoding}, which cannot hold every name"):
        upgrade(url)
    postgres.drop(url)


# --- order, moments, and the clock --------------------------------------------------------------------------------


@ON_POSTGRESQL
def test_numbers_of_the_log_become_visible_in_order_under_racing_writers(world: World, people: People) -> None:
    """A reader that has seen `seq` n never later finds a smaller one that it had not seen: replicas would skip it for ever."""
    nodes = world.fleet(3)
    vectors = people.strangers(36)
    seen: set[int] = set()
    late: list[int] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            with nodes[0].store.read() as session:
                found = {seq for (seq,) in session.connection().execute(text("SELECT seq FROM gallery_change"))}
            late.extend(seq for seq in found - seen if seen and seq < max(seen))
            seen.update(found)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda i: nodes[i % 3].enrol(vectors[i]), range(len(vectors))))
    stop.set()
    watcher.join()
    assert len(seen) >= len(vectors) - 1
    assert late == []


@ON_POSTGRESQL
def test_a_snapshot_sees_one_moment_and_a_read_transaction_each_statement_its_own(world: World, store: Store) -> None:
    writer = Store.open(world.url, keyring=Keyring.load(world.key_file))

    def change(value: str) -> None:
        with writer.write() as session:
            writer.gallery(session).epoch = value

    change("before")
    with store.snapshot() as session:
        assert store.gallery(session).epoch == "before"
        change("after")
        session.expire_all()
        assert store.gallery(session).epoch == "before"
    with store.read() as session:
        assert store.gallery(session).epoch == "after"
        change("later")
        session.expire_all()
        assert store.gallery(session).epoch == "later"
    writer.close()


@ON_POSTGRESQL
def test_the_time_of_a_transaction_is_when_it_had_the_lock(world: World, store: Store) -> None:
    """`now()` is when it began to wait: a lease taken by that would have run out already."""

    def waited() -> datetime:
        with store.write() as session:
            return store.now(session)

    with ThreadPoolExecutor(1) as pool, psycopg.connect(world.url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (postgres.LEDGER_LOCK,))
        late = pool.submit(waited)
        with psycopg.connect(world.url, autocommit=True) as looking:
            wait_until(lambda: looking.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone() is not None)
        held_until = other.execute("SELECT clock_timestamp()").fetchone()
        other.commit()
        assert held_until is not None
        assert late.result(10) > held_until[0]


@ON_POSTGRESQL
def test_what_rolls_back_leaves_a_gap_in_the_log_and_nothing_else(node: Node, people: People) -> None:
    node.enrol(people.stranger())

    def fail() -> None:
        with node.store.write() as session:
            gallery_log.append_add(session, gallery_id="main", template_id="tpl_1", model_id=MODEL, at=node.store.now(session))
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail()
    after = node.enrol(people.stranger())
    assert after.seq == 3
    node.replica.catch_up()
    assert node.replica.size == 2


# --- how long a statement may take --------------------------------------------------------------------------------

SLEEPY = "CREATE FUNCTION slow() RETURNS {kind} LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); {end} END $$"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections made from now on cancel a statement after a fifth of a second."""
    monkeypatch.setattr(postgres, "STATEMENT_TIMEOUT_S", 0.2)


@ON_POSTGRESQL
def test_a_restore_takes_its_time_where_a_request_is_cut_off(
    world: World, node: Node, people: People, tmp_path: Path, impatient: None
) -> None:
    kept = node.enrol(people.stranger()).subject_id
    back_up(node.store, tmp_path / "one.backup")
    with psycopg.connect(world.url, autocommit=True) as connection:
        connection.execute(SLEEPY.format(kind="trigger", end="RETURN NULL;"))
        for event in ("DELETE", "INSERT"):
            connection.execute(f"CREATE TRIGGER {event} AFTER {event} ON subject FOR EACH STATEMENT EXECUTE FUNCTION slow()")
    hurried = Store.open(world.url, keyring=Keyring.load(world.key_file))
    with pytest.raises(DatabaseAway), hurried.write() as session:
        session.connection().execute(text("DELETE FROM subject WHERE false"))
    restore(hurried, tmp_path / "one.backup", compare=partial(best_comparison, world.card.metric), replace=True)
    with pytest.raises(DatabaseAway), hurried.write() as session:  # over the same connection: it is cut off again
        session.connection().execute(text("SELECT pg_sleep(0.5)"))
    hurried.close()
    assert node.subjects.get(kept).id == kept


@ON_POSTGRESQL
def test_a_migration_takes_its_time(database_url: str, impatient: None) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SLEEPY.format(kind="event_trigger", end=""))
        connection.execute("CREATE EVENT TRIGGER slow ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION slow()")
    assert upgrade(database_url).after == schema.known_revisions()[-1]


# --- away and back ------------------------------------------------------------------------------------------------


@ON_POSTGRESQL
def test_a_database_that_takes_no_writes_says_so_and_still_answers(world: World, node: Node, people: People) -> None:
    node.enrol(people.stranger())
    as_owner(world, f'ALTER DATABASE "{database_name(world)}" SET default_transaction_read_only = on')
    node.store.close()  # new connections meet the new setting
    with pytest.raises(DatabaseAway, match="takes no writes"):
        node.enrol(people.stranger())
    assert node.subjects.list().total == 1
    as_owner(world, f'ALTER DATABASE "{database_name(world)}" SET default_transaction_read_only = off')
    node.store.close()
    node.enrol(people.stranger())


@ON_POSTGRESQL
def test_a_wrong_name_or_database_is_told_apart_from_a_server_that_is_away(world: World, postgres: PostgresServer) -> None:
    for url in (postgres.url("no_such_database"), world.url.replace("postgres@", "nobody_there@")):
        stranger = Store.open(url, keyring=Keyring(bytes(32)))
        with pytest.raises(DatabaseAway, match="refuses this program's name, password or database"):
            stranger.ping()
        stranger.close()
    away = Store.open("postgresql://postgres@127.0.0.1:1/x", keyring=Keyring(bytes(32)))
    with pytest.raises(DatabaseAway, match="does not answer"):
        away.ping()
    away.close()


def test_a_wrong_password_is_named_as_one() -> None:
    with postgres_server() as server:
        url = server.new_database()
        as_admin = psycopg.connect(url, autocommit=True)
        as_admin.execute("CREATE ROLE clerk LOGIN PASSWORD 'right'")
        as_admin.close()
        access = server.data / "pg_hba.conf"
        access.write_text("host all clerk 127.0.0.1/32 scram-sha-256\n" + access.read_text())
        server.stop()
        server.start()
        clerk = url.replace("postgres@", "clerk:wrong@")
        refused = Store.open(clerk, keyring=Keyring(bytes(32)))
        with pytest.raises(DatabaseAway, match="name, password or database") as told:
            refused.ping()
        assert "wrong" not in str(told.value)
        refused.close()


def test_a_server_that_stops_is_noticed_at_once_and_used_again_without_a_restart(people: People, tmp_path: Path) -> None:
    with postgres_server() as server:
        world = World(tmp_path, database_url=server.new_database()).create()
        node = world.node()
        node.replica.start()
        person = people.stranger()
        node.enrol(person)
        server.stop()
        for use in (node.store.ping, node.subjects.list, node.enrolments.sweep, lambda: node.enrol(people.stranger())):
            with pytest.raises(DatabaseAway):
                use()
        wait_until(lambda: node.replica.status().lag_s > 0.5)
        server.start()
        node.store.ping()
        again = node.enrol(people.like(person, 0.8))
        assert again.case_id is not None
        wait_until(lambda: node.replica.status().lag_s == 0)
        world.close()


# --- announcements ------------------------------------------------------------------------------------------------


@ON_POSTGRESQL
def test_an_announcement_wakes_at_once_and_listening_survives_the_end_of_its_connection(world: World, people: People) -> None:
    node, other = world.node(), world.node()
    woken, stopping = threading.Event(), threading.Event()
    listener = threading.Thread(target=other.store.listen, args=(woken.set, stopping))
    listener.start()
    try:
        wait_until(woken.is_set)  # each new connection wakes, too
        for end_the_connection in (False, True):
            woken.clear()
            if end_the_connection:
                ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = "
                as_owner(world, f"{ended}'{database_name(world)}'")
                wait_until(woken.is_set)
                woken.clear()
            node.enrol(people.stranger())
            wait_until(woken.is_set, 5)
    finally:
        stopping.set()
        listener.join(10)
    assert not listener.is_alive()


@ON_POSTGRESQL
def test_a_transaction_that_does_not_lengthen_the_log_announces_nothing(world: World, store: Store) -> None:
    with psycopg.connect(world.url, autocommit=True) as connection:
        connection.execute("LISTEN face_auth_gallery")
        with store.write() as session:
            store.gallery(session).active_templates += 0
        assert list(connection.notifies(timeout=0.3)) == []
