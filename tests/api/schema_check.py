"""Schemathesis against a running service: `make schema-test`.

Every operation is asked what its description allows and what it forbids, at random; then along the links from one answer to the
next request; then whatever was not yet answered well. Wrong is: an operation without a 2xx, a status, type, header or field that
the description lacks, an error's code that is not among the operation's, any 5xx but the documented 503.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed
from schemathesis import Case, GenerationMode, Response
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup

from backend import problems
from tests.api.schema_supply import Supply
from tests.api.service import Service, make_site, serving

CHECKED = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
LAST = ("POST /v1/fleet/self/drain",)
"""after it the service is not ready any more"""
TWICE = ("POST /v1/subjects",)
WORK = ("POST /v1/duplicates/{case_id}/decide",)
BEFOREHAND = (
    (),
    TWICE,
    (*TWICE, "POST /v1/duplicates/next"),
    (*TWICE, "POST /v1/duplicates/next", *WORK),
    ("POST /v1/scans",),
    (*TWICE, "POST /v1/duplicates/bulk/preview", "POST /v1/duplicates/bulk"),
)
"""what makes a case, puts it into somebody's hands, decides it; a scan that runs; a bulk"""
REQUEST_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Bounds:
    """How much is asked: `examples` of each kind per operation, `walks` of `steps` links, in about `seconds`."""

    examples: int = 12
    walks: int = 40
    steps: int = 12
    seconds: float = 200.0
    seed: int = 1


QUICK = Bounds(examples=2, walks=8, steps=8, seconds=40.0)


@dataclass
class Findings:
    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    wrong: dict[tuple[str, str], str] = field(default_factory=dict)
    """(operation, what) with one example of it"""
    codes: set[tuple[str, str]] = field(default_factory=set)
    linked: int = 0

    def unreached(self) -> list[str]:
        return [call for call, seen in self.statuses.items() if not any(200 <= status < 300 for status in seen)]

    @property
    def requests(self) -> int:
        return sum(seen.total() for seen in self.statuses.values())


class Asking:
    """Sends cases to the service and keeps what came of them; raises nothing, so that one fault hides no other."""

    def __init__(self, service: Service, bounds: Bounds, *, description: dict[str, Any] | None = None) -> None:
        """`description`: an OpenAPI document in the place of the service's own."""
        load_all_checks()
        self.schema = schemathesis.openapi.from_dict(description or service.get("/openapi.json").json())
        self.schema.config.generation.update(modes=[GenerationMode.POSITIVE])  # along links: what is wrong in form leads nowhere
        self.url = service.url
        self.supply = Supply(service, seed=bounds.seed)
        self.bounds = bounds
        self._stop_at = time.monotonic() + bounds.seconds
        self.operations = {one.ok().label: one.ok() for one in self.schema.get_all_operations()}
        self.findings = Findings()
        for call in self.operations:
            self.findings.statuses[call]  # known, and never answered
        self._checks = CHECKS.get_by_names(CHECKED)

    @property
    def over(self) -> bool:
        return time.monotonic() > self._stop_at

    def go_on_for(self, share: float) -> None:
        """`share` of the seconds, from now: a slow machine asks less of each, and everything all the same."""
        self._stop_at = time.monotonic() + share * self.bounds.seconds

    def ask(self, case: Case) -> Response:
        self.supply.prepare(case)
        response = case.call(self.url, headers=self.supply.headers(case), timeout=REQUEST_TIMEOUT_S)
        self.findings.statuses[case.operation.label][response.status_code] += 1
        self.supply.learn(response)
        self._check(case, response)
        return response

    def _check(self, case: Case, response: Response) -> None:
        try:
            case.validate_response(response, checks=self._checks)
        except FailureGroup as failures:
            for failure in failures.exceptions:
                self._note(case, getattr(failure, "title", type(failure).__name__), str(failure))
        if response.status_code >= 500 and response.status_code != 503:
            self._note(case, f"answer {response.status_code}", response.text)
        self._check_code(case, response)

    def _check_code(self, case: Case, response: Response) -> None:
        if not response.headers.get("content-type", [""])[0].startswith(problems.MEDIA_TYPE):
            return
        code = response.json()["code"]
        self.findings.codes.add((case.operation.label, code))
        document: dict[str, Any] = self.schema.raw_schema["paths"][case.operation.path][case.method.lower()]
        described = document["responses"].get(str(response.status_code))
        if described and code not in described["content"].get(problems.MEDIA_TYPE, {}).get("examples", {}):
            self._note(case, f"undocumented code {code}", response.text)

    def _note(self, case: Case, what: str, message: str) -> None:
        self.findings.wrong.setdefault((case.operation.label, what), message[:600])


