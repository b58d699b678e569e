"""A typed, synchronous client of the backend's API: httpx and the wire models, nothing else of ours.

Several base URLs mean fail-over: a request goes to the URL that answered last; where that one cannot be reached the
next is tried. A request that may have arrived is sent again only where repeating it is harmless: reads, searches,
`DELETE`, decisions by their version, and whatever carries an `Idempotency-Key` (whatever creates something does).
Raises `ProblemError` for an error that the backend explains, `Unreachable` where none answers.

    with BackendClient(urls=["https://b1:8000", "https://b2:8000"], token=mint_token, ca_file="ca.pem") as backend:
        backend.enrol([photo], external_id="A-17")
"""

from __future__ import annotations

import ssl
import threading
import uuid
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from backend import wire

Model = TypeVar("Model", bound=BaseModel)
Token = str | Callable[[], str] | None

PROBLEM = "application/problem+json"
GATEWAY_FAILURES = frozenset({502, 503, 504})


class ClientError(Exception):
    """Root of what this client raises."""


class Unreachable(ClientError):
    """None of the base URLs answered; `causes` holds the name of the failure for each URL."""

    def __init__(self, causes: Mapping[str, str]) -> None:
        self.causes = dict(causes)
        super().__init__("no backend answers: " + ", ".join(f"{url} ({cause})" for url, cause in causes.items()))


class ProblemError(ClientError):
    """The backend (or the balancer before it) answered with an error; the fields are those of its problem document."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        title: str = "",
        request_id: str | None = None,
        served_by: str | None = None,
        retry_after_s: float | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status, self.code, self.detail, self.title = status, code, detail, title
        self.request_id, self.served_by, self.retry_after_s = request_id, served_by, retry_after_s
        self.errors = list(errors)


@dataclass(frozen=True)
class NewSubject:
    """One person to enrol; `images` are files' bytes. `idempotency_key` stands for it alone, in whichever batch it is sent."""

    images: Sequence[bytes]
    external_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    on_duplicate: wire.OnDuplicate = wire.OnDuplicate.flag
    face: wire.FaceChoice = wire.FaceChoice.only
    retain_until: datetime | None = None
    idempotency_key: str | None = None

    def body(self) -> dict[str, Any]:
        return {
            "images": [_text(image) for image in self.images],
            "external_id": self.external_id,
            "metadata": dict(self.metadata),
            "on_duplicate": self.on_duplicate,
            "face": self.face,
            "retain_until": self.retain_until.isoformat() if self.retain_until else None,
        }


