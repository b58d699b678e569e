from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, event, text

from backend.errors import DatabaseAway, NotReady
from backend.store import schema, sqlite
from backend.store.database import Store
from backend.store.dialect import UnsafeDatabase
from backend.store.keyring import DataKey, Keyring, KeyringError, fresh_key
from backend.store.migration import MigrationError, Upgrade, pin, upgrade
from backend.store.tables import Gallery
from backend.store.tables.base import Table
from tests.ledger.world import CARD, MODEL, ON_SQLITE, Node, People, World


def open_store(world: World, keyring: Keyring | None = None) -> Store:
    return Store.open(world.url, keyring=keyring or Keyring.load(world.key_file))


# --- migrations ---------------------------------------------------------------------------------------------------


def test_migrating_from_empty_reaches_the_head_and_migrating_again_changes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert upgrade(world.url) == Upgrade(before=None, after=schema.known_revisions()[-1])
    before = (tmp_path / "ledger.db").read_bytes()
    again = upgrade(world.url)
    assert again.before == again.after == schema.known_revisions()[-1]
    assert (tmp_path / "ledger.db").read_bytes() == before
    assert (tmp_path / "ledger.db").stat().st_mode & 0o777 == 0o600


def test_the_migrations_make_exactly_the_tables_that_the_program_uses(world: World) -> None:
    store = open_store(world)
    with store.read() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []
    store.close()


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.store import migration

    def upgrade_half(*_: object) -> None:
        raise RuntimeError("the power fails")

    world = World(tmp_path)
    original = migration.command.upgrade

    def then_fail(config: object, target: str) -> None:
        original(config, target)  # type: ignore[arg-type]
        upgrade_half()

    monkeypatch.setattr(migration.command, "upgrade", then_fail)
    with pytest.raises(RuntimeError, match="power"):
        upgrade(world.url)
    monkeypatch.undo()
    assert upgrade(world.url).before is None


def test_every_table_and_every_unique_key_carries_the_gallery() -> None:
    for table in Table.metadata.tables.values():
        if table.name == "gallery":
            continue
        assert "gallery_id" in table.columns, table.name
        for constraint in table.constraints:
            if type(constraint).__name__ == "UniqueConstraint":
                assert "gallery_id" in constraint.columns, f"{table.name}: {constraint.name}"


def test_a_database_without_schema_says_so_and_is_not_made_by_opening_it(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'none.db'}", keyring=Keyring(bytes(32)))
    with pytest.raises(DatabaseAway):
        store.ping()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "none.db").touch()
    assert store.schema_state().ok is False
    assert "migrate" in store.schema_state().sentence
    with pytest.raises(NotReady, match="migrate"):
        store.pinned_model()
    store.close()


def test_a_program_that_is_too_old_for_the_database_is_not_ready_and_writes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(world)
    assert store.schema_state().ok
    with store.write() as session:
        store.gallery(session).min_app_level = schema.APP_LEVEL
    monkeypatch.setattr(schema, "APP_LEVEL", schema.APP_LEVEL - 1)
    assert not store.schema_state().ok
    assert "newer program" in store.schema_state().sentence
    with pytest.raises(NotReady, match="newer program"), store.write():
        pytest.fail("a program that is too old was let write")
    store.close()
    monkeypatch.undo()


def test_a_newer_revision_that_still_admits_this_program_is_served(world: World) -> None:
    store = open_store(world)
    with store.write() as session:
        session.connection().execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert store.schema_state().ok
    store.close()
    with pytest.raises(MigrationError, match="9999"):
        upgrade(world.url)


def test_a_database_that_is_too_old_for_the_program_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "known_revisions", lambda: ("0001", "0002"))
    monkeypatch.setattr(schema, "LOWEST_REVISION", "0002")
    assert "migrate" in (schema.range_trouble("0001", 1) or "")
    assert schema.range_trouble("0002", 1) is None


def test_the_gallery_keeps_the_model_that_it_was_pinned_to(world: World) -> None:
    keyring = Keyring.load(world.key_file)
    assert pin(world.url, keyring=keyring, model_id=MODEL) is False
    with pytest.raises(MigrationError, match="pinned"):
        pin(world.url, keyring=keyring, model_id="another")
    store = open_store(world)
    assert store.pinned_model() == CARD.model_id
    store.close()


# --- keys of the file ---------------------------------------------------------------------------------------------


