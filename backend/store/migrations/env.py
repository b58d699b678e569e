"""Alembic's entry: runs inside the connection, and the transaction, that `migration.upgrade` holds."""

from __future__ import annotations

from alembic import context

from backend.store import tables  # noqa: F401 - registers the tables
from backend.store.tables.base import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
