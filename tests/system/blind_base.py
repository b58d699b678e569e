"""The ledger that runs of `blindness` begin with, each in a copy: cases in every state, one of them of real photographs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from backend import wire
from backend.client import BackendClient
from backend.wire import Scope, Verdict
from tests.api.pictures import same_woman, woman
from tests.api.service import Dashboard, Service, Site, make_site, serving, wait_until
from tests.system.crawl import Known
from tests.system.planted_queue import plant

SETTINGS = {
    "BACKEND_SECOND_REVIEW": "all",
    "BACKEND_CASE_LEASE_S": "3600",  # no claim ends by itself in one run and not in another
    "BACKEND_GALLERY_MEMORY_BYTES": str(2**28),  # else it follows what the machine has free
}
PLANTED, SEED = 6, 11
ROLES = {"ada": "reviewer", "bea": "reviewer", "cyd": "reviewer", "gus": "supervisor", "ops": "operator", "root": "admin"}
FIRST, CRAWLER, SECOND, SUPERVISOR = "ada", "bea", "cyd", "gus"


@dataclass(frozen=True)
class First:
    """What the first reviewer decides; `survivor`: 0 the older record, 1 the newer one."""

    verdict: Verdict
    survivor: int | None = None
    note: str | None = None

    def __str__(self) -> str:
        survivor = "" if self.survivor is None else f" into {('the older', 'the newer')[self.survivor]}"
        return f"{self.verdict}{survivor}{', with a note' if self.note else ''}"

    def survivor_of(self, case: wire.Case) -> str | None:
        return None if self.survivor is None else sorted(subject.id for subject in case.subjects)[self.survivor]

    def body(self, case: wire.Case) -> dict[str, object]:
        survivor = self.survivor_of(case)
        return {"verdict": str(self.verdict), "version": case.version, "survivor_id": survivor, "note": self.note}


@dataclass(frozen=True)
class Base:
    """What all runs begin with: `watched` and `taken_back` get their first decision in each run, the others have a history."""

    site: Site
    known: Known
    watched: str
    taken_back: str
    parted_ms: int


def base_of(folder: Path) -> Base:
    """A ledger with photographs in one case, and others in every state."""
    site = make_site(folder, **SETTINGS)
    planted = plant(site.environment()["BACKEND_DATABASE_URL"], site.folder / "master.key", cases=PLANTED, seed=SEED)
    keys = {str(scope): site.key(str(scope)) for scope in Scope}
    with serving(site) as service:
        api = service.client(keys["client"])
        enrolled = [api.enrol([picture], external_id=f"A-{place}") for place, picture in enumerate((woman(), same_woman()))]
        watched = enrolled[1].case_id or ""
        _make_a_history(service, [case.id for case in planted])
        for secret in keys.values():  # that a key was used is noted a moment later, and again only after a minute
            service.get("/v1/subjects", secret)
        admin = service.client(keys["admin"])
        wait_until(lambda: all(key.last_used_at for key in admin.api_keys()), what="the notes that keys were used")
        known = _known(service, site)
    assert watched in known.cases
    return Base(site, known, watched, planted[0].id, parted_ms=int(time.time() * 1000))


def _known(service: Service, site: Site) -> Known:
    admin = service.client(site.key("admin"))
    subjects = admin.subjects(limit=200).items
    return Known(
        cases=[case.id for case in admin.cases(limit=200).items],
        samples={subject.id: [sample.id for sample in subject.samples] for subject in subjects},
        scans=[scan.id for scan in admin.scans().items],
        keys=[key.id for key in admin.api_keys()],
        people=[f"usr_{name}" for name in ROLES],
        external_ids=["A-0", "A-1"],
        moment=datetime.now(UTC),
    )


def _make_a_history(service: Service, cases: Sequence[str]) -> None:
    """Of the planted: 1 is settled by two, 2 is for a supervisor, 3 was settled and taken back, 4 is a third one's."""

    def decide(name: str, case_id: str, first: First) -> wire.Case:
        reviewer = person(service, name)
        case = reviewer.case(case_id)
        return reviewer.decide(case_id, first.verdict, version=case.version, survivor_id=first.survivor_of(case))

    different, same = First(Verdict.different), First(Verdict.same, 0)
    decide("ada", cases[1], different)
    decide("bea", cases[1], different)
    decide("ada", cases[2], same)
    decide("cyd", cases[2], different)
    decide("ada", cases[3], same)
    settled = decide("cyd", cases[3], same)
    person(service, SUPERVISOR).undo(cases[3], version=settled.version)
    person(service, SUPERVISOR).claim(cases[4])
    scan = person(service, SUPERVISOR).start_scan(whole=True, dry_run=True)
    wait_until(lambda: person(service, "root").scan(scan.id).finished_at, what="the scan")


def person(service: Service, name: str) -> BackendClient:
    return service.client(service.site.dashboard.token(ROLES[name], name=name))


def copied(site: Site, folder: Path) -> Site:
    shutil.copytree(site.folder, folder, ignore=shutil.ignore_patterns("logs", "*.out"))
    dashboard = Dashboard(folder / "signers.json", kid=site.dashboard.kid, key=site.dashboard.key)
    return replace(site, folder=folder, dashboard=dashboard)
