"""Alembic's entry: runs on the connection that `Database.open` hands over, in its transaction."""

from __future__ import annotations

from alembic import context

from monitor.store import alert_tables, tables  # noqa: F401 - both fill the metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=tables.Table.metadata, transactional_ddl=True
)
with context.begin_transaction():
    context.run_migrations()