def at_random(asking: Asking) -> None:
    """Each operation by itself: requests that its description allows, and some that it forbids."""
    asking.go_on_for(0.55)
    for call in asking.operations:
        if call in LAST:
            continue
        some_of(asking, call, GenerationMode.POSITIVE, asking.bounds.examples)
        some_of(asking, call, GenerationMode.NEGATIVE, max(1, asking.bounds.examples // 2))


def some_of(asking: Asking, call: str, mode: GenerationMode, count: int, *, turn: int = 0) -> None:
    @seed(asking.bounds.seed + turn)
    @settings(count)
    @given(case=asking.operations[call].as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        if not asking.over:
            asking.ask(case)

    with suppress(hypothesis.errors.Unsatisfiable):  # nothing can be wrong with a request that has no parameters
        ask()


def along_links(asking: Asking) -> None:
    """From answers to the requests that they lead to."""
    asking.go_on_for(0.25)
    asked_before = asking.findings.requests

    class Walk(asking.schema.as_state_machine()):  # type: ignore[misc]
        def call(self, case: Case, **_: Any) -> Response:
            if asking.over or case.operation.label in LAST:
                hypothesis.reject()
            return asking.ask(case)

        def validate_response(self, response: Response, case: Case, *_: Any, **__: Any) -> None:
            """`ask` did."""

    for walk in range(asking.bounds.walks):
        if not asking.over:
            # Walks of one run are compared with each other, and the service has changed meanwhile: each is a run of its own.
            Walk._hypothesis_internal_use_seed = asking.bounds.seed + walk
            with suppress(hypothesis.errors.Unsatisfiable, hypothesis.errors.Flaky):
                Walk.run(settings=settings(2, steps=asking.bounds.steps))
    asking.findings.linked = asking.findings.requests - asked_before


def once_more(asking: Asking) -> None:
    """What no request succeeded at so far, after what it may have lacked."""
    asking.go_on_for(6.0)
    for turn in range(2 * len(BEFOREHAND)):
        for call in asking.findings.unreached():
            for before in BEFOREHAND[turn % len(BEFOREHAND)]:
                some_of(asking, before, GenerationMode.POSITIVE, 2 + 2 * (before in WORK), turn=1 + turn)
            some_of(asking, call, GenerationMode.POSITIVE, 4, turn=1 + turn)


def settings(count: int, *, steps: int = 50) -> hypothesis.settings:
    return hypothesis.settings(
        max_examples=count,
        stateful_step_count=steps,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def a_service(folder: Path) -> Iterator[Service]:
    """One that sends no webhook and slows nobody down."""
    with serving(make_site(folder / "site", BACKEND_KEY_RATE_PER_MINUTE="0", BACKEND_WEBHOOK_URL="")) as service:
        yield service


def examine(service: Service, bounds: Bounds) -> Findings:
    asking = Asking(service, bounds)
    for part in (at_random, along_links, once_more):
        part(asking)
    return asking.findings


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.api.schema_check", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=Bounds.seconds)
    parser.add_argument("--examples", type=int, default=Bounds.examples)
    args = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="face-auth-") as folder, a_service(Path(folder)) as service:
        found = examine(service, Bounds(examples=args.examples, seconds=args.seconds, seed=args.seed))
    for call, seen in found.statuses.items():
        print(f"{call:62} {'  '.join(f'{status}×{count}' for status, count in sorted(seen.items()))}")
    for (call, what), message in found.wrong.items():
        print(f"! {call}: {what}\n    {message}")
    for call in found.unreached():
        print(f"! {call}: never answered 2xx")
    print(
        f"operations={len(found.statuses)} requests={found.requests} along_links={found.linked} codes={len(found.codes)}"
        f" unreached={len(found.unreached())} wrong={len(found.wrong)} seconds={time.monotonic() - started:.0f}"
    )
    return 1 if found.wrong or found.unreached() or not found.statuses else 0


if __name__ == "__main__":
    sys.exit(main())
