"""Every call against docs/audit.md: each change and each look at a face leaves the event that the document names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from backend import wire
from backend.client import NewSubject, ProblemError
from tests.api.pictures import same_woman, woman
from tests.api.service import Service
from tests.system.running_fleet import ROOT

ROW = re.compile(r"^\| `([A-Z]+ /\S+)` \| (.+?) \|", re.MULTILINE)
PROBES = {"GET /health", "GET /live", "GET /ready", "GET /metrics"}


def recorded_and_silent() -> tuple[dict[str, set[str]], set[str]]:
    """The events of each call that records some, and the calls that record none."""
    recorded, silent = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8").split("\n## What records nothing")
    events = {call: set(re.findall(r"`(.+?)`", told)) for call, told in ROW.findall(recorded)}
    return events, {call for call, _ in ROW.findall(silent)}


def described(service: Service) -> set[str]:
    paths = service.get("/openapi.json").json()["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods} - PROBES


def test_every_call_stands_in_one_of_the_two_tables(service: Service) -> None:
    events, silent = recorded_and_silent()
    assert events.keys() | silent == described(service)
    assert not events.keys() & silent
    assert all(events.values())


def test_every_call_records_what_its_row_says(service: Service) -> None:
    events, silent = recorded_and_silent()
    auditor = service.client(service.site.key("admin"))
    seen, played = 0, set()
    for call, object_id in calls(service):
        new = [event for event in auditor.audit(limit=200).items if event.seq > seen and event.actor != "system"]
        seen = max([seen, *(event.seq for event in new)])
        played.add(call)
        if call in silent:
            assert new == [], call
            continue
        (event,) = new
        assert event.action in events[call], call
        assert event.object_id == object_id, call
        assert event.actor.startswith("usr_" if event.action.startswith("case.") else "key_")
    assert played == described(service)


def calls(service: Service) -> Iterator[tuple[str, str | None]]:
    """Makes each call of the API at least once; after each its row and the id of what it was about."""
    yield from _subjects(service)
    yield from _bulk(service)
    yield from _review(service)
    yield from _searches(service)
    yield from _operation(service)


def _subjects(service: Service) -> Iterator[tuple[str, str | None]]:
    api = service.client(service.site.key("admin"))
    one, path = api.enrol([woman()]).subject_id, "/v1/subjects"
    yield f"POST {path}", one
    again = api.enrol([woman()], on_duplicate=wire.OnDuplicate.reject)
    assert again.state is wire.SubjectState.rejected
    yield f"POST {path}", again.subject_id
    (of_batch,) = api.enrol_batch([NewSubject([woman()], on_duplicate=wire.OnDuplicate.reject)])
    assert of_batch.enrolment is not None
    yield f"POST {path}/batch", of_batch.enrolment.subject_id
    added = api.add_samples(one, [same_woman(2)]).sample_ids[0]
    path += "/{subject_id}"
    yield f"POST {path}/samples", one
    assert api.sample_image(one, added)
    yield f"GET {path}/samples/{{sample_id}}/image", added
    api.change_subject(one, {"metadata": {"shelf": "7"}})
    yield f"PATCH {path}", one
    assert api.export_subject(one)
    yield f"GET {path}/export", one
    api.erase_sample(one, added)
    yield f"DELETE {path}/samples/{{sample_id}}", one
    api.subject(one)
    yield f"GET {path}", None
    api.subjects()
    yield "GET /v1/subjects", None
    api.erase_subject(one)
    yield f"DELETE {path}", one


def _bulk(service: Service) -> Iterator[tuple[str, str | None]]:
    api, path = service.client(service.site.key("admin")), "/v1/duplicates/bulk"
    ada = service.client(service.site.dashboard.token("reviewer"))
    twice = []
    for _ in range(2):
        twice.append(api.enrol([woman()]))
        yield "POST /v1/subjects", twice[-1].subject_id
    seen = ada.preview_bulk()
    yield f"POST {path}/preview", None
    assert [result.outcome for result in ada.decide_bulk(seen.bulk_id, seen.items).results] == ["decided"]
    yield f"POST {path}", twice[1].case_id
    ada.undo_bulk(seen.bulk_id)
    yield f"POST {path}/{{bulk_id}}/undo", twice[1].case_id
    for one in twice:
        api.erase_subject(one.subject_id)
        yield "DELETE /v1/subjects/{subject_id}", one.subject_id


def _review(service: Service) -> Iterator[tuple[str, str | None]]:
    api = service.client(service.site.key("admin"))
    people = []
    for picture in (woman(), same_woman()):
        enrolment = api.enrol([picture])
        people.append(enrolment.subject_id)
        yield "POST /v1/subjects", enrolment.subject_id
    path, dashboard = "/v1/duplicates/{case_id}", service.site.dashboard
    ada, eve = (service.client(dashboard.token("supervisor", name=name)) for name in ("ada", "eve"))
    case_id = ada.next_case().id
    assert case_id == enrolment.case_id
    yield "POST /v1/duplicates/next", case_id
    ada.heartbeat(case_id)
    yield f"POST {path}/heartbeat", None
    ada.release(case_id)
    yield f"POST {path}/release", case_id
    ada.claim(case_id)
    yield f"POST {path}/claim", case_id
    claimed = eve.takeover(case_id)
    yield f"POST {path}/takeover", case_id
    decided = eve.decide(case_id, wire.Verdict.different, version=claimed.version)
    yield f"POST {path}/decide", case_id
    undone = eve.undo(case_id, version=decided.version)
    yield f"POST {path}/undo", case_id
    eve.decide(case_id, wire.Verdict.poor_image, version=undone.version)
    yield f"POST {path}/decide", case_id
    eve.put_together(people)
    yield "POST /v1/duplicates", case_id
    eve.review_codes()
    yield "GET /v1/duplicates/codes", None
    eve.case(case_id)
    yield f"GET {path}", None
    eve.cases()
    yield "GET /v1/duplicates", None


def _searches(service: Service) -> Iterator[tuple[str, str | None]]:
    api = service.client(service.site.key("admin"))
    api.detect(woman())
    yield "POST /v1/detect", None
    api.verify(woman(), reference_image=same_woman())
    yield "POST /v1/verify", None
    api.identify(woman())
    yield "POST /v1/identify", None


def _operation(service: Service) -> Iterator[tuple[str, str | None]]:
    api = service.client(service.site.key("admin"))
    made = api.create_key("turnstile", [wire.Scope.client]).id
    yield "POST /v1/keys", made
    api.change_key(made, {"rate_per_minute": 600})
    yield "PATCH /v1/keys/{key_id}", made
    api.revoke_key(made)
    yield "DELETE /v1/keys/{key_id}", made
    yield from _scans(service)
    for row, ask in {
        "GET /v1/keys": api.api_keys,
        "GET /v1/stats": api.stats,
        "GET /v1/duplicates/numbers": api.review_numbers,
        "GET /v1/calibration": api.calibration,
        "POST /v1/calibration/simulate": partial(api.simulate, threshold=0.5),
        "GET /v1/audit": api.audit,
        "GET /v1/audit/head": api.audit_head,
        "GET /v1/audit/verification": api.verify_audit,
        "GET /v1/fleet/self": api.self,
    }.items():
        ask()
        yield row, None
    yield "POST /v1/fleet/self/drain", api.drain().instance
    yield "POST /v1/fleet/self/return", api.put_back().instance


def _scans(service: Service) -> Iterator[tuple[str, str | None]]:
    """Until one is cancelled before the job that works on it came to its end."""
    api = service.client(service.site.key("admin"))
    for _ in range(20):
        scan = api.start_scan(whole=True)
        yield "POST /v1/scans", scan.id
        try:
            api.cancel_scan(scan.id)
        except ProblemError as error:
            if error.code != "scan_state_conflict":
                raise
            continue
        yield "POST /v1/scans/{scan_id}/cancel", scan.id
        api.resume_scan(scan.id)
        yield "POST /v1/scans/{scan_id}/resume", scan.id
        break
    api.scan(scan.id)
    yield "GET /v1/scans/{scan_id}", None
    api.scans()
    yield "GET /v1/scans", None
    api.scan_plan()
    yield "GET /v1/scans/plan", None
