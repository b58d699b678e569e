"""Snapshots of indexes, a sealed audit chain, scans that go on, periods of retention, keys that rotate. Expands only.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MIN_APP_LEVEL = 1  # a program of the first release runs on this: it writes rows of the chain that the sealing job takes up


def upgrade() -> None:
    op.add_column("gallery", sa.Column("sealed_index_key", sa.LargeBinary(), nullable=True))
    op.create_table(
        "index_snapshot",
        sa.Column("gallery_id", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("epoch", sa.String(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("checksum", sa.BigInteger(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["gallery_id"], ["gallery.id"]),
        sa.PrimaryKeyConstraint("gallery_id", "holder"),
    )
    op.add_column("subject", sa.Column("retain_until", sa.DateTime(timezone=True), nullable=True))
    op.create_index(op.f("ix_subject_retain_until"), "subject", ["retain_until"], unique=False)
    op.create_index(op.f("ix_duplicate_case_joined_into"), "duplicate_case", ["joined_into"], unique=False)  # a restore empties it
    _give_audit_rows_their_places()
    _let_scans_go_on()


def _give_audit_rows_their_places() -> None:
    with op.batch_alter_table("audit_event", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.add_column(sa.Column("position", sa.BigInteger(), nullable=True))
        table.create_unique_constraint("uq_audit_event_position", ["gallery_id", "position"])
    row = sa.table("audit_event", sa.column("seq", sa.BigInteger), sa.column("position", sa.BigInteger))
    numbered = sa.select(row.c.seq, sa.func.row_number().over(order_by=row.c.seq).label("place")).subquery()
    op.execute(row.update().where(row.c.seq == numbered.c.seq).values(position=numbered.c.place))


def _let_scans_go_on() -> None:
    with op.batch_alter_table("scan") as table:
        table.add_column(sa.Column("model_id", sa.String(), nullable=True))
        table.add_column(sa.Column("threshold", sa.Float(), nullable=True))
        table.add_column(sa.Column("epoch", sa.String(), nullable=True))
        table.add_column(sa.Column("from_seq", sa.BigInteger(), nullable=False, server_default="0"))
        table.add_column(sa.Column("templates_total", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("templates_done", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("busy_s", sa.Float(), nullable=False, server_default="0"))
        table.add_column(sa.Column("problem", sa.String(), nullable=True))
        table.add_column(sa.Column("started_at", sa.DateTime(timezone=True), nullable=True))
