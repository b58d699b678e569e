"""What reviewers see, ask and decide; events for a webhook; rates of API keys. Expands only.

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

MIN_APP_LEVEL = 1  # whatever an earlier program writes may lack all of this: it tells the webhook nothing and limits no key


def upgrade() -> None:
    _cases_show_their_evidence()
    _people_ask_and_decide_in_bulk()
    _events_wait_for_a_webhook()
    op.add_column("api_key", sa.Column("rate_per_minute", sa.Integer(), nullable=True))
    op.add_column("api_key", sa.Column("synthetic", sa.Boolean(), nullable=False, server_default=sa.false()))


def _cases_show_their_evidence() -> None:
    op.add_column("duplicate_pair", sa.Column("margin", sa.Float(), nullable=True))
    op.add_column("duplicate_pair", sa.Column("margin_at_least", sa.Boolean(), nullable=True))
    op.add_column("duplicate_case", sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_duplicate_case_changed", "duplicate_case", ["gallery_id", "changed_at"], unique=False)
    op.create_index("ix_decision_at", "decision", ["gallery_id", "at"], unique=False)


def _people_ask_and_decide_in_bulk() -> None:
    op.add_column("duplicate_pair", sa.Column("asked_by", sa.String(), nullable=True))
    op.add_column("duplicate_pair", sa.Column("asked_by_name", sa.String(), nullable=True))
    op.add_column("duplicate_pair", sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("duplicate_pair", sa.Column("sealed_asking_note", sa.LargeBinary(), nullable=True))
    op.add_column("duplicate_pair", sa.Column("overrides_distinct", sa.Boolean(), nullable=True))
    op.add_column("duplicate_pair", sa.Column("left_cases", sa.JSON(), nullable=True))
    op.add_column("duplicate_case", sa.Column("lease_key", sa.String(), nullable=True))
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


def _events_wait_for_a_webhook() -> None:
    op.add_column("outbox", sa.Column("event_id", sa.String(), nullable=True))
    op.add_column("outbox", sa.Column("body", sa.JSON(), nullable=True))
    op.add_column("outbox", sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("outbox", sa.Column("next_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("outbox", sa.Column("give_up_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("outbox", sa.Column("dropped_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("outbox", sa.Column("last_result", sa.String(), nullable=True))
    op.create_index("ix_outbox_waiting", "outbox", ["gallery_id", "dropped_at", "seq"], unique=False)
