"""The ledger as it was first released.

Revision ID: 0001
Revises: -
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MIN_APP_LEVEL = 1


def upgrade() -> None:
    op.create_table(
        "gallery",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=True),
        sa.Column("epoch", sa.String(), nullable=False),
        sa.Column("key_check", sa.String(), nullable=True),
        sa.Column("min_app_level", sa.Integer(), nullable=False),
        sa.Column("active_templates", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("gallery_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("secret_sha256", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["gallery_id"],
            ["gallery.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("gallery_id", "secret_sha256", name="uq_api_key_secret"),
    )
    op.create_table(
        "audit_event",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("gallery_id", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("actor_kind", sa.String(), nullable=False),
        sa.Column("sid", sa.String(), nullable=True),
        sa.Column("kid", sa.String(), nullable=True),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("object_id", sa.String(), nullable=True),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("previous_hash", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["gallery_id"],
            ["gallery.id"],
        ),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_audit_event_object_id"), "audit_event", ["object_id"], unique=False)
    op.create_table(
        "calibration",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("gallery_id", sa.String(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("points", sa.JSON(), nullable=False),
        sa.Column("supported_fmr", sa.Float(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["gallery_id"],
            ["gallery.id"],
        ),
        sa.PrimaryKeyConstraint("id", "gallery_id"),
    )
    op.create_table(
        "duplicate_case",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("gallery_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Float(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("lease_holder", sa.String(), nullable=True),
        sa.Column("lease_holder_name", sa.String(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("joined_into", sa.String(), nullable=True),
        sa.Column("closed_reason", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["gallery_id"],
            ["gallery.id"],
        ),
        sa.ForeignKeyConstraint(
            ["joined_into"],
            ["duplicate_case.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_duplicate_case_queue", "duplicate_case", ["gallery_id", "state", "priority", "id"], unique=False)
    op.create_table(
        "enrolment",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("gallery_id", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("policy", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("verification_threshold", sa.Float(), nullable=False),
        sa.Column("review_threshold", sa.Float(), nullable=False),
        sa.Column("certain_threshold", sa.Float(), nullable=False),
        sa.Column("caller_id", sa.String(), nullable=False),
        sa.Column("caller_kind", sa.String(), nullable=False),
        sa.Column("caller_sid", sa.String(), nullable=True),
        sa.Column("caller_kid", sa.String(), nullable=True),
        sa.Column("lease_holder", sa.String(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("sealed_answer", sa.LargeBinary(), nullable=True),
        sa.Column("plain_answer", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["gallery_id"],
            ["gallery.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_enrolment_state_lease", "enrolment", ["gallery_id", "state", "lease_until"], unique=False)
    op.create_index(op.f("ix_enrolment_subject_id"), "enrolment", ["subject_id"], unique=False)
    op.create_table(
        "gallery_change",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("gallery_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("template_id", sa.String(), nullable=False),
        sa.Column("add_seq", sa.BigInteger(), nullable=True),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("checksum", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["gallery_id"],
            ["gallery.id"],
        ),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_gallery_change_gallery_seq", "gallery_change", ["gallery_id", "seq"], unique=False)
    op.create_table(
        "idempotency",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("gallery_id", sa.String(), nullable=False),
        sa.Column("caller_id", sa.String(), nullable=False),
        sa.Column("key_sha256", sa.String(), nullable=False),
        sa.Column("body_sha256", sa.String(), nullable=False),
        sa.Column("enrolment_id", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["gallery_id"],
            ["gallery.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("gallery_id", "caller_id", "key_sha256", name="uq_idempotency_caller_key"),
    )
    op.create_index(op.f("ix_idempotency_created_at"), "idempotency", ["created_at"], unique=False)
    op.create_index(op.f("ix_idempotency_enrolment_id"), "idempotency", ["enrolment_id"], unique=False)
    op.create_index(op.f("ix_idempotency_subject_id"), "idempotency", ["subject_id"], unique=False)
    op.create_table(
        "job_lease",
        sa.Column("gallery_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["gallery_id"],
            ["gallery.id"],
        ),
        sa.PrimaryKeyConstraint("gallery_id", "name"),
    )
    op.create_table(
        "outbox",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("gallery_id", sa.String(), nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("object_id", sa.String(), nullable=True),
        sa.Column("subject_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["gallery_id"],
            ["gallery.id"],
        ),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_outbox_subject_id"), "outbox", ["subject_id"], unique=False)
    op.create_index(op.f("ix_outbox_topic"), "outbox", ["topic"], unique=False)
    op.create_table(
        "scan",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("gallery_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("position_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("pairs_found", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["gallery_id"],
            ["gallery.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "subject",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("gallery_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("external_id_index", sa.String(), nullable=True),
        sa.Column("sealed_profile", sa.LargeBinary(), nullable=True),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("merged_into", sa.String(), nullable=True),
        sa.Column("merged_by", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["gallery_id"],
            ["gallery.id"],
        ),
        sa.ForeignKeyConstraint(
            ["merged_into"],
            ["subject.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("gallery_id", "external_id_index", name="uq_subject_external_id"),
    )
    op.create_index("ix_subject_gallery_state", "subject", ["gallery_id", "state", "id"], unique=False)
    op.create_index(op.f("ix_subject_merged_by"), "subject", ["merged_by"], unique=False)
    op.create_index(op.f("ix_subject_merged_into"), "subject", ["merged_into"], unique=False)
    op.create_table(
        "decision",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("gallery_id", sa.String(), nullable=False),
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("round", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("applied", sa.Boolean(), nullable=False),
        sa.Column("survivor_id", sa.String(), nullable=True),
        sa.Column("undoes", sa.String(), nullable=True),
        sa.Column("undone_by", sa.String(), nullable=True),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("actor_name", sa.String(), nullable=False),
        sa.Column("note_subject_id", sa.String(), nullable=True),
        sa.Column("sealed_note", sa.LargeBinary(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["case_id"],
            ["duplicate_case.id"],
        ),
        sa.ForeignKeyConstraint(
            ["gallery_id"],
            ["gallery.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_decision_case_id"), "decision", ["case_id"], unique=False)
    op.create_index(op.f("ix_decision_note_subject_id"), "decision", ["note_subject_id"], unique=False)
    op.create_table(
        "duplicate_pair",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("gallery_id", sa.String(), nullable=False),
        sa.Column("case_id", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("a_subject_id", sa.String(), nullable=False),
        sa.Column("b_subject_id", sa.String(), nullable=False),
        sa.Column("a_sample_id", sa.String(), nullable=False),
        sa.Column("b_sample_id", sa.String(), nullable=False),
        sa.Column("held_sample_id", sa.String(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("band", sa.String(), nullable=False),
        sa.Column("gallery_size", sa.Integer(), nullable=False),
        sa.Column("expected_fpir", sa.Float(), nullable=True),
        sa.Column("calibration_id", sa.String(), nullable=True),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["case_id"],
            ["duplicate_case.id"],
        ),
        sa.ForeignKeyConstraint(
            ["gallery_id"],
            ["gallery.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("gallery_id", "a_subject_id", "b_subject_id", "held_sample_id", name="uq_duplicate_pair"),
    )
    op.create_index("ix_duplicate_pair_b", "duplicate_pair", ["gallery_id", "b_subject_id"], unique=False)
    op.create_index(op.f("ix_duplicate_pair_case_id"), "duplicate_pair", ["case_id"], unique=False)
    op.create_table(
        "sample",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("gallery_id", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("enrolment_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("sealed_crop", sa.LargeBinary(), nullable=True),
        sa.Column("sealed_details", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["gallery_id"],
            ["gallery.id"],
        ),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_sample_enrolment_id"), "sample", ["enrolment_id"], unique=False)
    op.create_index(op.f("ix_sample_subject_id"), "sample", ["subject_id"], unique=False)
    op.create_table(
        "distinct_pair",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("gallery_id", sa.String(), nullable=False),
        sa.Column("a_subject_id", sa.String(), nullable=False),
        sa.Column("b_subject_id", sa.String(), nullable=False),
        sa.Column("decision_id", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["decision_id"],
            ["decision.id"],
        ),
        sa.ForeignKeyConstraint(
            ["gallery_id"],
            ["gallery.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("gallery_id", "a_subject_id", "b_subject_id", "decision_id", name="uq_distinct_pair"),
    )
    op.create_index("ix_distinct_pair_b", "distinct_pair", ["gallery_id", "b_subject_id"], unique=False)
    op.create_index(op.f("ix_distinct_pair_decision_id"), "distinct_pair", ["decision_id"], unique=False)
    op.create_table(
        "template",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("gallery_id", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("sample_id", sa.String(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("sealed_vector", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["gallery_id"],
            ["gallery.id"],
        ),
        sa.ForeignKeyConstraint(
            ["sample_id"],
            ["sample.id"],
        ),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("gallery_id", "sample_id", "model_id", name="uq_template_sample_model"),
        sa.UniqueConstraint("gallery_id", "seq", name="uq_template_seq"),
    )
    op.create_index(op.f("ix_template_sample_id"), "template", ["sample_id"], unique=False)
    op.create_index(op.f("ix_template_subject_id"), "template", ["subject_id"], unique=False)
    _insert_main_gallery()


def _insert_main_gallery() -> None:
    """The first release has one gallery; `migrate` pins its model and key file afterwards."""
    gallery = sa.table(
        "gallery",
        sa.column("id", sa.String),
        sa.column("epoch", sa.String),
        sa.column("min_app_level", sa.Integer),
        sa.column("active_templates", sa.Integer),
        sa.column("created_at", sa.DateTime),
    )
    now = datetime.now(UTC).replace(tzinfo=None)
    row = {"id": "main", "epoch": secrets.token_hex(8), "min_app_level": MIN_APP_LEVEL, "active_templates": 0, "created_at": now}
    op.bulk_insert(gallery, [row])