class BackendClient:
    """One connection pool for one caller; safe to use from several threads."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        token: Token = None,
        ca_file: Path | str | None = None,
        timeout: float = 30.0,
        synthetic: bool = False,
    ) -> None:
        """`token`: an API key, a person's token, or a function that gives a fresh one for each request. `ca_file` is
        trusted beside the system's roots. `timeout` is in seconds. `synthetic` marks demo traffic, which counts in no share.
        """
        if not urls:
            raise ValueError("give at least one base URL")
        self._urls = [url.rstrip("/") for url in urls]
        self._first = 0
        self._lock = threading.Lock()
        self._token = token
        trust = ssl.create_default_context()
        if ca_file is not None:
            trust.load_verify_locations(cafile=str(ca_file))
        self._http = httpx.Client(
            verify=trust,
            timeout=httpx.Timeout(timeout, connect=min(timeout, 3.0)),
            headers={"X-Synthetic": "1"} if synthetic else {},
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # --- enrolment and subjects -----------------------------------------------------------------------------------

    def enrol(
        self,
        images: Sequence[bytes],
        *,
        external_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        on_duplicate: wire.OnDuplicate = wire.OnDuplicate.flag,
        face: wire.FaceChoice = wire.FaceChoice.only,
        retain_until: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> wire.Enrolment:
        """Enrol one person from files' bytes. A rejected duplicate is an answer too: `state` is `rejected`."""
        new = NewSubject(images, external_id, metadata or {}, on_duplicate, face, retain_until)
        return self._enrolment("/v1/subjects", new.body(), idempotency_key)

    def enrol_batch(self, subjects: Sequence[NewSubject], *, idempotency_key: str | None = None) -> list[wire.EnrolResult]:
        """Enrol several people, each with a result of its own, in order. One of status 503 may be sent again, with its key."""
        body = {"subjects": [subject.body() | {"idempotency_key": subject.idempotency_key} for subject in subjects]}
        key = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        answer = self._send("POST", "/v1/subjects/batch", json=body, headers=key, repeatable=True)
        return _read(wire.EnrolBatch, answer).results

    def add_samples(
        self,
        subject_id: str,
        images: Sequence[bytes],
        *,
        face: wire.FaceChoice = wire.FaceChoice.only,
        idempotency_key: str | None = None,
    ) -> wire.Enrolment:
        body = {"images": [_text(image) for image in images], "face": face}
        return self._enrolment(_path("subjects", subject_id, "samples"), body, idempotency_key)

    def subject(self, subject_id: str) -> wire.Subject:
        return self._get(_path("subjects", subject_id), wire.Subject)

    def subjects(
        self,
        *,
        cursor: str | None = None,
        limit: int = 50,
        external_id: str | None = None,
        query: str | None = None,
        state: wire.SubjectState | None = None,
    ) -> wire.Page[wire.Subject]:
        asked = {"cursor": cursor, "limit": limit, "external_id": external_id, "query": query, "state": state}
        return self._get("/v1/subjects", wire.Page[wire.Subject], asked)

    def change_subject(self, subject_id: str, changes: Mapping[str, Any], *, version: int | None = None) -> wire.Subject:
        """Change what `changes` holds of external_id, metadata, retain_until; with `version`: only if it still has that one."""
        answer = self._send("PATCH", _path("subjects", subject_id), json=dict(changes), headers=_if_match(version))
        return _read(wire.Subject, answer)

    def erase_subject(self, subject_id: str, *, version: int | None = None) -> None:
        self._send("DELETE", _path("subjects", subject_id), headers=_if_match(version), repeatable=True)

    def export_subject(self, subject_id: str) -> bytes:
        """All that is held on a person, as a JSON document (`backend.export_format.SubjectExport`); each export is audited."""
        return self._send("GET", _path("subjects", subject_id, "export"), repeatable=True).content

    def erase_sample(self, subject_id: str, sample_id: str, *, version: int | None = None) -> None:
        """One picture and its template; `ProblemError` with code `last_sample` for the only active one of a subject."""
        self._send("DELETE", _path("subjects", subject_id, "samples", sample_id), headers=_if_match(version), repeatable=True)

    def sample_image(self, subject_id: str, sample_id: str) -> bytes:
        """The face crop as JPEG; reviewers only, and each look is audited."""
        return self._send("GET", _path("subjects", subject_id, "samples", sample_id, "image"), repeatable=True).content

    # --- recognition ----------------------------------------------------------------------------------------------

    def detect(self, image: bytes) -> wire.Detection:
        return self._search("/v1/detect", {"image": _text(image)}, wire.Detection)

    def verify(
        self,
        image: bytes,
        *,
        subject_id: str | None = None,
        reference_image: bytes | None = None,
        threshold: float | None = None,
    ) -> wire.Verification:
        """`image` against either a subject or a reference image."""
        body = {
            "image": _text(image),
            "subject_id": subject_id,
            "reference_image": None if reference_image is None else _text(reference_image),
            "threshold": threshold,
        }
        return self._search("/v1/verify", body, wire.Verification)

    def identify(
        self, image: bytes, *, threshold: float | None = None, limit: int = 10, min_seq: int | None = None
    ) -> wire.Identification:
        """Who is in the image. `min_seq`: the `seq` of an enrolment that must be seen."""
        body = {"image": _text(image), "threshold": threshold, "limit": limit, "min_seq": min_seq}
        return self._search("/v1/identify", body, wire.Identification)

    # --- the review queue -----------------------------------------------------------------------------------------

    def cases(
        self,
        *,
        state: wire.CaseState | None = None,
        cursor: str | None = None,
        limit: int = 50,
        min_score: float | None = None,
        max_score: float | None = None,
        created_from: datetime | None = None,
        created_until: datetime | None = None,
        source: Literal["enrolment", "scan", "manual"] | None = None,
        band: Literal["review", "certain"] | None = None,
        assignee: str | None = None,
        held: bool | None = None,
        overdue: bool | None = None,
        subject_id: str | None = None,
        order: Literal["priority", "due"] | None = None,
    ) -> wire.Page[wire.CaseSummary]:
        """The most pressing first, or what is due first. `assignee`: the id of who holds a case; `held`: whether anybody does.

        `created_from` and `created_until` are aware. A cursor is of one order. `subject_id`: cases of this record and of those
        merged into it.
        """
        asked: dict[str, Any] = {"state": state, "cursor": cursor, "limit": limit, "min_score": min_score, "max_score": max_score}
        asked |= {"created_from": _moment(created_from), "created_until": _moment(created_until), "held": held}
        asked |= {"source": source, "band": band, "assignee": assignee, "overdue": overdue, "order": order}
        asked |= {"subject_id": subject_id}
        return self._get("/v1/duplicates", wire.Page[wire.CaseSummary], asked)

    def case(self, case_id: str) -> wire.Case:
        return self._get(_path("duplicates", case_id), wire.Case)

    def next_case(self) -> wire.Case:
        """Claim the most pressing case; `ProblemError` with code `nothing_to_review` where none is waiting."""
        return self._create("/v1/duplicates/next", None, wire.Case, None)

    def claim(self, case_id: str, *, version: int | None = None) -> wire.Case:
        return self._post(_path("duplicates", case_id, "claim"), {"version": version}, wire.Case, repeatable=True)

    def heartbeat(self, case_id: str) -> wire.Case:
        return self._post(_path("duplicates", case_id, "heartbeat"), None, wire.Case, repeatable=True)

    def release(self, case_id: str) -> wire.Case:
        return self._post(_path("duplicates", case_id, "release"), None, wire.Case, repeatable=True)

    def takeover(self, case_id: str) -> wire.Case:
        return self._post(_path("duplicates", case_id, "takeover"), None, wire.Case)

    def decide(
        self,
        case_id: str,
        verdict: wire.Verdict,
        *,
        version: int,
        survivor_id: str | None = None,
        note: str | None = None,
        reason: str | None = None,
    ) -> wire.Case:
        body = {"verdict": verdict, "version": version, "survivor_id": survivor_id, "note": note}
        body |= {} if reason is None else {"reason": reason}  # a backend of before there were reasons refuses the field
        return self._post(_path("duplicates", case_id, "decide"), body, wire.Case, repeatable=True)

    def undo(self, case_id: str, *, version: int, note: str | None = None) -> wire.Case:
        return self._post(_path("duplicates", case_id, "undo"), {"version": version, "note": note}, wire.Case, repeatable=True)

    def review_codes(self) -> wire.ReviewCodes:
        """Which verdicts and reasons are offered."""
        return self._get("/v1/duplicates/codes", wire.ReviewCodes)

    def put_together(self, subject_ids: Sequence[str], *, note: str | None = None, override_different: bool = False) -> wire.Case:
        """Put records before reviewers that no search put together. Sent again, the same open case is the answer."""
        body = {"subject_ids": list(subject_ids), "note": note, "override_different": override_different}
        return self._post("/v1/duplicates", body, wire.Case, repeatable=True)

    def preview_bulk(
        self,
        *,
        source: wire.CaseSource | None = None,
        created_from: datetime | None = None,
        created_until: datetime | None = None,
        limit: int = 100,
    ) -> wire.BulkPreview:
        """Which cases of identical pictures `decide_bulk` would decide."""
        asked = wire.BulkPreviewRequest(source=source, created_from=created_from, created_until=created_until, limit=limit)
        return self._post("/v1/duplicates/bulk/preview", asked.model_dump(mode="json"), wire.BulkPreview, repeatable=True)

    def decide_bulk(
        self, bulk_id: str, items: Sequence[wire.BulkItem], *, note: str | None = None, reason: str | None = None
    ) -> wire.Bulk:
        """`items`: those of the preview with this `bulk_id`, or some of them."""
        request = wire.BulkRequest(bulk_id=bulk_id, items=list(items), note=note, reason=reason)
        return self._post("/v1/duplicates/bulk", request.model_dump(mode="json"), wire.Bulk, repeatable=True)

    def undo_bulk(self, bulk_id: str) -> wire.BulkUndone:
        return self._post(_path("duplicates", "bulk", bulk_id, "undo"), None, wire.BulkUndone, repeatable=True)

    # --- the fleet, keys, audit -----------------------------------------------------------------------------------

    def health(self) -> wire.Health:
        return self._probe("/health", wire.Health)

    def live(self) -> wire.Live:
        return self._probe("/live", wire.Live)

    def ready(self) -> wire.Ready:
        return self._probe("/ready", wire.Ready)

    def self(self) -> wire.Self:
        """What the replica that answers is."""
        return self._get("/v1/fleet/self", wire.Self)

    def drain(self) -> wire.Self:
        """Take the replica that answers out of service: name exactly one base URL."""
        return self._post("/v1/fleet/self/drain", None, wire.Self)

    def put_back(self) -> wire.Self:
        """Put the replica that answers back into service; `ProblemError` with `stopping` where it is about to end."""
        return self._post("/v1/fleet/self/return", None, wire.Self)

    def stats(self) -> wire.Stats:
        return self._get("/v1/stats", wire.Stats)

    def review_numbers(self, *, days: int = 30) -> wire.ReviewNumbers:
        return self._get("/v1/duplicates/numbers", wire.ReviewNumbers, {"days": days})

    def calibration(self) -> wire.CalibrationInForce:
        """Of the replica that answers: its calibration, thresholds and target, and what is to be expected of them."""
        return self._get("/v1/calibration", wire.CalibrationInForce)

    def simulate(self, *, threshold: float | None = None, target_fpir: float | None = None) -> wire.Simulation:
        """What another review threshold, or the one that a target comes to, would have done. Changes nothing."""
        body = {"threshold": threshold, "target_fpir": target_fpir}
        return self._search("/v1/calibration/simulate", body, wire.Simulation)

    def api_keys(self) -> list[wire.Key]:
        return self._get("/v1/keys", wire.Page[wire.Key]).items

    def create_key(
        self,
        name: str,
        scopes: Sequence[wire.Scope],
        *,
        expires_at: datetime | None = None,
        rate_per_minute: int | None = None,
        synthetic: bool = False,
        idempotency_key: str | None = None,
    ) -> wire.NewKey:
        body: dict[str, Any] = {
            "name": name,
            "scopes": list(scopes),
            "expires_at": expires_at.isoformat() if expires_at else None,
        }
        # a backend of before there were rates refuses the fields
        body |= {} if rate_per_minute is None else {"rate_per_minute": rate_per_minute}
        body |= {"synthetic": True} if synthetic else {}
        return self._create("/v1/keys", body, wire.NewKey, idempotency_key)

    def change_key(self, key_id: str, changes: Mapping[str, Any]) -> wire.Key:
        """Change what `changes` holds of rate_per_minute, synthetic."""
        answer = self._send("PATCH", _path("keys", key_id), json=dict(changes), repeatable=True)
        return _read(wire.Key, answer)

    def revoke_key(self, key_id: str) -> wire.Key:
        answer = self._send("DELETE", _path("keys", key_id), repeatable=True)
        return _read(wire.Key, answer)

    def audit(
        self,
        *,
        cursor: str | None = None,
        limit: int = 50,
        actor: str | None = None,
        action: str | None = None,
        object_id: str | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
    ) -> wire.Page[wire.AuditEvent]:
        """Newest first; conditions are exact, and all of them must hold. `after` is inclusive, `before` is not."""
        asked: dict[str, Any] = {"cursor": cursor, "limit": limit, "actor": actor, "action": action, "object_id": object_id}
        asked |= {"after": after and after.isoformat(), "before": before and before.isoformat()}
        return self._get("/v1/audit", wire.Page[wire.AuditEvent], asked)

    def start_scan(
        self,
        *,
        threshold: float | None = None,
        whole: bool = False,
        reopen_distinct: bool = False,
        dry_run: bool = False,
        idempotency_key: str | None = None,
    ) -> wire.Scan:
        body = {"threshold": threshold, "whole": whole, "reopen_distinct": reopen_distinct, "dry_run": dry_run}
        return self._create("/v1/scans", body, wire.Scan, idempotency_key)

    def scans(self, *, cursor: str | None = None, limit: int = 50) -> wire.Page[wire.Scan]:
        return self._get("/v1/scans", wire.Page[wire.Scan], {"cursor": cursor, "limit": limit})

    def scan_plan(self, *, threshold: float | None = None, whole: bool = False) -> wire.ScanPlan:
        """What a scan would cost that were started now."""
        return self._get("/v1/scans/plan", wire.ScanPlan, {"threshold": threshold, "whole": whole})

    def scan(self, scan_id: str) -> wire.Scan:
        return self._get(_path("scans", scan_id), wire.Scan)

    def cancel_scan(self, scan_id: str) -> wire.Scan:
        return self._post(_path("scans", scan_id, "cancel"), None, wire.Scan)

    def resume_scan(self, scan_id: str) -> wire.Scan:
        """One that was cancelled or failed goes on where it stopped."""
        return self._post(_path("scans", scan_id, "resume"), None, wire.Scan)

    def audit_head(self) -> wire.AuditHead:
        return self._get("/v1/audit/head", wire.AuditHead)

    def verify_audit(self, *, cursor: str | None = None) -> wire.AuditVerification:
        """Follow a stretch of the chain; where the answer has a `next`, go on with it as `cursor`."""
        return self._get("/v1/audit/verification", wire.AuditVerification, {"cursor": cursor})

    # --- how requests are sent ------------------------------------------------------------------------------------

    def _get(self, path: str, model: type[Model], asked: Mapping[str, Any] | None = None) -> Model:
        params = {name: value for name, value in (asked or {}).items() if value is not None}
        return _read(model, self._send("GET", path, params=params, repeatable=True))

    def _post(self, path: str, body: Mapping[str, Any] | None, model: type[Model], *, repeatable: bool = False) -> Model:
        return _read(model, self._send("POST", path, json=body, repeatable=repeatable))

    def _create(self, path: str, body: Mapping[str, Any] | None, model: type[Model], idempotency_key: str | None) -> Model:
        key = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        return _read(model, self._send("POST", path, json=body, headers=key, repeatable=True))

    def _search(self, path: str, body: Mapping[str, Any], model: type[Model]) -> Model:
        return self._post(path, body, model, repeatable=True)

    def _enrolment(self, path: str, body: Mapping[str, Any], idempotency_key: str | None) -> wire.Enrolment:
        key = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        answer = self._send("POST", path, json=body, headers=key, repeatable=True, answers=(409,))
        return _read(wire.Enrolment, answer)

    def _probe(self, path: str, model: type[Model]) -> Model:
        return _read(model, self._send("GET", path, repeatable=True, answers=(503,)))

    def _send(
        self,
        method: Literal["GET", "POST", "PATCH", "DELETE"],
        path: str,
        *,
        repeatable: bool = False,
        answers: Sequence[int] = (),
        headers: Mapping[str, str] | None = None,
        **parts: Any,
    ) -> httpx.Response:
        """The first answer that is not a failure to reach a backend; `answers` are error statuses with a body of their own."""
        causes: dict[str, str] = {}
        refusal: ProblemError | None = None
        start = self._first
        for turn in range(len(self._urls)):
            place = (start + turn) % len(self._urls)
            try:
                response = self._http.request(method, self._urls[place] + path, headers=self._headers(headers), **parts)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                causes[self._urls[place]] = type(error).__name__
                continue
            except httpx.TransportError as error:
                causes[self._urls[place]] = type(error).__name__
                if repeatable:
                    continue
                break
            if response.is_success or (response.status_code in answers and not _is_problem(response)):
                self._first = place
                return response
            refusal = _problem(response)
            if response.status_code not in GATEWAY_FAILURES or not repeatable:
                break
        if refusal is not None:
            raise refusal
        raise Unreachable(causes)

    def _headers(self, more: Mapping[str, str] | None) -> dict[str, str]:
        secret = self._token() if callable(self._token) else self._token
        return {**({"Authorization": f"Bearer {secret}"} if secret else {}), **(more or {})}


