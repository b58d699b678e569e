"""From every released schema to the present one, with rows that the release itself wrote, on both databases."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlmodel import col, select

from backend import wire
from backend.errors import NotReady
from backend.store import schema
from backend.store.database import Store, database_of
from backend.store.keyring import Keyring
from backend.store.migration import Upgrade, upgrade
from backend.store.tables import AuditRow
from backend.store.tables.base import Table
from tests.ledger.invariants import assert_ledger_is_whole
from tests.ledger.world import SUSI, People, World

RELEASED = Path(__file__).with_name("released")
REVISIONS = sorted(path.stem for path in RELEASED.glob("*.sql"))


@pytest.fixture(params=REVISIONS)
def revision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def released(revision: str, tmp_path: Path, database_url: str | None) -> Iterator[World]:
    """A ledger as that release left it, not migrated yet."""
    world = World(tmp_path, database_url=database_url)
    shutil.copy(RELEASED / f"{revision}.key", world.key_file)
    file = tmp_path / "ledger.db"
    filled = sqlite3.connect(file)
    filled.executescript((RELEASED / f"{revision}.sql").read_text())
    filled.close()
    if not world.is_sqlite:
        copy_into(world.url, file, revision=revision)
        file.unlink()
    yield world
    world.close()


def copy_into(url: str, file: Path, *, revision: str) -> None:
    """The same rows in PostgreSQL, in the schema that the release would have made there."""
    database, source = database_of(url), sa.create_engine(f"sqlite:///{file}")
    theirs, ours = sa.MetaData(), sa.MetaData()
    config = schema.migration_config()
    with database.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    with source.connect() as reading, database.writing() as connection:
        theirs.reflect(reading)
        ours.reflect(connection)
        connection.execute(ours.tables["gallery"].delete())
        for table in ours.sorted_tables:
            if table.name != "alembic_version" and (rows := _rows(reading, theirs.tables[table.name], table)):
                connection.execute(table.insert(), rows)
            for column in table.columns:
                if column.autoincrement is True and column.primary_key:
                    _continue_numbering(connection, table.name, column.name)
    source.dispose()
    database.engine.dispose()


def _rows(reading: sa.Connection, theirs: sa.Table, ours: sa.Table) -> list[dict[str, object]]:
    rows = [dict(row) for row in reading.execute(sa.select(theirs)).mappings()]
    booleans = [column.name for column in ours.columns if isinstance(column.type, sa.Boolean)]
    moments = [column.name for column in ours.columns if isinstance(column.type, sa.DateTime)]
    for row in rows:
        row.update({name: None if row[name] is None else bool(row[name]) for name in booleans})
        row.update({name: row[name].replace(tzinfo=UTC) for name in moments if row[name] is not None})  # type: ignore[attr-defined]
    return rows


def _continue_numbering(connection: sa.Connection, table: str, column: str) -> None:
    highest = f"(SELECT coalesce(max({column}), 0) + 1 FROM {table})"  # noqa: S608 - names of our own schema
    connection.execute(sa.text(f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), {highest}, false)"))


def test_there_is_a_filled_ledger_of_every_revision_but_the_present_one() -> None:
    assert tuple(REVISIONS) == schema.known_revisions()[:-1]


def test_a_released_ledger_is_not_served_before_it_is_migrated(released: World) -> None:
    store = Store.open(released.url, keyring=Keyring.load(released.key_file))
    assert not store.schema_state().ok
    assert f"this program needs {schema.LOWEST_REVISION}: run `python -m backend migrate`" in store.schema_state().sentence
    with pytest.raises(NotReady, match="migrate"):
        read_every_table(store)
    store.close()


def read_every_table(store: Store) -> None:
    with store.read() as session:
        for table in Table.metadata.sorted_tables:
            session.connection().execute(sa.select(table))


def test_a_released_ledger_reaches_the_present_schema_and_all_in_it_works(released: World, revision: str, people: People) -> None:
    assert upgrade(released.url) == Upgrade(before=revision, after=schema.known_revisions()[-1])
    store = Store.open(released.url, keyring=Keyring.load(released.key_file))
    assert store.schema_state().ok
    with store.read() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []
    store.close()
    assert_ledger_is_whole(released)

    node = released.node()
    known = people.strangers(5)
    listed = {subject.external_id: subject for subject in node.subjects.list(limit=100).items}
    assert listed["person-a"].metadata == {"name": "Ada"}
    assert len([case for case in node.cases() if case.state is wire.CaseState.open]) == 1
    again = node.enrol(people.like(known[2], 0.8))
    assert again.case_id is not None, "a person of the old release was not found"
    merged = next(case for case in node.cases() if case.state is wire.CaseState.resolved)
    assert node.undo(merged.id, SUSI).state is wire.CaseState.open
    assert_ledger_is_whole(released)


def test_rows_of_the_audit_trail_keep_their_order_and_their_hashes(released: World) -> None:
    database = database_of(released.url)
    with database.engine.connect() as connection:
        before = connection.execute(sa.text("SELECT seq, hash FROM audit_event ORDER BY seq")).all()
    database.engine.dispose()
    upgrade(released.url)
    store = Store.open(released.url, keyring=Keyring.load(released.key_file))
    with store.read() as session:
        rows = session.exec(select(AuditRow).order_by(col(AuditRow.seq))).all()
    store.close()
    assert [(row.seq, row.hash) for row in rows] == [tuple(row) for row in before]
    assert [row.position for row in rows] == list(range(1, len(rows) + 1))


def test_numbers_of_the_log_go_on_above_all_that_were_given(released: World, people: People) -> None:
    upgrade(released.url)
    node = released.node()
    with node.store.read() as session:
        highest = session.connection().execute(sa.text("SELECT max(seq) FROM gallery_change")).scalar_one()
    assert node.enrol(people.stranger()).seq > highest


def test_a_program_of_the_first_release_may_go_on_during_the_roll(released: World) -> None:
    """It knows nothing of the new columns: what it writes must be taken without them, into every table that it has."""
    upgrade(released.url)
    theirs, ours = tables_of_the_first_release(), sa.MetaData()
    database = database_of(released.url)
    with database.writing() as connection:
        assert connection.execute(sa.text("SELECT min_app_level FROM gallery")).scalar_one() == 1
        ours.reflect(connection)
        for table in theirs.sorted_tables:
            connection.execute(ours.tables[table.name].insert(), one_row(table))
    database.engine.dispose()


def tables_of_the_first_release() -> sa.MetaData:
    """As its own dump makes them."""
    found, memory = sa.MetaData(), sa.create_engine("sqlite://")
    with memory.connect() as connection:
        connection.connection.driver_connection.executescript((RELEASED / "0001.sql").read_text())  # type: ignore[union-attr]
        found.reflect(connection)
    memory.dispose()
    found.remove(found.tables["alembic_version"])
    assert len(found.tables) == 17
    return found


OF_ITS_KIND = {sa.String: "word", sa.Integer: 7, sa.Float: 0.5, sa.Boolean: True, sa.LargeBinary: b"bytes", sa.JSON: {}}
"""BIGINT is an Integer too; 7 as a number of the log is taken in every released file."""


def one_row(table: sa.Table) -> dict[str, object]:
    """A value for each column of the first release, which names all of them, but the numbers that the database gives."""
    given = [column for column in table.columns if not (column.primary_key and isinstance(column.type, sa.Integer))]
    return {column.name: _value(table, column) for column in given}


def _value(table: sa.Table, column: sa.Column[object]) -> object:
    for key in column.foreign_keys:
        referred = key.column.table
        return None if referred is table else f"{referred.name}_of_the_first_release"
    if column.primary_key:
        return f"{table.name}_of_the_first_release"
    if isinstance(column.type, sa.DateTime):
        return datetime.now(UTC)
    return next(value for kind, value in OF_ITS_KIND.items() if isinstance(column.type, kind))
