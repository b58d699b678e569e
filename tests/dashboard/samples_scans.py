"""Scans as the backend tells of them, and a small backend that starts, stops and resumes them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from backend import wire
from tests.dashboard.samples import MODEL, now
from tests.dashboard.stand_in import Asked, Reply, Route, problem

UNDER_WAY = (wire.ScanState.waiting, wire.ScanState.running)


def scan(number: int = 1, state: str = "running", **changes: Any) -> wire.Scan:
    ended = state not in ("waiting", "running")
    values: dict[str, Any] = {
        "id": f"scan_{number:08}",
        "state": state,
        "threshold": 0.5,
        "model_id": MODEL,
        "since_seq": 0,
        "up_to_seq": 42_000,
        "templates_total": 40_000,
        "templates_done": 40_000 if state == "done" else 12_288,
        "pairs_found": 14,
        "reopened": 0,
        "reopen_distinct": False,
        "dry_run": False,
        "rate_per_s": 512.4,
        "estimated_s": None if ended else 190.0,
        "problem": "more than 100000 pairs in 512 templates: raise the threshold" if state == "failed" else None,
        "started_by": "usr_ada",
        "started_by_name": "ada",
        "created_at": now() - timedelta(minutes=4),
        "started_at": now() - timedelta(minutes=4),
        "finished_at": now() - timedelta(minutes=1) if ended else None,
    }
    return wire.Scan(**(values | changes))


def plan(**changes: Any) -> wire.ScanPlan:
    values: dict[str, Any] = {
        "threshold": 0.5, "since_seq": 41_000, "up_to_seq": 42_000, "templates_total": 1_000, "templates_older": 39_000,
        "comparisons": 39_499_500, "estimated_s": 75.0,
    }  # fmt: skip
    return wire.ScanPlan(**(values | changes))


class ScanService:
    """The routes for a `StandIn`; one scan at a time, as the real one has it."""

    def __init__(self, *scans: wire.Scan) -> None:
        self.scans = {one.id: one for one in scans}
        self.planned = plan()
        self.bodies: list[dict[str, Any]] = []

    def routes(self) -> dict[tuple[str, str], Route]:
        return {
            ("GET", "/v1/scans"): lambda _: self.page(),
            ("GET", "/v1/scans/plan"): self._plan,
            ("POST", "/v1/scans"): self._start,
            ("POST", "/v1/scans/{}/cancel"): lambda asked: self._change(asked, UNDER_WAY, "cancelled"),
            ("POST", "/v1/scans/{}/resume"): lambda asked: self._change(asked, ("cancelled", "failed"), "waiting"),
        }

    def page(self) -> wire.Page[wire.Scan]:
        items = sorted(self.scans.values(), key=lambda one: one.id, reverse=True)
        return wire.Page[wire.Scan](items=items, total=len(items))

    def _plan(self, asked: Asked) -> wire.ScanPlan:
        if asked.query.get("whole") == "True" or asked.query.get("whole") == "true":
            return self.planned.model_copy(update={"since_seq": 0, "templates_total": 40_000, "templates_older": 0})
        return self.planned

    def _start(self, asked: Asked) -> Reply | wire.Scan:
        if any(one.state in UNDER_WAY for one in self.scans.values()):
            return problem(409, "scan_under_way", "scan_1 is under way: wait for it, or cancel it")
        body = json.loads(asked.body)
        self.bodies.append(body)
        begun = scan(
            len(self.scans) + 1, "waiting", templates_done=0, rate_per_s=None, estimated_s=None, pairs_found=0, started_at=None,
            since_seq=0 if body["whole"] else 41_000, dry_run=body["dry_run"], reopen_distinct=body["reopen_distinct"],
        )  # fmt: skip
        self.scans[begun.id] = begun
        return Reply(201, begun.model_dump_json().encode())

    def _change(self, asked: Asked, fits: tuple[str, ...], state: str) -> Reply | wire.Scan:
        found = self.scans[asked.path.split("/")[3]]
        if found.state not in fits:
            return problem(409, "scan_state_conflict", f"The scan is {found.state} already")
        ended = now() if state == "cancelled" else None
        self.scans[found.id] = scan(int(found.id[-8:]), state, templates_done=found.templates_done, finished_at=ended)
        return self.scans[found.id]