def test_a_replica_with_another_key_file_is_noticed_before_it_reads_anything(world: World, people: People) -> None:
    world.node().enrol(people.stranger())
    store = open_store(world, Keyring(bytes(range(32))))
    state = store.schema_state()
    assert not state.ok
    assert "key file" in state.sentence
    store.close()


def test_a_key_file_is_readable_by_its_owner_alone_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "some" / "key"
    made = Keyring.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Keyring.load(path).check_value == made.check_value
    with pytest.raises(FileExistsError):
        Keyring.create(path)


@pytest.mark.parametrize("content", ["", "hello", "face-auth-key-v1:", "face-auth-key-v1:!!!!", "face-auth-key-v1:AAAA"])
def test_a_damaged_key_file_is_refused_with_a_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    with pytest.raises(KeyringError):
        Keyring.load(path)


def test_a_ciphertext_opens_only_in_its_own_place_and_unchanged() -> None:
    keyring = Keyring(bytes(32))
    wrapped, key = keyring.new_subject_key("sub_1")
    sealed = key.seal(b"face", context="crop:smp_1")
    assert keyring.subject_key("sub_1", wrapped).open(sealed, context="crop:smp_1") == b"face"
    for attempt in (
        lambda: key.open(sealed, context="crop:smp_2"),
        lambda: key.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), context="crop:smp_1"),
        lambda: key.open(b"", context="crop:smp_1"),
        lambda: keyring.subject_key("sub_2", wrapped),
        lambda: Keyring(bytes(range(32))).subject_key("sub_1", wrapped),
    ):
        with pytest.raises(KeyringError):
            attempt()


def test_a_data_key_of_no_subject_is_bound_to_what_it_is_for() -> None:
    keyring = Keyring(bytes(32))
    fresh = fresh_key()
    wrapped, key = keyring.wrapped("index-snapshot:snap_1", fresh), DataKey(fresh)
    sealed = key.seal(b"vectors", context="chunk 1")
    assert keyring.key("index-snapshot:snap_1", wrapped).open(sealed, context="chunk 1") == b"vectors"
    assert keyring.wrapped("index-snapshot:snap_1", fresh) != wrapped
    for attempt in (
        lambda: keyring.key("index-snapshot:snap_2", wrapped),
        lambda: Keyring(bytes(range(32))).key("index-snapshot:snap_1", wrapped),
        lambda: keyring.key("index-snapshot:snap_1", wrapped[:-1]),
        lambda: key.open(sealed, context="chunk 2"),
    ):
        with pytest.raises(KeyringError):
            attempt()


# --- transactions -------------------------------------------------------------------------------------------------


def test_everything_of_one_write_carries_the_same_time_and_the_next_a_later_one(world: World) -> None:
    store = open_store(world)
    with store.write() as session:
        first = store.now(session)
        time.sleep(0.01)
        assert store.now(session) == first
    with store.write() as session:
        assert store.now(session) > first
    store.close()


def test_the_row_that_a_write_begins_with_is_the_sessions_own(world: World) -> None:
    """Changed as any other row, and undone with the transaction."""
    store = open_store(world)
    with store.write() as session:
        assert session.get(Gallery, "main") is store.gallery(session)
        store.gallery(session).active_templates = 7
    with suppress(RuntimeError), store.write() as session:
        store.gallery(session).active_templates += 1
        session.flush()
        raise RuntimeError
    with store.write() as session:
        assert store.gallery(session).active_templates == 7
        store.gallery(session).active_templates = 0
    store.close()


def test_an_enrolment_takes_no_more_statements_than_it_needs(node: Node, people: People) -> None:
    """Each holds the interpreter's lock, and most of them the ledger's too."""
    node.enrol(people.stranger())
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        node.enrol(people.stranger())
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    ours = [one for one in statements if one.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")) and "pg_" not in one]
    assert 15 <= len(ours) <= 19, "\n".join(ours)


@ON_SQLITE
def test_every_connection_is_durable_and_overwrites_what_is_deleted(world: World) -> None:
    store = open_store(world)
    with store.read() as session:
        for name, value in {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1}.items():
            assert sqlite.DURABLE[name] == value
            assert session.connection().execute(text(f"PRAGMA {name}")).scalar() == value
    store.close()


@ON_SQLITE
def test_a_connection_that_would_not_be_durable_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sqlite.DURABLE, "synchronous", 7)
    store = open_store(world)
    with pytest.raises(NotReady, match="synchronous"):
        store.ping()
    store.close()


