"""The process that is killed: the real book, outbox and sender on the real database, over what a file says is down.

It dies by its own SIGKILL at the place that it was given, the n-th time that it comes there: within a transaction (everything
written, nothing committed), just after it, before a request, or after its answer.
"""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apprise
from sqlalchemy import Engine, event
from sqlmodel import Session

from monitor.alerts.condition import Sheet
from monitor.alerts.notify import AppriseNotifier, Message, Outcome
from monitor.alerts.sender import Sender
from monitor.clock import utc_now
from monitor.fleet_alerts import Alerts, Route
from monitor.store.alert_tables import Delivery
from monitor.store.alerts import AlertBook
from monitor.store.database import Database
from monitor.store.deliveries import Claimed, Outbox

# A child is a fork of a process that has this module: what is loaded here need not be loaded after each kill.
apprise.Apprise.instantiate("json://127.0.0.1:9/")

STAGES = ("transition", "claim", "send", "mark")
PLACES = tuple(f"{stage} {when}" for stage in STAGES for when in ("before", "after"))
CLAIM_S, RETRY_S = 0.15, 0.02


@dataclass(frozen=True)
class Task:
    """`place` None: it lives until it is killed from outside. `down_file`: JSON list of names."""

    database_url: str
    settings: dict[str, Any]
    down_file: Path
    place: str | None
    nth: int


class Fate:
    """Knows where the process is, and ends it where it was told to."""

    def __init__(self, place: str | None, nth: int) -> None:
        self._place, self._left = place, nth
        self.stage = ""
        self.touched = False

    def at(self, stage: str, when: str) -> None:
        if self._place == f"{stage} {when}":
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """Commits that write outbox rows: all is sent to the database before `commit`, and durable after `after_commit`."""
        event.listen(Session, "before_commit", self._look)
        event.listen(Engine, "commit", lambda _connection: self.touched and self.at(self.stage, "before"))
        event.listen(Session, "after_commit", lambda _session: self.touched and self.at(self.stage, "after"))

    def _look(self, session: Session) -> None:
        self.touched = any(isinstance(row, Delivery) for row in (*session.new, *session.dirty))


class DyingOutbox(Outbox):
    def __init__(self, database: Database, fate: Fate) -> None:
        super().__init__(database, claim_s=CLAIM_S, first_retry_s=RETRY_S)
        self._fate = fate

    def claim(self, route: str, *, limit: int = 3) -> list[Claimed]:
        self._fate.stage = "claim"
        return super().claim(route, limit=limit)

    def sent(self, delivery_id: int, answer: str) -> None:
        self._fate.stage = "mark"
        super().sent(delivery_id, answer)


class DyingNotifier(AppriseNotifier):
    def __init__(self, url: str, *, base: Path, fate: Fate) -> None:
        super().__init__(url, base=base)
        self._fate = fate

    def send(self, message: Message) -> Outcome:
        self._fate.at("send", "before")
        outcome = super().send(message)
        self._fate.at("send", "after")
        return outcome


def run(task: Task) -> None:
    """Until it dies."""
    fate = Fate(task.place, task.nth)
    fate.install()
    database = Database.open(task.database_url)
    settings = Alerts.model_validate(task.settings)

    def make(route: Route, *, base: Path, clock: Any) -> AppriseNotifier:
        return DyingNotifier(route.url, base=base, fate=fate)

    book, outbox = AlertBook(database), DyingOutbox(database, fate)
    sender = Sender(outbox, base=task.down_file.parent, make=make)
    while True:
        fate.stage = "transition"
        book.evaluate(sheet_of(task.down_file, settings), names=[], flapping=frozenset(), now=utc_now())
        for route in settings.routes:
            sender.send_due(route)
        time.sleep(0.005)


def sheet_of(down_file: Path, settings: Alerts) -> Sheet:
    sheet = Sheet(settings)
    for name in json.loads(down_file.read_text()):
        sheet.add("BackendDown", f"backend:{name}", f"{name} is DOWN", "NET.REFUSED", backend=name)
    return sheet
