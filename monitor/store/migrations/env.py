"""Alembic's entry: runs on the connection that `Database.open` hands over, in its transaction."""

from __future__ import annotations

from alembic import context

from monitor.store import tables

context.configure(
    connection=context.config.attributes["connection"], target_metadata=tables.Table.metadata, transactional_ddl=True
)
with context.begin_transaction():
    context.run_migrations()
