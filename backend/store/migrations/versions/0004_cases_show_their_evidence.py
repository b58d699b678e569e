"""The margin of a pair to the next candidate, and since when a case waits. Expands only.

Revision ID: 0004
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("duplicate_pair", sa.Column("margin", sa.Float(), nullable=True))
    op.add_column("duplicate_pair", sa.Column("margin_at_least", sa.Boolean(), nullable=True))
    op.add_column("duplicate_case", sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_duplicate_case_changed", "duplicate_case", ["gallery_id", "changed_at"], unique=False)
