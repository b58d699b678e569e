"""Scans over HTTP: started by who may, worked on by the service itself, told as they go."""

from __future__ import annotations

import pytest

from backend.client import ProblemError
from backend.wire import ScanState
from tests.api.service import Service, problem_of, wait_until


def test_a_scan_is_started_worked_on_and_told_to_the_end(service: Service) -> None:
    with service.client(service.site.key("supervisor")) as client:
        plan = client.scan_plan(whole=True)
        assert client.scans().items == []
        scan = client.start_scan(whole=True)
        assert (plan.templates_total, plan.up_to_seq, plan.threshold) == (scan.templates_total, scan.up_to_seq, scan.threshold)
        assert scan.state is ScanState.waiting
        wait_until(lambda: client.scan(scan.id).state is ScanState.done, what="the end of the scan")
        done = client.scan(scan.id)
        assert done.templates_done == done.templates_total
        assert client.scans().items[0] == done
        assert done.started_by_name == "supervisor"
        for ask in (client.cancel_scan, client.resume_scan):
            with pytest.raises(ProblemError) as ended:
                ask(scan.id)
            assert (ended.value.status, ended.value.code) == (409, "scan_state_conflict")
        events = [event.action for event in client.audit(object_id=scan.id).items]
    assert events == ["scan.done", "scan.start"]


def test_what_is_wrong_with_a_request_is_said(service: Service) -> None:
    key = service.site.key("supervisor")
    planned = service.get("/v1/scans/plan?threshold=0.001", key)
    assert (planned.status_code, problem_of(planned)) == (400, "invalid_threshold")
    low = service.request("POST", "/v1/scans", key, {"threshold": 0.001})
    assert (low.status_code, problem_of(low)) == (400, "invalid_threshold")
    assert "half of the review threshold" in low.json()["detail"]
    unknown = service.request("POST", "/v1/scans", key, {"treshold": 0.5})
    assert (unknown.status_code, problem_of(unknown)) == (422, "invalid_request")
    for missing in (
        service.get("/v1/scans/scan_nobody", key),
        service.request("POST", "/v1/scans/scan_nobody/resume", key),
    ):
        assert (missing.status_code, problem_of(missing)) == (404, "scan_not_found")
