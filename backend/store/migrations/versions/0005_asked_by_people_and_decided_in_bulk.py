"""Pairs that people put before reviewers, reasons of decisions, decisions in bulk. Expands only.

Revision ID: 0005
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0002"
branch_labels = None
depends_on = None

MIN_APP_LEVEL = 1  # every column may be missing from what an older program writes


def upgrade() -> None:
    op.add_column("duplicate_pair", sa.Column("asked_by", sa.String(), nullable=True))
    op.add_column("duplicate_pair", sa.Column("asked_by_name", sa.String(), nullable=True))
    op.add_column("duplicate_pair", sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("duplicate_pair", sa.Column("sealed_asking_note", sa.LargeBinary(), nullable=True))
    op.add_column("duplicate_pair", sa.Column("overrides_distinct", sa.Boolean(), nullable=True))
    op.add_column("duplicate_pair", sa.Column("left_cases", sa.JSON(), nullable=True))
    op.add_column("decision", sa.Column("reason", sa.String(), nullable=True))
    op.add_column("decision", sa.Column("bulk_id", sa.String(), nullable=True))
    op.create_index(op.f("ix_decision_bulk_id"), "decision", ["bulk_id"], unique=False)
    op.add_column("sample", sa.Column("image_digest", sa.String(), nullable=True))
    op.create_table(
        "bulk_review",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("gallery_id", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("body_sha256", sa.String(), nullable=False),
        sa.Column("results", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["gallery_id"], ["gallery.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
