"""An example of every request's body and of every answer, for the API's description; a test holds them to their schemas.

Plain values by the name of their schema, of one small story: a person is enrolled twice and a reviewer decides. No photograph
stands here: `IMAGE` is one white pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="  # a PNG of 1 × 1
IMAGE_NOTE = "The image is a placeholder of one pixel: put your photograph's bytes in its place, in base64."

SUBJECT, TWIN = "sub_0192f1c04a3b7c51a2d4e6f80a1b2c3d", "sub_0192f1c8d2e97f40b1c3d5e7f9a0b2c4"
SAMPLE, TWINS_SAMPLE = "smp_0192f1c04a3c7d62b3e5f7a91b2c3d4e", "smp_0192f1c8d2ea7a51c2d4e6f80a1b3c5d"
CASE, DECISION, BULK = (
    "case_0192f1c8d31b7b62d3e5f7a91b2c4d6e",
    "dec_0192f1cb10aa7c73e4f6a8b02c3d5e7f",
    "bulk_0192f1cc55d87d84f5a7b9c13d4e6f80",
)
SCAN, KEY, PERSON = "scan_0192f1d0aa117e95a6b8cad24e5f7091", "key_0192f1a099887fa6b7c9dbe35f60a1b2", "usr_ada"
TEMPLATE = "tpl_0192f1c04a3d7e73c4f6a8b02c3d5e7f"
MODEL = "dlib-resnet-8c1f03a95e7b2d46"
NOW = "2026-03-01T09:30:00.000000Z"
AT, LATER = "2026-03-01T09:30:00Z", "2026-03-01T09:41:12Z"

Example = Mapping[str, Any]

REQUESTS: dict[str, dict[str, Example]] = {
    "EnrolRequest": {
        "one photograph": {"images": [IMAGE], "external_id": "A-17", "metadata": {"office": "north"}},
        "several, and no certain duplicate": {"images": [IMAGE, IMAGE], "on_duplicate": "reject", "face": "largest"},
    },
    "EnrolBatchRequest": {
        "two people": {
            "subjects": [
                {"images": [IMAGE], "external_id": "A-17", "idempotency_key": "import-7-A-17"},
                {"images": [IMAGE], "external_id": "A-18", "idempotency_key": "import-7-A-18"},
            ]
        }
    },
    "AddSampleRequest": {"one photograph": {"images": [IMAGE]}},
    "SubjectPatch": {"other metadata": {"metadata": {"office": "south"}}, "keep until": {"retain_until": "2036-01-01T00:00:00Z"}},
    "DetectRequest": {"an image": {"image": IMAGE}},
    "VerifyRequest": {
        "against a subject": {"image": IMAGE, "subject_id": SUBJECT},
        "against another image": {"image": IMAGE, "reference_image": IMAGE},
    },
    "IdentifyRequest": {"the best three": {"image": IMAGE, "limit": 3}},
    "ClaimRequest": {"as it was read": {"version": 1}},
    "DecideRequest": {
        "one person": {"verdict": "same", "version": 2, "survivor_id": SUBJECT, "note": "The same scar."},
        "two people": {"verdict": "different", "version": 2},
    },
    "UndoRequest": {"the last decision": {"version": 3, "note": "The wrong pair."}},
    "TogetherRequest": {"two records": {"subject_ids": [SUBJECT, TWIN], "note": "One clerk saw both."}},
    "BulkPreviewRequest": {"of scans": {"source": "scan", "limit": 50}},
    "BulkRequest": {
        "one case": {"bulk_id": BULK, "items": [{"case_id": CASE, "version": 1, "survivor_id": SUBJECT}], "verdict": "same"}
    },
    "KeyRequest": {"for a program that enrols": {"name": "registry", "scopes": ["client"], "rate_per_minute": 600}},
    "KeyChange": {"slower": {"rate_per_minute": 60}},
    "ScanRequest": {"only count": {"dry_run": True}, "everybody": {"whole": True}},
    "SimulateRequest": {
        "another threshold": {"threshold": 0.55},
        "one false flag in 1,000 enrolments": {"target_fpir": 0.001},
    },
}

_QUALITY: Example = {
    "overall": 84,
    "components": {"Sharpness": 88, "InterEyeDistance": 84, "UnderExposurePrevention": 97},
    "reasons": [],
}
_LIVENESS: Example = {
    "status": "judged",
    "score": 0.97,
    "threshold": 0.8,
    "live": True,
    "advice": None,
    "model_id": "liveness-87a9ac1dbb16",
}
_FACE: Example = {
    "box": {"x": 120.0, "y": 80.0, "width": 160.0, "height": 200.0},
    "landmarks": [[160.0, 150.0], [240.0, 151.0], [201.0, 195.0], [168.0, 238.0], [233.0, 239.0]],
    "confidence": 0.99,
    "quality": _QUALITY,
    "liveness": _LIVENESS,
}


def _subject(subject: str, sample: str, external_id: str) -> Example:
    return {
        "id": subject,
        "gallery_id": "main",
        "external_id": external_id,
        "metadata": {"office": "north"},
        "state": "active",
        "merged_into": None,
        "merged": [],
        "retain_until": None,
        "samples": [
            {"id": sample, "created_at": AT, "quality": _QUALITY, "image": f"/v1/subjects/{subject}/samples/{sample}/image"}
        ],
        "version": 1,
        "created_at": AT,
    }


_SUBJECT = _subject(SUBJECT, SAMPLE, "A-17")
_ENROLMENT: Example = {
    "subject_id": TWIN,
    "state": "active",
    "external_id": "A-18",
    "sample_ids": [TWINS_SAMPLE],
    "duplicates": [{"subject_id": SUBJECT, "sample_id": SAMPLE, "score": 0.71, "band": "certain"}],
    "case_id": CASE,
    "seq": 2,
    "review_threshold": 0.5,
    "model_id": MODEL,
    "quality": [_QUALITY],
}
_SUMMARY: Example = {
    "id": CASE,
    "state": "open",
    "version": 1,
    "priority": 0.71,
    "score": 0.71,
    "source": "enrolment",
    "created_at": AT,
    "band": "certain",
    "due_at": "2026-03-02T09:30:00Z",
    "overdue": False,
    "lease": None,
    "subject_ids": [SUBJECT, TWIN],
}
_PAIR: Example = {
    "a": {"subject_id": SUBJECT, "sample_id": SAMPLE},
    "b": {"subject_id": TWIN, "sample_id": TWINS_SAMPLE},
    "score": 0.71,
    "threshold": 0.5,
    "band": "certain",
    "gallery_size": 2,
    "expected_fpir": 0.0003,
    "calibration_id": "cal_offline_1",
    "model_id": MODEL,
    "found_at": AT,
    "margin": 0.21,
    "margin_at_least": True,
    "quality_a": _QUALITY,
    "quality_b": _QUALITY,
    "threshold_now": 0.5,
    "still_flagged": True,
    "gallery_size_now": 2,
}
_CASE: Example = {
    **{name: value for name, value in _SUMMARY.items() if name != "subject_ids"},
    "state": "claimed",
    "version": 2,
    "lease": {"holder": PERSON, "holder_name": "ada", "until": LATER},
    "subjects": [_SUBJECT, _subject(TWIN, TWINS_SAMPLE, "A-18")],
    "pairs": [_PAIR],
    "asked": [],
    "decisions": [],
    "matrix": [{"a": SUBJECT, "b": TWIN, "score": 0.71, "flagged": True, "relation": "pair"}],
    "matrix_left_out": 0,
}
_SCAN: Example = {
    "id": SCAN,
    "state": "running",
    "threshold": 0.5,
    "model_id": MODEL,
    "since_seq": 0,
    "up_to_seq": 2000,
    "templates_total": 2000,
    "templates_done": 512,
    "pairs_found": 3,
    "reopened": 0,
    "reopen_distinct": False,
    "dry_run": False,
    "rate_per_s": 2560.0,
    "estimated_s": 0.6,
    "problem": None,
    "started_by": PERSON,
    "started_by_name": "Ada",
    "created_at": AT,
    "started_at": AT,
    "finished_at": None,
}
_KEY: Example = {
    "id": KEY,
    "name": "registry",
    "scopes": ["client"],
    "created_at": AT,
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": LATER,
    "rate_per_minute": 600,
    "synthetic": False,
}
_EVENT: Example = {
    "seq": 41,
    "position": 41,
    "at": LATER,
    "actor": PERSON,
    "action": "case.decide",
    "object_id": CASE,
    "detail": {"verdict": "same"},
    "hash": "9f2c" * 16,
}
_EXPECTATION: Example = {
    "threshold": 0.5,
    "expected_fmr": 0.00022,
    "expected_fpir": 0.00044,
    "expected_false_flags_per_day": 0.000132,
    "reason": None,
}
_REJECTED: Example = {**_ENROLMENT, "state": "rejected", "case_id": None}
_EXTERNAL_ID_TAKEN: Example = {
    "type": "urn:face-auth:problem:external_id_taken",
    "title": "Another subject has this external_id",
    "status": 409,
    "detail": "Another subject has this external_id",
    "code": "external_id_taken",
}


def _page(*items: Example) -> Example:
    return {"items": list(items), "next": None, "total": len(items), "total_is": "exact"}


_RATES = {
    "threshold": 0.5,
    "false_match": {"least": 0, "most": 3, "trials": 13_629, "low": 0.0, "high": 0.00064},
    "expected_fmr": 0.00022,
    "false_non_match": {"least": 6, "most": 6, "trials": 66, "low": 0.0342, "high": 0.1874},
}
ANSWERS: dict[str, Example] = {
    "Health": {
        "status": "healthy",
        "service": "face-auth-system",
        "version": "0.1.0",
        "timestamp": NOW,
    },
    "Live": {"status": "alive", "timestamp": NOW},
    "Ready": {
        "status": "ready",
        "instance": "b1",
        "version": "0.1.0",
        "timestamp": NOW,
        "ever_ready": True,
        "reason": None,
        "checks": {"database": {"status": "ok", "latency_ms": 0.4, "detail": "It answers"}},
    },
    "Enrolment": _ENROLMENT,
    "EnrolBatch": {
        "results": [
            {"status": 201, "enrolment": _ENROLMENT, "problem": None},
            {"status": 409, "enrolment": None, "problem": _EXTERNAL_ID_TAKEN},
        ]
    },
    "Subject": _SUBJECT,
    "Page_Subject_": _page(_SUBJECT),
    "SubjectExport": {
        "subject_id": SUBJECT,
        "gallery_id": "main",
        "exported_at": LATER,
        "records": [
            {
                "id": SUBJECT,
                "state": "active",
                "external_id": "A-17",
                "metadata": {"office": "north"},
                "merged_into": None,
                "merged_by": None,
                "retain_until": None,
                "version": 1,
                "created_at": AT,
            }
        ],
        "enrolments": [],
        "pairs": [],
        "cases": [],
        "decisions": [],
        "distinct": [],
        "audit": [{"seq": 1, "at": AT, "actor_kind": "key", "action": "subject.enrol", "object_id": SUBJECT, "detail": {}}],
        "samples": [
            {
                "id": SAMPLE,
                "record_id": SUBJECT,
                "state": "active",
                "landmarks": [[44.0, 52.0], [68.0, 52.0], [56.0, 68.0], [47.0, 84.0], [66.0, 84.0]],
                "quality": _QUALITY,
                "crop": IMAGE,
                "templates": [{"id": TEMPLATE, "model_id": MODEL, "seq": 1, "vector": "AACAPwAAAAA=", "created_at": AT}],
                "created_at": AT,
            }
        ],
    },
    "Detection": {"faces": [_FACE], "width": 400, "height": 400, "model_id": MODEL},
    "Verification": {
        "score": 0.62,
        "threshold": 0.45,
        "decision": "match",
        "expected_fmr": 0.001,
        "expected_fmr_reason": None,
        "faces_in_image": 1,
        "faces_in_reference": None,
        "sample_id": SAMPLE,
        "model_id": MODEL,
        "quality": _QUALITY,
        "liveness": _LIVENESS,
    },
    "Identification": {
        "faces": [
            {
                "face": _FACE,
                "candidates": [{"subject_id": SUBJECT, "external_id": "A-17", "sample_id": SAMPLE, "score": 0.62, "rank": 1}],
            }
        ],
        "threshold": 0.5,
        "expected_fpir": 0.0003,
        "gallery_size": 2,
        "seq": 2,
        "model_id": MODEL,
    },
    "Case": _CASE,
    "Page_CaseSummary_": _page(_SUMMARY),
    "ReviewCodes": {
        "verdicts": [
            {"verdict": "same", "reasons": ["scar"], "needs_note_or_reason": False},
            {"verdict": "different", "reasons": [], "needs_note_or_reason": False},
        ]
    },
    "ReviewNumbers": {
        "since": AT,
        "opened": 12,
        "resolved": 11,
        "reviewers": [
            {
                "actor": PERSON,
                "actor_name": "ada",
                "decisions": 11,
                "verdicts": {"same": 8, "different": 3},
                "median_s": 21.5,
                "overturned": 0,
            }
        ],
        "agreement": {"cases": 4, "agreed": 4, "kappa": 1.0},
    },
    "BulkPreview": {
        "bulk_id": BULK,
        "items": [{"case_id": CASE, "version": 1, "survivor_id": SUBJECT}],
        "verdict": "same",
        "survivor_rule": "oldest_record",
        "found": 1,
        "more": False,
        "left_out": [],
    },
    "Bulk": {"bulk_id": BULK, "results": [{"case_id": CASE, "outcome": "decided", "version": 2}]},
    "BulkUndone": {"bulk_id": BULK, "results": [{"case_id": CASE, "outcome": "undone"}]},
    "Scan": _SCAN,
    "ScanPlan": {
        "threshold": 0.5,
        "since_seq": 1500,
        "up_to_seq": 2000,
        "templates_total": 480,
        "templates_older": 1440,
        "comparisons": 806160,
        "estimated_s": 0.4,
    },
    "Page_Scan_": _page(_SCAN),
    "Self": {
        "instance": "b1",
        "version": "0.1.0",
        "model_id": MODEL,
        "engine": "offline",
        "verification_threshold": 0.45,
        "review_threshold": 0.5,
        "certain_threshold": 0.6,
        "gallery_size": 2,
        "gallery_memory_bytes": 4096,
        "gallery_memory_limit_bytes": 1073741824,
        "seq": 2,
        "lag_s": 0.0,
        "checksum": "5d41402a",
        "draining": False,
        "started_at": AT,
        "pid": 4711,
    },
    "Stats": {
        "subjects": 2,
        "samples": 2,
        "cases": {"open": 1},
        "oldest_open_case_at": AT,
        "decisions": 0,
        "overdue": 0,
        "oldest_waiting_case_at": AT,
        "opened_last_hour": 1,
        "resolved_last_hour": 0,
    },
    "CalibrationInForce": {
        "model_id": MODEL,
        "calibration": {
            "id": "offline-portraits-1",
            "source": "166 photographs of 122 people, 13,629 impostor pairs; official portraits",
            "trials": 13_629,
            "supported_fmr": 0.00022,
            "supported_from": 0.3,
            "points": [{"score": 0.3, "fmr": 0.1445}, {"score": 0.48, "fmr": 0.00022}],
            "genuine": None,
        },
        "thresholds": {"verification": 0.45, "review": 0.5, "certain": 0.65, "review_set_by": "engine"},
        "target": None,
        "gallery_size": 2,
        "searches_per_day": 0.3,
        "expected": _EXPECTATION,
        "rates": {"verification": {**_RATES, "threshold": 0.45}, "review": _RATES, "certain": {**_RATES, "threshold": 0.65}},
    },
    "Simulation": {
        "now": _EXPECTATION,
        "then": {**_EXPECTATION, "threshold": 0.55},
        "rates_now": _RATES,
        "rates_then": {**_RATES, "threshold": 0.55},
        "target": None,
        "gallery_size": 2,
        "searches_per_day": 0.3,
        "resolved": {
            "same_flagged": 8,
            "same_missed": 1,
            "different_flagged": 0,
            "different_spared": 3,
            "missed_at_least": {"count": 1, "of": 9, "low": 0.0028, "high": 0.4825},
            "by_score": [
                {"score_from": 0.5, "score_to": 0.55, "same": {"count": 1, "of": 4, "low": 0.0063, "high": 0.8059}},
            ],
        },
        "waiting": {"cases": 1, "cases_spared": 0, "pairs": 1, "pairs_spared": 0},
        "unknown_below": None,
        "caveats": [],
    },
    "Key": _KEY,
    "Page_Key_": _page(_KEY),
    "NewKey": {**_KEY, "last_used_at": None, "secret": "fa_EXAMPLE-shown-once"},
    "Page_AuditEvent_": _page(_EVENT),
    "AuditHead": {"position": 41, "hash": "9f2c" * 16, "at": LATER, "waiting": 0},
    "AuditVerification": {
        "holds": True,
        "position": 41,
        "hash": "9f2c" * 16,
        "checked": 41,
        "broken_at": None,
        "why": None,
        "restores": [],
        "head": {"position": 41, "hash": "9f2c" * 16, "at": LATER, "waiting": 0},
        "next": None,
    },
}

UNHEALTHY = {**ANSWERS["Health"], "status": "unhealthy"}
NOT_READY = {
    **ANSWERS["Ready"],
    "status": "not_ready",
    "reason": "database",
    "checks": {"database": {"status": "fail", "latency_ms": 2000.0, "detail": "It does not answer"}},
}
REJECTED = {"rejected as a certain duplicate": _REJECTED}
METRICS = 'http_requests_total{method="POST",route="/v1/verify",status="200"} 42.0\n'


def named(examples: Mapping[str, Example]) -> dict[str, Any]:
    """The `examples` of a media type."""
    return {
        name: {"value": value} | ({"description": IMAGE_NOTE} if IMAGE in str(value) else {}) for name, value in examples.items()
    }
