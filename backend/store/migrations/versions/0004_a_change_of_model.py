"""A second model beside the one in force, for a change of model. Expands only.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MIN_APP_LEVEL = 1  # until a change of model begins, which raises it: an earlier program takes the log for that of one model


def upgrade() -> None:
    op.add_column("gallery", sa.Column("other_model_id", sa.String(), nullable=True))
    op.create_index("ix_gallery_change_model_seq", "gallery_change", ["gallery_id", "model_id", "seq"], unique=False)
    op.create_table(
        "model_change",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("gallery_id", sa.String(), nullable=False),
        sa.Column("from_model_id", sa.String(), nullable=False),
        sa.Column("to_model_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("filled", sa.Integer(), nullable=False),
        sa.Column("left_behind", sa.Integer(), nullable=False),
        sa.Column("switched_seq", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["gallery_id"], ["gallery.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    open_ones = sa.text("closed_at IS NULL")
    op.create_index(
        "uq_model_change_open", "model_change", ["gallery_id"], unique=True, sqlite_where=open_ones, postgresql_where=open_ones
    )
    _give_each_model_a_snapshot()


def _give_each_model_a_snapshot() -> None:
    """An earlier program goes on with the one row that it finds: there are no two until a change of model begins."""
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("index_snapshot_pkey", "index_snapshot", type_="primary")
        op.create_primary_key("index_snapshot_pkey", "index_snapshot", ["gallery_id", "holder", "model_id"])
        return
    op.rename_table("index_snapshot", "index_snapshot_before")
    op.create_table(
        "index_snapshot",
        sa.Column("gallery_id", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("epoch", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("checksum", sa.BigInteger(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["gallery_id"], ["gallery.id"]),
        sa.PrimaryKeyConstraint("gallery_id", "holder", "model_id"),
    )
    columns = "gallery_id, holder, model_id, id, epoch, seq, count, checksum, wrapped_key, created_at"
    op.execute(f"INSERT INTO index_snapshot ({columns}) SELECT {columns} FROM index_snapshot_before")  # noqa: S608 - names of ours
    op.drop_table("index_snapshot_before")
