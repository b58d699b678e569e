"""A review queue that behaves: claims, leases, decisions, undo, conflicts; as routes for a `StandIn`."""

from __future__ import annotations

import json
import threading
from typing import Any

import jwt

from backend import wire
from tests.dashboard import samples, samples_review
from tests.dashboard.stand_in import Asked, Reply, Route, problem


class ReviewQueue:
    """Who asks is read from the token (its signature is the business of the backend's own tests)."""

    def __init__(self, *cases: wire.Case) -> None:
        self.cases = {case.id: case for case in cases}
        self.decided: list[tuple[str, str, str, str | None, str | None]] = []
        self.beats = 0
        self.codes = samples_review.codes()
        self.calibration = samples_review.calibration()
        self._lock = threading.Lock()

    def routes(self) -> dict[tuple[str, str], Route]:
        return {
            ("GET", "/v1/duplicates"): self.list,
            ("GET", "/v1/duplicates/codes"): lambda _: self.codes,
            ("GET", "/v1/calibration"): lambda _: self.calibration,
            ("GET", "/v1/duplicates/{}"): lambda asked: self._known(asked.path.split("/")[3]),
            ("POST", "/v1/duplicates/next"): self.next,
            ("POST", "/v1/duplicates/{}/claim"): lambda asked: self._take(asked, steal=False),
            ("POST", "/v1/duplicates/{}/takeover"): lambda asked: self._take(asked, steal=True),
            ("POST", "/v1/duplicates/{}/heartbeat"): self.heartbeat,
            ("POST", "/v1/duplicates/{}/release"): self.release,
            ("POST", "/v1/duplicates/{}/decide"): self.decide,
            ("POST", "/v1/duplicates/{}/undo"): self.undo,
            ("GET", "/v1/stats"): lambda _: samples.stats(open=sum(case.state == "open" for case in self.cases.values())),
            ("GET", "/v1/subjects/{}/samples/{}/image"): lambda asked: Reply(200, samples.jpeg(), "image/jpeg"),
        }

    def change(self, case_id: str, **changes: Any) -> wire.Case:
        with self._lock:
            self.cases[case_id] = self.cases[case_id].model_copy(update=changes)
            return self.cases[case_id]

    def list(self, asked: Asked) -> wire.Page[wire.CaseSummary] | Reply:
        wanted = asked.query.get("state")
        items = [samples.summary(case) for case in self.cases.values() if wanted in (None, case.state)]
        return wire.Page[wire.CaseSummary](items=items, total=len(items))

    def next(self, asked: Asked) -> wire.Case | Reply:
        free = [case for case in self.cases.values() if case.state == "open" and case.lease is None]
        if not free:
            return problem(404, "nothing_to_review", "No case is waiting for you")
        return self._claimed(free[0], asked)

    def heartbeat(self, asked: Asked) -> wire.Case | Reply:
        case = self._known(asked.path.split("/")[3])
        if isinstance(case, Reply):
            return case
        self.beats += 1
        if case.lease is None or case.lease.holder != f"usr_{_name(asked)}":
            return problem(409, "lease_lost", "Your claim on this case has ended: claim it again")
        return self.change(case.id, lease=samples.lease(_name(asked)))

    def release(self, asked: Asked) -> wire.Case | Reply:
        return self.change(asked.path.split("/")[3], lease=None, state=wire.CaseState.open)

    def decide(self, asked: Asked) -> wire.Case | Reply:
        case = self._known(asked.path.split("/")[3])
        if isinstance(case, Reply):
            return case
        body = json.loads(asked.body)
        if body["version"] != case.version:
            return problem(409, "version_conflict", "It changed meanwhile: read it again and repeat with its present version")
        self.decided.append((case.id, body["verdict"], _name(asked), body["survivor_id"], body["note"]))
        return self.change(case.id, state=wire.CaseState.resolved, lease=None, version=case.version + 1)

    def undo(self, asked: Asked) -> wire.Case | Reply:
        case = self._known(asked.path.split("/")[3])
        if isinstance(case, Reply):
            return case
        if json.loads(asked.body)["version"] != case.version:
            return problem(409, "version_conflict", "It changed meanwhile: read it again and repeat with its present version")
        self.decided.append((case.id, "undo", _name(asked), None, None))
        return self.change(case.id, state=wire.CaseState.open, lease=None, version=case.version + 1)

    def _known(self, case_id: str) -> wire.Case | Reply:
        return self.cases.get(case_id) or problem(404, "case_not_found", "No such case")

    def _take(self, asked: Asked, *, steal: bool) -> wire.Case | Reply:
        case = self._known(asked.path.split("/")[3])
        if isinstance(case, Reply):
            return case
        if case.lease is not None and not steal and case.lease.holder != f"usr_{_name(asked)}":
            return problem(409, "lease_held", "Somebody else holds this case")
        return self._claimed(case, asked)

    def _claimed(self, case: wire.Case, asked: Asked) -> wire.Case:
        return self.change(case.id, state=wire.CaseState.claimed, lease=samples.lease(_name(asked)), version=case.version + 1)


def _name(asked: Asked) -> str:
    token = asked.headers["authorization"].removeprefix("Bearer ")
    name: str = jwt.decode(token, options={"verify_signature": False})["name"]
    return name
