"""Cases for people to review: planted into the ledger of a running fleet, and what its audit trail says of them afterwards."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from playwright.sync_api import Locator, Page, expect

from backend import wire
from backend.client import BackendClient
from deploy.demo import pictures
from deploy.demo.pictures import Portrait
from tests.browser.people import Window
from tests.system.planted_queue import PlantedCase, plant
from tests.system.running_fleet import Fleet

LEASE = timedelta(minutes=3)
KEYS = {wire.Verdict.same: "s", wire.Verdict.different: "d"}
ENDS = ("case.decide", "case.release")


def planted(fleet: Fleet, cases: int, *, certain: bool = False) -> list[PlantedCase]:
    """Pairs of records that look like one person; `certain` ones are judged twice in this fleet."""
    url, key_file = f"sqlite:///{fleet.run_dir / 'data' / 'face-auth.db'}", fleet.run_dir / "secrets" / "master.key"
    return plant(url, key_file, cases=cases, seed=time.time_ns(), certain_share=float(certain))


def of_a_real_face(fleet: Fleet, name: str | None = None) -> str:
    """A case of the demo's public-domain portrait and one more copy of it, enrolled through the API; its id."""
    portrait = (fleet.run_dir / "data" / "demo" / "astronaut.jpg").read_bytes()
    copy = pictures.altered(Portrait("astronaut", portrait), "brighter")
    with fleet.backend(key="client") as api:
        enrolled = api.enrol([copy.jpeg], external_id=name or f"copy-{time.time_ns()}", face="largest")
    assert enrolled.case_id is not None, "the copy was not found"
    return enrolled.case_id


# --- on the page --------------------------------------------------------------------------------------------------


def on_the_desk(page: Page) -> str | None:
    """The id of the case that is open, read off its field for the note."""
    named = page.evaluate("document.querySelector('[class*=st-key-note-case_]')?.className ?? ''")
    found = re.search(r"st-key-note-(case_[\w-]+)", named)
    return found.group(1) if found else None


def ready(page: Page) -> Locator:
    """The desk with a case that may be decided: keys work from then on."""
    button = page.get_by_role("button", name="Different people")
    expect(button).to_be_enabled()
    return button


def open_case(window: Window, case_id: str) -> Page:
    """By its address, as a colleague sends it; claimed where it can be."""
    page = window.visit(f"duplicates?case={case_id}", "Duplicates")
    expect(page.locator(f".st-key-note-{case_id}")).to_be_visible()
    return page


# --- in the audit trail -------------------------------------------------------------------------------------------


def trail(api: BackendClient, case_ids: Collection[str]) -> dict[str, list[wire.AuditEvent]]:
    """What was done to each of these cases, in the order in which it happened."""
    found: dict[str, list[wire.AuditEvent]] = defaultdict(list)
    for event in every_event(api):
        if event.object_id in case_ids:
            found[event.object_id or ""].append(event)
    return {case_id: sorted(events, key=lambda event: event.seq) for case_id, events in found.items()}


def every_event(api: BackendClient) -> Iterable[wire.AuditEvent]:
    cursor: str | None = None
    while True:
        page = api.audit(cursor=cursor, limit=200)
        yield from page.items
        if (cursor := page.next) is None:
            return


def claimed_over_somebody(events: Sequence[wire.AuditEvent]) -> list[str]:
    """Claims of one case while somebody else's was in force: from its event to its end, or to the end of a lease unrenewed."""
    holder, since, wrong = "", datetime.min.replace(tzinfo=UTC), []
    for event in events:
        if event.action == "case.claim":
            if holder and event.actor != holder and event.at < since + LEASE:
                wrong.append(f"{event.object_id}: {event.actor} at {event.at} over {holder} since {since}")
            holder, since = event.actor, event.at
        elif event.action in ENDS and event.actor == holder:
            holder = ""
        elif event.action == "case.decide":
            wrong.append(f"{event.object_id}: decided by {event.actor}, held by {holder or 'nobody'}")
    return wrong


def decisions(events: Iterable[wire.AuditEvent]) -> list[str]:
    """Who decided, in order."""
    return [event.actor for event in events if event.action == "case.decide"]
