"""Alerts, their history, the outbox, silences, maintenance, what operators did."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alert",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("open_key", sa.String(), unique=True),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("sentence", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("pending_since", sa.BigInteger(), nullable=False),
        sa.Column("clear_s", sa.Float(), nullable=False),
        sa.Column("clear_since", sa.BigInteger()),
        sa.Column("starts_at", sa.BigInteger()),
        sa.Column("ends_at", sa.BigInteger()),
        sa.Column("stale", sa.Boolean(), nullable=False),
        sa.Column("quiet", sa.String()),
        sa.Column("told", sa.String()),
        sa.Column("told_rule", sa.String()),
        sa.Column("told_at", sa.BigInteger()),
        sa.Column("change", sa.Integer(), nullable=False),
        sa.Column("reminders", sa.Integer(), nullable=False),
        sa.Column("acknowledged_by", sa.String()),
        sa.Column("acknowledged_at", sa.BigInteger()),
    )
    op.create_index("ix_alert_state_since", "alert", ["state", "since"])
    op.create_index("ix_alert_ends_at", "alert", ["ends_at"])
    op.create_table(
        "alert_event",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("alert_id", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("actor", sa.String()),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_alert_event_alert", "alert_event", ["alert_id", "id"])
    op.create_table(
        "delivery",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("alert_id", sa.String(), nullable=False),
        sa.Column("alert_key", sa.String(), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("idempotency_key", sa.String(), nullable=False, unique=True),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("claimed_until", sa.BigInteger()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("sent_at", sa.BigInteger()),
        sa.Column("given_up_at", sa.BigInteger()),
        sa.Column("answer", sa.String()),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_delivery_due", "delivery", ["route", "sent_at", "due_at"])
    op.create_index("ix_delivery_key", "delivery", ["alert_key", "route", "id"])
    op.create_index("ix_delivery_alert", "delivery", ["alert_id"])
    for table, what in (("silence", "matchers"), ("maintenance", "backends")):
        op.create_table(
            table,
            sa.Column("id", sa.String(), primary_key=True),
            sa.Column(what, sa.JSON(), nullable=False),
            sa.Column("author", sa.String(), nullable=False),
            sa.Column("comment", sa.String(), nullable=False),
            sa.Column("created_at", sa.BigInteger(), nullable=False),
            sa.Column("starts_at", sa.BigInteger(), nullable=False),
            sa.Column("ends_at", sa.BigInteger(), nullable=False),
            sa.Column("lifted_by", sa.String()),
        )
        op.create_index(f"ix_{table}_ends_at", table, ["ends_at"])
    op.create_table(
        "operator_action",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_operator_action_at", "operator_action", ["at"])
