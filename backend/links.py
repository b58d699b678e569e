"""Where an answer leads: the OpenAPI links from one operation to those that take an id of its answer.

They tell readers what follows what, and a stateful test walks along them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backend.examples import IMAGE

BODY = "$response.body#"


@dataclass(frozen=True)
class Link:
    """`to`: method and path of the operation; `parameters` and `body` are made of runtime expressions."""

    to: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


def _subject(at: str) -> dict[str, Link]:
    """What can be done with the subject whose id stands `at` that place of the answer."""
    path = {"subject_id": BODY + at}
    return {
        "read": Link("GET /v1/subjects/{subject_id}", path),
        "change": Link("PATCH /v1/subjects/{subject_id}", path),
        "erase": Link("DELETE /v1/subjects/{subject_id}", path),
        "export": Link("GET /v1/subjects/{subject_id}/export", path),
        "addSamples": Link("POST /v1/subjects/{subject_id}/samples", path),
        "verify": Link("POST /v1/verify", body={"image": IMAGE, "subject_id": BODY + at}),
    }


def _sample(subject: str, sample: str) -> dict[str, Link]:
    path = {"subject_id": BODY + subject, "sample_id": BODY + sample}
    return {
        "seeImage": Link("GET /v1/subjects/{subject_id}/samples/{sample_id}/image", path),
        "eraseSample": Link("DELETE /v1/subjects/{subject_id}/samples/{sample_id}", path),
    }


def _case(at: str) -> dict[str, Link]:
    path = {"case_id": BODY + at}
    return {
        "readCase": Link("GET /v1/duplicates/{case_id}", path),
        "claim": Link("POST /v1/duplicates/{case_id}/claim", path),
        "takeover": Link("POST /v1/duplicates/{case_id}/takeover", path),
    }


_PATH = {"case_id": BODY + "/id"}
_WORK = {
    "decide": Link("POST /v1/duplicates/{case_id}/decide", _PATH, body={"verdict": "different", "version": BODY + "/version"}),
    "heartbeat": Link("POST /v1/duplicates/{case_id}/heartbeat", _PATH),
    "release": Link("POST /v1/duplicates/{case_id}/release", _PATH),
}
_VERSION = {"subject_id": BODY + "/id", "If-Match": "$response.header.ETag"}
_SCAN = {
    "readScan": Link("GET /v1/scans/{scan_id}", {"scan_id": BODY + "/id"}),
    "cancelScan": Link("POST /v1/scans/{scan_id}/cancel", {"scan_id": BODY + "/id"}),
}
_STOPPED = {"resumeScan": Link("POST /v1/scans/{scan_id}/resume", {"scan_id": BODY + "/id"})}
_ENROLLED = _subject("/subject_id") | _sample("/subject_id", "/sample_ids/0") | {"readCase": _case("/case_id")["readCase"]}

LINKS: Mapping[str, Mapping[str, Link]] = {
    "POST /v1/subjects": _ENROLLED,
    "POST /v1/subjects/{subject_id}/samples": _sample("/subject_id", "/sample_ids/0"),
    "POST /v1/subjects/batch": {
        "read": Link("GET /v1/subjects/{subject_id}", {"subject_id": BODY + "/results/0/enrolment/subject_id"})
    },
    "GET /v1/subjects": {
        "read": Link("GET /v1/subjects/{subject_id}", {"subject_id": BODY + "/items/0/id"}),
        "putTogether": Link("POST /v1/duplicates", body={"subject_ids": [BODY + "/items/0/id", BODY + "/items/1/id"]}),
        "nextPage": Link("GET /v1/subjects", {"cursor": BODY + "/next"}),
    },
    "GET /v1/subjects/{subject_id}": {
        "changeThisVersion": Link("PATCH /v1/subjects/{subject_id}", _VERSION),
        "eraseThisVersion": Link("DELETE /v1/subjects/{subject_id}", _VERSION),
    },
    "GET /v1/duplicates": _case("/items/0/id"),
    "POST /v1/duplicates": _case("/id"),
    "POST /v1/duplicates/next": _WORK,
    "POST /v1/duplicates/{case_id}/claim": _WORK,
    "POST /v1/duplicates/{case_id}/takeover": _WORK,
    "POST /v1/duplicates/{case_id}/decide": {
        "undo": Link("POST /v1/duplicates/{case_id}/undo", _PATH, body={"version": BODY + "/version"})
    },
    "POST /v1/duplicates/bulk/preview": {
        "decideBulk": Link("POST /v1/duplicates/bulk", body={"bulk_id": BODY + "/bulk_id", "items": BODY + "/items"})
    },
    "POST /v1/duplicates/bulk": {"undoBulk": Link("POST /v1/duplicates/bulk/{bulk_id}/undo", {"bulk_id": BODY + "/bulk_id"})},
    "POST /v1/scans": _SCAN,
    "POST /v1/scans/{scan_id}/cancel": _STOPPED,
    "GET /v1/scans": {"readScan": Link("GET /v1/scans/{scan_id}", {"scan_id": BODY + "/items/0/id"})},
    "POST /v1/keys": {
        "changeKey": Link("PATCH /v1/keys/{key_id}", {"key_id": BODY + "/id"}),
        "revokeKey": Link("DELETE /v1/keys/{key_id}", {"key_id": BODY + "/id"}),
    },
}


def documented(links: Mapping[str, Link], operation_ids: Mapping[str, str]) -> dict[str, Any]:
    """The `links` of an answer; `operation_ids` by method and path."""
    return {name: _document(link, operation_ids[link.to]) for name, link in links.items()}


def _document(link: Link, operation_id: str) -> dict[str, Any]:
    document: dict[str, Any] = {"operationId": operation_id}
    if link.parameters:
        document["parameters"] = dict(link.parameters)
    if link.body is not None:
        document["requestBody"] = link.body
    return document
