"""How many requests a key may make in a minute, and whether it is the demo's. Expands only.

Revision ID: 0006
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0002"
branch_labels = None
depends_on = None

MIN_APP_LEVEL = 1  # older programs neither read nor write the two: what they make has no limit of its own


def upgrade() -> None:
    op.add_column("api_key", sa.Column("rate_per_minute", sa.Integer(), nullable=True))
    op.add_column("api_key", sa.Column("synthetic", sa.Boolean(), nullable=False, server_default=sa.false()))
