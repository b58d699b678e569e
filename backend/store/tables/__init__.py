"""The ledger's tables. Importing this package registers all of them in `Table.metadata`."""

from __future__ import annotations

from backend.store.tables.enrolments import Enrolment, EnrolmentKind, EnrolmentState, Idempotency
from backend.store.tables.gallery import Change, ChangeState, Gallery, GalleryChange, IndexSnapshot, ModelChange
from backend.store.tables.operations import ApiKey, AuditRow, CalibrationRow, JobLease, Outbox, Scan, ScanState
from backend.store.tables.review import BulkReview, CaseKind, Decision, DistinctPair, DuplicateCase, DuplicatePair, PairState
from backend.store.tables.subjects import Sample, SampleState, Subject, Template

__all__ = [
    "ApiKey",
    "AuditRow",
    "BulkReview",
    "CalibrationRow",
    "CaseKind",
    "Change",
    "ChangeState",
    "Decision",
    "DistinctPair",
    "DuplicateCase",
    "DuplicatePair",
    "Enrolment",
    "EnrolmentKind",
    "EnrolmentState",
    "Gallery",
    "GalleryChange",
    "Idempotency",
    "IndexSnapshot",
    "JobLease",
    "ModelChange",
    "Outbox",
    "PairState",
    "Sample",
    "SampleState",
    "Scan",
    "ScanState",
    "Subject",
    "Template",
]
