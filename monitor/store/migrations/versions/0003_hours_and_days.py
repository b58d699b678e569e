"""Hours and days, how far they are made, and how long a sample speaks for its backend."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sample", sa.Column("valid_s", sa.Float()))
    op.add_column("sample", sa.Column("in_flight", sa.Float()))
    op.add_column("minute", sa.Column("in_flight", sa.JSON()))
    op.add_column("minute", sa.Column("held_ms", sa.JSON()))
    for table in ("hour", "day"):
        op.create_table(
            table,
            sa.Column("backend", sa.String(), primary_key=True),
            sa.Column("at", sa.BigInteger(), primary_key=True),
            sa.Column("state", sa.String(), nullable=False),
            sa.Column("samples", sa.Integer(), nullable=False),
            sa.Column("up", sa.Integer(), nullable=False),
            sa.Column("probe_ms", sa.JSON(), nullable=False),
            sa.Column("requests", sa.Float()),
            sa.Column("errors", sa.Float()),
            sa.Column("latency", sa.JSON(), nullable=False),
            sa.Column("in_flight", sa.JSON()),
            sa.Column("held_ms", sa.JSON()),
            sqlite_with_rowid=False,
        )
        op.create_index(f"ix_{table}_at", table, ["at"])
    op.create_table(
        "roll_up",
        sa.Column("level", sa.String(), primary_key=True),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("seen_id", sa.BigInteger(), nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        # A thousand backends use up 32 bits within a year; SQLite's are 64 already.
        op.alter_column("sample", "id", type_=sa.BigInteger())
        op.execute("ALTER SEQUENCE sample_id_seq AS bigint")
