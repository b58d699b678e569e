"""Reads everything that the API's description offers, as anybody who can sign in and with every kind of key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from backend.wire import CaseState, SubjectState
from tests.api.service import Service
from tests.system.sameness import Sameness

MOST_PAGES = 200
MOST_SHOWN = 300
PLAIN = ("/v1/duplicates/codes", "/v1/stats", "/v1/calibration", "/v1/fleet/self", "/v1/audit/head")
PROBES = ("/health", "/live", "/ready")
APART = frozenset({"/metrics"})
"""Read once for all, when its gauges are up to date."""
RECORDED = ("/image", "/export")
UNTOLD = frozenset({"date"})
"""headers that hold a time alone"""


@dataclass(frozen=True)
class Known:
    """What there is to ask for. `moment` lies after all that was done before the runs parted."""

    cases: Sequence[str]
    samples: Mapping[str, Sequence[str]]
    """subject → its samples"""
    scans: Sequence[str]
    keys: Sequence[str]
    people: Sequence[str]
    external_ids: Sequence[str]
    moment: datetime


@dataclass(frozen=True)
class Answer:
    """`asked`: by whom and what."""

    asked: str
    status: int
    headers: tuple[str, ...]
    body: str


@dataclass
class Crawler:
    """Keeps every answer, in order, as `same` shows it."""

    service: Service
    same: Sameness
    answers: list[Answer] = field(default_factory=list)
    endpoints: set[str] = field(default_factory=set)

    def ask(self, who: str, token: str, method: str, path: str, json: object = None) -> httpx.Response:
        """Ask, and keep the answer."""
        number = len(self.answers)
        answer = self.service.request(method, path, token, json, **{"X-Request-ID": f"crawl-{number}"})
        body = answer.content.decode("utf-8", errors="backslashreplace")
        headers = {name: value for name, value in answer.headers.items() if name not in UNTOLD}
        if "content-length" in headers:
            assert int(headers["content-length"]) == len(answer.content)
        shown = self.same.text(body)
        headers |= {"content-length": str(len(shown))} if "content-length" in headers else {}
        told = tuple(self.same.text(f"{name}: {value}") for name, value in sorted(headers.items()))
        self.answers.append(
            Answer(self.same.text(f"{who} {method} {path} {json or ''}"[:MOST_SHOWN]), answer.status_code, told, shown)
        )
        return answer

    def read_everything(self, who: str, token: str, known: Known, *, recorded: bool) -> None:
        """Every GET of the description; `recorded`: those that leave an event in the audit trail, or else all others.

        Fails for a route, or a parameter, that nobody taught it to fill in.
        """
        described = described_reads(self.service)
        self.endpoints |= described.keys()
        if missing := described.keys() - FILLED.keys() - APART:
            raise AssertionError(f"new routes that the crawler cannot read yet: {sorted(missing)}")
        for path in sorted(described.keys() - APART):
            if path.endswith(RECORDED) is not recorded:
                continue
            asked: set[str] = set()
            for filled in FILLED[path](known):
                asked |= {name for name, _ in parse_qsl(urlsplit(filled).query)}
                self._pages(who, token, filled)
            if unknown := described[path] - asked - {"cursor"}:
                raise AssertionError(f"new parameters of {path} that the crawler does not give: {sorted(unknown)}")

    def _pages(self, who: str, token: str, path: str) -> None:
        """A list to its end."""
        following = path
        for _ in range(MOST_PAGES):
            answer = self.ask(who, token, "GET", following)
            document = answer.json() if answer.headers.get("content-type", "").startswith("application/json") else None
            cursor = document.get("next") if isinstance(document, dict) else None
            if cursor is None:
                return
            following = f"{path}{'&' if '?' in path else '?'}{urlencode({'cursor': cursor})}"
        raise AssertionError(f"{path} has no end")


def described_reads(service: Service) -> dict[str, set[str]]:
    """Path → its query parameters, for every GET."""
    paths = service.get("/openapi.json").json()["paths"]
    return {
        path: {one["name"] for one in methods["get"].get("parameters", ()) if one["in"] == "query"}
        for path, methods in paths.items()
        if "get" in methods
    }


# --- what is filled in --------------------------------------------------------------------------------------------


def _lists(path: str, limits: Sequence[int], **more: Sequence[object]) -> Iterator[str]:
    """Each limit, and at the last of them every combination of `more`; None leaves a parameter out."""
    for limit in limits:
        yield f"{path}?limit={limit}"
    for chosen in product(*((None, *values) for values in more.values())):
        given = {name: value for name, value in zip(more, chosen, strict=True) if value is not None}
        yield f"{path}?{urlencode({'limit': limits[-1], **given})}"


def _each_alone(path: str, **more: Sequence[object]) -> Iterator[str]:
    for name, values in more.items():
        for value in values:
            yield f"{path}?{urlencode({'limit': 200, name: value})}"


def _cases(known: Known) -> Iterator[str]:
    yield "/v1/duplicates"
    yield from _lists("/v1/duplicates", (1, 3, 200), state=list(CaseState), min_score=[0.6])
    kinds = {"source": ["enrolment", "scan", "manual"], "band": ["review", "certain"], "order": ["due"]}
    kinds |= {"held": ["true", "false"], "max_score": ["0.6"]}
    moment = known.moment.astimezone(UTC).isoformat()
    kinds |= {"created_from": [moment], "created_until": [moment]}
    whose = {"assignee": known.people, "subject_id": list(known.samples)}
    yield from _each_alone("/v1/duplicates", **kinds, overdue=["true", "false"], **whose)


def _subjects(known: Known) -> Iterator[str]:
    yield "/v1/subjects"
    yield from _lists("/v1/subjects", (3, 200), state=list(SubjectState))
    yield from _each_alone("/v1/subjects", external_id=known.external_ids, query=[*known.samples, "sub_", *known.external_ids])


def _audit(known: Known) -> Iterator[str]:
    yield "/v1/audit"
    yield from _lists("/v1/audit", (50, 200))
    words = ("claim", "decide", "undo", "release", "takeover", "reopen")
    actions = [*(f"case.{word}" for word in words), "subject.enrol", "subject.export", "sample.view"]
    objects = [*known.cases, *known.samples]
    moment = known.moment.astimezone(UTC).isoformat()
    yield from _each_alone("/v1/audit", actor=known.people, action=actions, object_id=objects, after=[moment], before=[moment])


def _plans(known: Known) -> Iterator[str]:
    for threshold, whole in product((0.3, 0.6), ("true", "false")):
        yield f"/v1/scans/plan?{urlencode({'threshold': threshold, 'whole': whole})}"


FILLED: Mapping[str, Callable[[Known], Iterator[str]]] = {
    **{path: lambda known, path=path: iter([path]) for path in (*PROBES, *PLAIN)},
    "/v1/duplicates": _cases,
    "/v1/duplicates/numbers": lambda known: (f"/v1/duplicates/numbers?days={days}" for days in (1, 30, 365)),
    "/v1/duplicates/{case_id}": lambda known: (f"/v1/duplicates/{one}" for one in known.cases),
    "/v1/subjects": _subjects,
    "/v1/subjects/{subject_id}": lambda known: (f"/v1/subjects/{one}" for one in known.samples),
    "/v1/subjects/{subject_id}/export": lambda known: (f"/v1/subjects/{one}/export" for one in known.samples),
    "/v1/subjects/{subject_id}/samples/{sample_id}/image": lambda known: (
        f"/v1/subjects/{subject}/samples/{sample}/image" for subject, samples in known.samples.items() for sample in samples
    ),
    "/v1/keys": lambda known: iter(["/v1/keys"]),
    "/v1/scans/plan": _plans,
    "/v1/scans": lambda known: _lists("/v1/scans", (1, 200)),
    "/v1/scans/{scan_id}": lambda known: (f"/v1/scans/{one}" for one in known.scans),
    "/v1/audit": _audit,
    "/v1/audit/verification": lambda known: iter(["/v1/audit/verification"]),
}
