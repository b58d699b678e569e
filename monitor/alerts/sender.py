"""Takes what is due out of the outbox, sends it, marks it; and the two things that are not of the outbox: tests, and standing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from uuid6 import uuid7

from monitor.alerts.lifecycle import Alert
from monitor.alerts.notify import Alertmanager, Message, Notifier, Outcome, notifier_of
from monitor.clock import Clock, utc_now
from monitor.fleet_alerts import Alerts, Route
from monitor.store.alerts import body_of
from monitor.store.deliveries import Claimed, Outbox
from monitor.wire import RouteTest

log = logging.getLogger(__name__)


class Sender:
    """Synchronous: for threads. `base`: the fleet file's folder."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        base: Path,
        clock: Clock = utc_now,
        make: Callable[..., Notifier] = notifier_of,
    ) -> None:
        self._outbox, self._base, self._clock, self._make = outbox, base, clock, make

    def send_due(self, route: Route) -> int:
        """All that is due on one route; gives how many arrived. Raises SQLAlchemy's errors: what was claimed comes again."""
        notifier, arrived = self._make(route, base=self._base, clock=self._clock), 0
        while claimed := self._outbox.claim(route.name):
            taken = sum([self._send(notifier, one) for one in claimed])
            arrived += taken
            if taken < len(claimed):  # a receiver in trouble is not asked for more at once
                break
        return arrived

    def _send(self, notifier: Notifier, claimed: Claimed) -> bool:
        outcome = _sent(notifier, claimed)
        if outcome.delivered:
            self._outbox.sent(claimed.id, outcome.said)
        else:
            log.warning("notification %s did not arrive: %s", claimed.idempotency_key, outcome.said)
            self._outbox.failed(claimed.id, outcome.said)
        return outcome.delivered

    def stand(self, route: Route, alerts: list[Alert], settings: Alerts) -> Outcome | None:
        """To an Alertmanager only: everything that was told and is not over yet. None where there is nothing to say."""
        notifier = self._make(route, base=self._base, clock=self._clock)
        told = [one for one in alerts if one.told is not None and one.told.rank >= route.min_severity.rank]
        if not isinstance(notifier, Alertmanager) or not told:
            return None
        bodies = [(body_of(one, settings, rule=one.told_rule or one.rule), str(one.told)) for one in told]
        return notifier.stand([(body | {"ends_at": None}, severity) for body, severity in bodies])

    def test(self, route: Route, settings: Alerts) -> RouteTest:
        """A notification that says it is one, now, past the outbox."""
        key = f"test_{uuid7().hex}"
        body = {
            "rule": "Test",
            "key": "test",
            "sentence": f"This is a test of route {route.name}: nothing is wrong",
            "reason": "MON.TEST",
            "owner": "MON",
            "labels": {"route": route.name, "test": "true"},
            "starts_at": self._clock().isoformat(),
            "ends_at": None,
            "runbook": settings.runbook_url or "docs/alerts.md",
        }
        begin = time.monotonic()
        message = Message("firing", route.min_severity, key, body, test=True)
        outcome = self._make(route, base=self._base, clock=self._clock).send(message)
        took = round((time.monotonic() - begin) * 1000, 1)
        return RouteTest(route=route.name, delivered=outcome.delivered, answer=outcome.said, took_ms=took, idempotency_key=key)


def _sent(notifier: Notifier, claimed: Claimed) -> Outcome:
    message = Message(claimed.kind, claimed.severity, claimed.idempotency_key, claimed.body)
    try:
        return notifier.send(message)
    except Exception as error:  # a library's defect must not keep the others from being sent
        log.exception("the notifier failed")
        return Outcome(False, f"the notifier failed: {type(error).__name__}")
