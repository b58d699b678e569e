"""The alerting part of a monitor: evaluates, sends, stands, beats. Each is a duty of the schedule."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from monitor.alerts import reading
from monitor.alerts.facts import Burn, Facts, MonitorFacts
from monitor.alerts.fleet_rules import BURN_WINDOWS_S
from monitor.alerts.heartbeat import beat
from monitor.alerts.rules import evaluate
from monitor.alerts.sender import Sender
from monitor.balancer.watch import BalancerWatch
from monitor.clock import Clock, utc_now
from monitor.distribution.watch import DistributionWatch
from monitor.fleet_alerts import Alerts, Heartbeat, Route, RouteKind
from monitor.schedule import Duty, Schedule
from monitor.store.alert_views import AlertReader
from monitor.store.alerts import AlertBook
from monitor.store.database import Database
from monitor.store.deliveries import Outbox
from monitor.store.operators import Actor, Operators
from monitor.store.traffic import burn
from monitor.synthetic.watch import SyntheticWatch
from monitor.watch import FleetWatch

log = logging.getLogger(__name__)

EVALUATE_S = 1.0
SEND_S = 1.0
STAND_S = 60.0
BURN_S = 60.0
PRUNE_S = 3600.0


class Alerting:
    """`balancer` is asked for each time: another one is made when the fleet file names one."""

    def __init__(
        self,
        database: Database,
        *,
        watch: FleetWatch,
        balancer: Callable[[], BalancerWatch],
        distribution: DistributionWatch,
        synthetic: SyntheticWatch,
        schedule: Schedule,
        is_ready: Callable[[], bool],
        base: Path,
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._watch, self._balancer, self._schedule, self._is_ready = watch, balancer, schedule, is_ready
        self._distribution, self._synthetic = distribution, synthetic
        self._base, self._clock = base, clock
        self._reader = reading.Reader()
        self.book, self.outbox = AlertBook(database), Outbox(database)
        self.operators, self.views = Operators(database), AlertReader(database)
        self.sender = Sender(self.outbox, base=base, clock=clock)
        self.counts: dict[str, int] = {}
        self.undelivered: dict[str, int] = {}
        self.heartbeat_failures = 0
        self._burn: Burn | None = None
        self._store_failed_at: datetime | None = None
        self._duty_failures = 0
        self._duty_failed_at: datetime | None = None

    @property
    def settings(self) -> Alerts:
        return self._watch.fleet.alerts

    def duties(self) -> list[Duty]:
        """By the present fleet file."""
        duties = [
            Duty("alerts", lambda: EVALUATE_S, self._evaluate),
            Duty("alerts-burn", lambda: BURN_S, self._read_burn),
            Duty("alerts-prune", lambda: PRUNE_S, self._prune),
        ]
        for route in self.settings.routes:
            duties.append(Duty(f"alerts-send:{route.name}", lambda: SEND_S, partial(self._send, route)))
            if route.kind is RouteKind.alertmanager:
                duties.append(Duty(f"alerts-stand:{route.name}", lambda: STAND_S, partial(self._stand, route)))
        heartbeat = self.settings.heartbeat
        if heartbeat is not None:
            duties.append(Duty("alerts-heartbeat", lambda: heartbeat.every_s, partial(self._beat, heartbeat)))
        return duties

    def store_failed(self) -> None:
        """Told by whoever could not write: it is an alert of its own as soon as the database takes it."""
        self._store_failed_at = self._clock()

    async def note(self, action: str, target: str, actor: Actor, *, outcome: str) -> None:
        """In the operators' trail. A database that is away keeps nobody from acting: it is an alert of its own."""
        noted = partial(self.operators.note, action, target, actor, outcome=outcome, now=self._clock())
        await self._in_thread(noted, f"{action} of {target} by {actor.id} ({outcome}) could not be recorded")

    async def _evaluate(self) -> None:
        now, watch = self._clock(), self._watch
        sheet = evaluate(self._facts(now), self.settings, now)
        flapping = frozenset(name for name, one in watch.backends.items() if one.flapping)
        names = list(watch.backends)
        try:
            done = await asyncio.to_thread(self.book.evaluate, sheet, names=names, flapping=flapping, now=now)
            self.counts = await asyncio.to_thread(self.book.count_by_state)
            self.undelivered = await asyncio.to_thread(self.outbox.undelivered)
        except SQLAlchemyError as error:
            self.store_failed()
            log.error("the alerts could not be written; the next evaluation decides anew: %s", error)
            return
        for name, one in watch.backends.items():
            one.in_maintenance = name in done.in_maintenance
        for alert, notice in done.settled:
            log.info("alert %s: %s %s %s", notice.kind, alert.rule, alert.key, alert.reason)

    def _facts(self, now: datetime) -> Facts:
        watch, balancer = self._watch, self._balancer()
        return Facts(
            backends=self._reader.backends(watch, balancer, now),
            certificates=reading.certificates(watch),
            balancer=reading.balancer_facts(watch, balancer),
            monitor=self._own(now),
            findings=reading.findings(self._distribution, now),
            drift=reading.drift(watch, now),
            synthetic=reading.synthetic(self._synthetic),
            burn=self._burn,
        )

    def _own(self, now: datetime) -> MonitorFacts:
        if self._schedule.failures > self._duty_failures:
            self._duty_failures, self._duty_failed_at = self._schedule.failures, now
        return MonitorFacts(
            lateness_s=self._schedule.worst_lateness_s,
            store_failed_at=self._store_failed_at,
            duty_failed_at=self._duty_failed_at,
            fleet_error=self._watch.fleet_error,
            undelivered=self.undelivered,
        )

    async def _send(self, route: Route) -> None:
        await self._in_thread(partial(self.sender.send_due, route), "notifications could not be claimed or marked")

    async def _stand(self, route: Route) -> None:
        await self._in_thread(
            lambda: self.sender.stand(route, self.book.open_alerts(), self.settings), "what stands could not be read"
        )

    async def _read_burn(self) -> None:
        def read() -> None:
            self._burn = burn(self._database, BURN_WINDOWS_S, self._clock())

        await self._in_thread(read, "the error budget could not be read")

    async def _prune(self) -> None:
        def prune() -> None:
            self.book.prune(self._clock())
            self.outbox.give_up_routes([route.name for route in self.settings.routes], self._clock())

        await self._in_thread(prune, "old alerts could not be deleted")

    async def _in_thread(self, work: Callable[[], object], what: str) -> None:
        try:
            await asyncio.to_thread(work)
        except SQLAlchemyError as error:
            self.store_failed()
            log.error("%s: %s", what, error)

    async def _beat(self, heartbeat: Heartbeat) -> None:
        if not await asyncio.to_thread(self._is_ready):
            return
        outcome = await beat(heartbeat, base=self._base)
        if not outcome.delivered:
            self.heartbeat_failures += 1
            log.warning("the heartbeat did not arrive: %s", outcome.said)
