"""States, events, samples, minutes and certificates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "backend_state",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("since", sa.BigInteger()),
        sa.Column("reason", sa.String()),
        sa.Column("detail", sa.String()),
        sa.Column("last_sample_at", sa.BigInteger()),
        sa.Column("standings", sa.JSON(), nullable=False),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("backend", sa.String(), nullable=False),
        sa.Column("old", sa.String(), nullable=False),
        sa.Column("new", sa.String(), nullable=False),
        sa.Column("reason", sa.String()),
        sa.Column("detail", sa.String()),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_event_at", "event", ["at"])
    op.create_index("ix_event_backend", "event", ["backend", "id"])
    op.create_table(
        "sample",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("backend", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("up", sa.Boolean(), nullable=False),
        sa.Column("probe_ms", sa.Float()),
        sa.Column("requests", sa.Float()),
        sa.Column("errors", sa.Float()),
        sa.Column("latency", sa.JSON()),
    )
    op.create_index("ix_sample_at", "sample", ["at"])
    op.create_index("ix_sample_backend_at", "sample", ["backend", "at"])
    op.create_table(
        "minute",
        sa.Column("backend", sa.String(), primary_key=True),
        sa.Column("at", sa.BigInteger(), primary_key=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("up", sa.Integer(), nullable=False),
        sa.Column("probe_ms", sa.JSON(), nullable=False),
        sa.Column("requests", sa.Float()),
        sa.Column("errors", sa.Float()),
        sa.Column("latency", sa.JSON(), nullable=False),
    )
    op.create_index("ix_minute_at", "minute", ["at"])
    op.create_table(
        "certificate",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
    )
