"""What an export of one subject holds: pydantic models only. Times are UTC, bytes are base64.

Other people occur by their opaque ids alone. Left out: reviewers' notes, which speak of both sides of a pair (`has_note` says
that there is one), and who acted, which is data on staff (`actor_kind` says whether a person, a key or the system did).
"""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, Base64Bytes, Field

from backend.wire import Answer, Quality


class ExportedRecord(Answer):
    """The subject itself, or one that was merged into it."""

    id: str
    state: str
    external_id: str | None
    metadata: dict[str, str]
    merged_into: str | None
    merged_by: str | None = Field(description="The decision that merged it away.")
    retain_until: AwareDatetime | None
    version: int
    created_at: AwareDatetime


class ExportedTemplate(Answer):
    """Personal data like the picture it was computed from, and given in full; of use with that model alone."""

    id: str
    model_id: str
    seq: int
    vector: Base64Bytes = Field(description="Little-endian float32, on the engine's own scale.")
    created_at: AwareDatetime


class ExportedSample(Answer):
    id: str
    record_id: str
    state: str
    landmarks: list[tuple[float, float]] = Field(description="Five points, in pixels of the crop.")
    quality: Quality
    crop: Base64Bytes | None = Field(description="JPEG; null where pictures are not stored.")
    templates: list[ExportedTemplate]
    created_at: AwareDatetime


class ExportedEnrolment(Answer):
    id: str
    record_id: str
    kind: str
    policy: str
    state: str
    model_id: str
    review_threshold: float
    created_at: AwareDatetime
    finished_at: AwareDatetime | None


class ExportedPair(Answer):
    """A comparison that reached the review threshold, or that a person asked for, or a sample unlike its own subject."""

    id: str
    case_id: str | None
    kind: str
    state: str
    record_id: str
    sample_id: str
    other_record_id: str
    score: float
    threshold: float
    band: str
    model_id: str
    source: str
    found_at: AwareDatetime


class ExportedCase(Answer):
    id: str
    kind: str
    state: str
    source: str
    closed_reason: str | None
    created_at: AwareDatetime
    changed_at: AwareDatetime


class ExportedDecision(Answer):
    """A first decision that a blind second review has yet to confirm is nobody's to see, here too."""

    id: str
    case_id: str
    round: str
    verdict: str
    applied: bool
    undone: bool
    survivor_id: str | None
    reason: str | None
    has_note: bool
    at: AwareDatetime


class ExportedDistinction(Answer):
    """Decided to be different people: never flagged again."""

    record_id: str
    other_record_id: str
    decision_id: str
    at: AwareDatetime


class ExportedEvent(Answer):
    seq: int
    at: AwareDatetime
    actor_kind: str
    action: str
    object_id: str | None
    detail: dict[str, Any]


class SubjectExport(Answer):
    subject_id: str
    gallery_id: str
    exported_at: AwareDatetime
    records: list[ExportedRecord]
    enrolments: list[ExportedEnrolment]
    pairs: list[ExportedPair]
    cases: list[ExportedCase]
    decisions: list[ExportedDecision]
    distinct: list[ExportedDistinction]
    audit: list[ExportedEvent]
    samples: list[ExportedSample] = Field([], description="Last, as they are sent one by one.")