def test_nothing_of_a_write_that_raises_is_kept(world: World) -> None:
    store = open_store(world)

    def fail() -> None:
        with store.write() as session:
            store.gallery(session).active_templates = 99
            session.flush()
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail()
    with store.read() as session:
        assert store.gallery(session).active_templates == 0
    store.close()


def test_one_writer_at_a_time_also_across_stores(world: World) -> None:
    stores = [open_store(world) for _ in range(3)]

    def count(store: Store) -> None:
        for _ in range(10):
            with store.write() as session:
                store.gallery(session).epoch = str(int(store.gallery(session).epoch) + 1)

    with stores[0].write() as session:
        stores[0].gallery(session).epoch = "0"
    threads = [threading.Thread(target=count, args=(store,)) for store in stores for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with stores[0].read() as session:
        assert stores[0].gallery(session).epoch == "60"
    for store in stores:
        store.close()


@ON_SQLITE
def test_a_read_is_one_snapshot_while_others_write(world: World) -> None:
    reader, writer = open_store(world), open_store(world)
    with reader.read() as session:
        before = reader.gallery(session).epoch
        with writer.write() as other:
            writer.gallery(other).epoch = "changed"
        session.expire_all()
        assert reader.gallery(session).epoch == before
    with reader.read() as session:
        assert reader.gallery(session).epoch == "changed"
    reader.close()
    writer.close()


def test_a_busy_ledger_answers_503_and_not_an_error_of_the_driver(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.1)
    one, other = open_store(world), open_store(world)
    with one.write(), pytest.raises(DatabaseAway, match="busy"), other.write():
        pass
    one.close()
    other.close()


def test_a_database_on_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Part:
        def __init__(self, mountpoint: str, fstype: str) -> None:
            self.mountpoint, self.fstype = mountpoint, fstype

    monkeypatch.setattr(sqlite.psutil, "disk_partitions", lambda all: [Part("/", "ext4"), Part(str(tmp_path), "nfs4")])  # noqa: A006
    with pytest.raises(UnsafeDatabase, match="network"):
        Store.open(f"sqlite:///{tmp_path / 'a.db'}", keyring=Keyring(bytes(32)))
    sqlite.refuse_network_file_system(tmp_path.parent / "a.db")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://localhost/x"])
def test_a_ledger_in_memory_or_in_another_kind_of_database_is_refused(url: str) -> None:
    with pytest.raises(UnsafeDatabase):
        Store.open(url, keyring=Keyring(bytes(32)))


# --- the file goes away -------------------------------------------------------------------------------------------


@ON_SQLITE
def test_a_moved_database_is_noticed_on_open_connections_and_comes_back_by_itself(
    world: World, node: Node, people: People, tmp_path: Path
) -> None:
    node.enrol(people.stranger())
    store = node.store
    store.ping()
    (tmp_path / "ledger.db").rename(tmp_path / "away.db")
    for use in (store.ping, store.schema_state, node.subjects.list, node.enrolments.sweep):
        with pytest.raises(DatabaseAway):
            use()
    with pytest.raises(DatabaseAway):
        node.enrol(people.stranger())
    assert not (tmp_path / "ledger.db").exists(), "a new, empty database was made"
    (tmp_path / "away.db").rename(tmp_path / "ledger.db")
    store.ping()
    assert node.subjects.list().total == 1
    node.enrol(people.stranger())
    assert node.subjects.list().total == 2


@ON_SQLITE
def test_a_write_during_which_the_file_is_moved_is_not_acknowledged(world: World, tmp_path: Path) -> None:
    store = open_store(world)

    def write() -> None:
        with store.write() as session:
            store.gallery(session).epoch = "lost"
            session.flush()
            (tmp_path / "ledger.db").rename(tmp_path / "away.db")

    with pytest.raises(DatabaseAway, match="moved"):
        write()
    (tmp_path / "away.db").rename(tmp_path / "ledger.db")
    with store.read() as session:
        assert store.gallery(session).epoch != "lost"
    store.close()


@ON_SQLITE
def test_another_file_in_its_place_is_opened_anew(world: World, tmp_path: Path) -> None:
    store = open_store(world)
    store.ping()
    other = World(tmp_path / "other")
    other.folder.mkdir()
    other.create()
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"ledger.db{suffix}").unlink(missing_ok=True)
    (other.folder / "ledger.db").rename(tmp_path / "ledger.db")
    assert "key file" in store.schema_state().sentence  # it is really the other one
    store.close()
    (tmp_path / "ledger.db").unlink()
