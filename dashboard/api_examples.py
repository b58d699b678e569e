"""The API by example: for each important call the same request with curl and with the Python client. A test runs all of them.

`$KEY` is an API key, `$SUBJECT` and `$SCAN` ids of earlier answers; photographs lie beside the shell.
`{url}` is where the reader calls.
"""

from __future__ import annotations

from dataclasses import dataclass

from backend.wire import Scope

DOCS, SCHEMA = "/docs", "/openapi.json"


@dataclass(frozen=True)
class Example:
    """One call. `scopes`: of which a key needs one; `errors`: codes of problem documents worth a branch in a program."""

    name: str
    call: str
    about: str
    scopes: tuple[Scope, ...]
    curl: str
    python: str
    errors: tuple[str, ...] = ()


BEGIN_CURL = """\
export URL={url}
export KEY=fa_…          # from an administrator: Settings, API keys
curl --fail-with-body -H "Authorization: Bearer $KEY" $URL/v1/stats"""
BEGIN_PYTHON = """\
import os
from pathlib import Path

from backend.client import BackendClient, ProblemError

faces = BackendClient(["{url}"], token=os.environ["KEY"])"""

_CLIENT = (Scope.client, Scope.operator, Scope.admin)
_ANY = (Scope.client, Scope.operator, Scope.reviewer, Scope.supervisor, Scope.admin)
_ERASE = (Scope.client, Scope.supervisor, Scope.admin)
_AUTH = 'curl --fail-with-body -H "Authorization: Bearer $KEY"'

EXAMPLES = (
    Example(
        "Enrol a person",
        "POST /v1/subjects",
        "Adds a person to the gallery and says who there is alike. With the same Idempotency-Key it may be sent again: "
        "the answer is the first one. on_duplicate=reject refuses a certain duplicate (409).",
        _CLIENT,
        f"{_AUTH} -H 'Idempotency-Key: ada-1' -F images=@ada.jpg -F external_id=A-1"
        ' -F \'metadata={"desk": "7"}\' $URL/v1/subjects',
        'new = faces.enrol([Path("ada.jpg").read_bytes()], external_id="A-1", metadata={"desk": "7"}, idempotency_key="ada-1")\n'
        "print(new.subject_id, new.state, new.duplicates)",
        ("no_face", "several_faces", "poor_quality", "external_id_taken", "idempotency_key_reused"),
    ),
    Example(
        "Verify (1:1)",
        "POST /v1/verify",
        "Is this the person of that record? The score is the engine's own, never a percentage; it comes with its threshold and, "
        "where a calibration supports it, the false match rate to be expected.",
        _ANY,
        f'{_AUTH} -F image=@ada-2.jpg -F "subject_id=$SUBJECT" $URL/v1/verify',
        'found = faces.verify(Path("ada-2.jpg").read_bytes(), subject_id=new.subject_id)\n'
        "print(found.decision, found.score, found.threshold)",
        ("no_face", "subject_not_found"),
    ),
    Example(
        "Identify (1:N)",
        "POST /v1/identify",
        "Who is this? For each face in the image the subjects above the threshold, the most alike first; none is an answer too.",
        _ANY,
        f"{_AUTH} -F image=@ada-2.jpg $URL/v1/identify",
        'for face in faces.identify(Path("ada-2.jpg").read_bytes()).faces:\n'
        "    print([(one.subject_id, one.score) for one in face.candidates])",
        ("no_face", "gallery_behind"),
    ),
    Example(
        "Detect",
        "POST /v1/detect",
        "Where are faces, and how good are they? Nothing is stored: of use before enrolling, to tell the person at the camera.",
        _ANY,
        f"{_AUTH} -F image=@ada.jpg $URL/v1/detect",
        'for face in faces.detect(Path("ada.jpg").read_bytes()).faces:\n    print(face.box, face.quality.overall)',
        ("corrupt_image", "unsupported_image", "image_too_large"),
    ),
    Example(
        "Read a record",
        "GET /v1/subjects/{id}",
        "State, samples, metadata, what it was merged into. Lists come in pages: ask again with cursor=next until it is null.",
        _ANY,
        f'{_AUTH} $URL/v1/subjects/$SUBJECT\n{_AUTH} "$URL/v1/subjects?external_id=A-1&limit=20"',
        'print(faces.subject(new.subject_id).state)\nprint([one.id for one in faces.subjects(external_id="A-1").items])',
        ("subject_not_found", "bad_cursor"),
    ),
    Example(
        "Duplicates",
        "GET /v1/duplicates",
        "The queue of people who may be enrolled twice. Programs may read it; only people claim and decide (403 person_needed).",
        (Scope.reviewer, Scope.supervisor, Scope.admin),
        f'{_AUTH} "$URL/v1/duplicates?state=open&limit=20"',
        'print([(case.id, case.score) for case in faces.cases(state="open").items])',
    ),
    Example(
        "Scan for duplicates",
        "POST /v1/scans",
        "Compares the whole gallery in the background. Ask for its state until it is done; what it finds goes into the queue.",
        (Scope.operator, Scope.supervisor, Scope.admin),
        f"{_AUTH} -X POST -H 'Idempotency-Key: scan-1' --json '{{\"whole\": true, \"dry_run\": true}}' $URL/v1/scans\n"
        f"{_AUTH} $URL/v1/scans/$SCAN",
        "scan = faces.start_scan(whole=True, dry_run=True)\nprint(faces.scan(scan.id).state)",
        ("scan_under_way", "scan_not_found"),
    ),
    Example(
        "Export what is held on a person",
        "GET /v1/subjects/{id}/export",
        "One JSON document with every record, sample and decision, for whoever asks what is stored of them. Each is audited.",
        (Scope.supervisor, Scope.admin),
        f"{_AUTH} -o ada.json $URL/v1/subjects/$SUBJECT/export",
        'Path("ada.json").write_bytes(faces.export_subject(new.subject_id))',
        ("subject_not_found",),
    ),
    Example(
        "Erase a person",
        "DELETE /v1/subjects/{id}",
        "Templates, pictures and their key are gone at once and cannot come back. If-Match refuses a record that has changed.",
        _ERASE,
        f"{_AUTH} -X DELETE $URL/v1/subjects/$SUBJECT",
        "faces.erase_subject(new.subject_id)",
        ("subject_not_found", "precondition_failed"),
    ),
)

FAILURES_PYTHON = """\
try:
    faces.subject("sub_00000000000000000000000000000000")
except ProblemError as problem:
    print(problem.status, problem.code, problem.detail)"""


def at(text: str, url: str) -> str:
    """With the reader's own URL in it."""
    return text.replace("{url}", url.rstrip("/"))