def _path(*parts: str) -> str:
    """Below `/v1`; each part stays one part whatever is in it: an id that somebody typed must not choose another path."""
    return "/v1/" + "/".join(quote(part, safe="").replace(".", "%2E") for part in parts)


def _text(image: bytes) -> str:
    return b64encode(image).decode("ascii")


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _if_match(version: int | None) -> dict[str, str]:
    return {} if version is None else {"If-Match": f'"{version}"'}


def _is_problem(response: httpx.Response) -> bool:
    return str(response.headers.get("content-type", "")).startswith(PROBLEM)


def _read(model: type[Model], answer: httpx.Response) -> Model:
    """Raises `Unreachable` for an answer that is not the backend's: a proxy's page, or another program's."""
    try:
        return model.model_validate_json(answer.content)
    except ValidationError as error:
        asked = answer.request.url
        raise Unreachable(
            {f"{asked.scheme}://{asked.netloc.decode()}": "gave something that is not the backend's answer"}
        ) from error


def _problem(response: httpx.Response) -> ProblemError:
    """The error of `response`; a balancer's own page becomes the code `http_<status>`."""
    try:
        document = wire.Problem.model_validate_json(response.content)
    except ValidationError:
        reason = response.reason_phrase or "an error without explanation"
        document = wire.Problem(
            type="about:blank", title=reason, status=response.status_code, detail=reason, code=f"http_{response.status_code}"
        )
    wait = response.headers.get("retry-after", "")
    return ProblemError(
        response.status_code,
        document.code,
        document.detail,
        title=document.title,
        request_id=response.headers.get("x-request-id"),
        served_by=response.headers.get("x-served-by"),
        retry_after_s=float(wait) if wait.isdecimal() else None,
        errors=document.errors or (),
    )
