"""The monitor's schema on both databases: migrations give what the tables say, and an older database keeps its history."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from monitor.store import alert_tables, tables
from monitor.store.database import MIGRATIONS, Database
from monitor.store.history import History


def test_the_migrations_give_what_the_tables_say(database: Database) -> None:
    assert "alert" in alert_tables.Table.metadata.tables
    with database.read() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, tables.Table.metadata) == []


def test_a_database_of_the_first_revision_is_taken_over_with_its_history(database_url: str) -> None:
    engine = sa.create_engine(database_url.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    event = "INSERT INTO event (at, backend, old, new, reason, detail) VALUES (1000, 'b1', 'UP', 'DOWN', 'NET.REFUSED', NULL)"
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(sa.text(event))
    opened = Database.open(database_url)
    try:
        (kept,) = History(opened).events(backend=None, before_id=None, limit=5).items
        assert (kept.backend, kept.reason) == ("b1", "NET.REFUSED")
    finally:
        opened.close()
