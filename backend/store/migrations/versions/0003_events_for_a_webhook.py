"""Events for a webhook wait in the outbox, with how often they were tried. Expands only.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MIN_APP_LEVEL = 1  # an earlier program writes rows without these columns; it tells the webhook nothing


def upgrade() -> None:
    op.add_column("outbox", sa.Column("event_id", sa.String(), nullable=True))
    op.add_column("outbox", sa.Column("body", sa.JSON(), nullable=True))
    op.add_column("outbox", sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("outbox", sa.Column("next_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("outbox", sa.Column("give_up_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("outbox", sa.Column("dropped_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("outbox", sa.Column("last_result", sa.String(), nullable=True))
