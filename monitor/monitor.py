"""The monitor at work: which duties it has, and what each of them does with the parts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from monitor import fleet, wire
from monitor.addresses import is_loopback
from monitor.alerting import Alerting
from monitor.api.identity import Doorkeeper
from monitor.balancer.watch import BalancerWatch
from monitor.certificates.judgement import Limits
from monitor.certificates.watch import Watched, look, remembered, watched
from monitor.clock import Clock, utc_now
from monitor.control import Control
from monitor.diagnosis.diagnose import Subject, diagnose
from monitor.diagnosis.subjects import of_url
from monitor.distribution.watch import DistributionWatch
from monitor.distribution_check.judgement import Member
from monitor.distribution_check.runs import DistributionChecks
from monitor.fleet_file import FleetFile, FleetFileError, parse
from monitor.fleet_reading import FleetReading
from monitor.probe.connection import Target, TrustStore
from monitor.probe.outcome import Reason
from monitor.probe.own import loopback_works
from monitor.probe.round import Plan, probe_round
from monitor.probe.way_out import WayOut
from monitor.schedule import Duty, Lane, Schedule
from monitor.settings import Settings
from monitor.store.database import Database
from monitor.store.history import History
from monitor.synthetic.verify import Through
from monitor.synthetic.watch import SyntheticWatch, ways
from monitor.version import version
from monitor.watch import FleetWatch
from monitor.wire import ProbeKind

log = logging.getLogger(__name__)

ROLL_UP_S = 60.0
PRUNE_S = 600.0
FIRST_CERTIFICATE_S = 2.0
CERTIFICATE_DEADLINE_S = 5.0
CLOSING_S = 2.0
SYNTHETIC_S = 60.0
DIAGNOSIS_DEADLINE_S = 3.0
DIAGNOSES_AT_ONCE = 4
# At its start the monitor looks at all certificates within seconds: the probes must not wait behind hundreds of handshakes.
CERTIFICATES_AT_ONCE = 10
# Silence of the tick after which the monitor no longer calls itself ready.
SILENT_S = 10.0


class Monitor:
    """All parts of one monitor; `start` and `stop` bracket its life, everything between runs in the event loop."""

    def __init__(
        self,
        settings: Settings,
        *,
        file: FleetFile,
        described: fleet.Fleet,
        history: History,
        database: Database,
        clock: Clock = utc_now,
    ) -> None:
        self._settings = settings
        self._file = file
        self.reading = FleetReading(file.path, clock(), clock())
        self._clock = clock
        self.history = history
        self._trust = TrustStore(allowed=described.allow_addresses)
        self._way_out = WayOut(self._trust)
        self.watch = FleetWatch(described, own_connectivity=loopback_works, way_out=self._fault_on_the_way, clock=clock)
        self.balancer = BalancerWatch(described.balancer)
        self.distribution = DistributionWatch()
        self.synthetic = SyntheticWatch(base=file.path.resolve().parent)
        self.schedule = Schedule(tick_s=settings.tick_s)
        self.probing = Lane(settings.probes_at_once)
        self._looking = Lane(CERTIFICATES_AT_ONCE)
        self.alerting = Alerting(
            database,
            watch=self.watch,
            balancer=lambda: self.balancer,
            distribution=self.distribution,
            synthetic=self.synthetic,
            schedule=self.schedule,
            is_ready=lambda: self.ready().status == "ready",
            base=file.path.resolve().parent,
            clock=clock,
        )
        self.doorkeeper = Doorkeeper(signers_file=settings.signers_file, keys_file=settings.keys_file)
        self.store_failures = 0
        self._diagnoses = asyncio.Semaphore(DIAGNOSES_AT_ONCE)
        self._store_error: str | None = None
        self._watched_certificates: set[str] = set()
        self.distribution_checks = DistributionChecks(self._trust, clock=clock, members=self._members)
        self.control = Control(self.watch, self._trust, base=file.path.resolve().parent, clock=clock)
        # One thread writes: batches stay in order, and the loop never waits for a disk.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store")

    async def start(self) -> None:
        """Show what was last known, then begin to probe."""
        loop = asyncio.get_running_loop()
        states = await loop.run_in_executor(self._writer, self.history.states)
        certificates = await loop.run_in_executor(self._writer, self.history.certificates)
        self.watch.restore(states, certificates)
        self._assign()
        self.schedule.start()

    async def stop(self) -> None:
        """Finish the probes in flight, write what they gave."""
        await self.distribution_checks.stop()
        await self.schedule.stop(drain_s=self._settings.drain_s)
        self.balancer.close()
        await self._write()
        self._writer.shutdown(wait=True)

    # --- duties ---------------------------------------------------------------------------------------------------

    def _assign(self) -> None:
        described = self.watch.fleet
        if self.balancer.balancer != described.balancer:
            self.balancer.close()
            self.balancer = BalancerWatch(described.balancer)
        self._trust.allowed = described.allow_addresses
        certificates, through = watched(described), ways(described)
        self.synthetic.keep({one.name for one in through})
        self._watched_certificates = {one.name for one in certificates}
        self.watch.keep_certificates(self._watched_certificates)
        tick = self._settings.tick_s
        self.schedule.assign(
            [
                *(self._backend_duty(spec) for spec in described.backends),
                *(self._certificate_duty(one) for one in certificates),
                *(self._synthetic_duty(one) for one in through),
                Duty("balancer", self._balancer_interval, self._look_at_balancer),
                Duty("distribution", lambda: tick, self._look_at_distribution),
                Duty("fleet-file", lambda: tick, self.read_fleet_file),
                Duty("write", lambda: tick, self._write),
                Duty("roll-up", lambda: ROLL_UP_S, self._roll_up),
                Duty("prune", lambda: PRUNE_S, self._prune),
                *self.alerting.duties(),
            ]
        )

    def _backend_duty(self, spec: fleet.Backend) -> Duty:
        def interval() -> float:
            backend = self.watch.backends.get(spec.name)
            return backend.interval_s(self.watch.fleet.probes) if backend else self.watch.fleet.probes.interval_s

        return Duty(f"backend:{spec.name}", interval, partial(self._probe, spec), self.probing, self._round_deadline_s)

    def _round_deadline_s(self) -> float:
        """Three probes and a scrape, each with a deadline of its own, and the closing of the connection."""
        return (len(ProbeKind) + 2) * self.watch.fleet.probes.deadline_s + CLOSING_S

    def _certificate_duty(self, one: Watched) -> Duty:
        def interval() -> float:
            usual = self.watch.fleet.certificates.check_interval_s
            found = self.watch.certificates.get(one.name)
            return usual if found and found.fingerprint_sha256 else min(usual, FIRST_CERTIFICATE_S)

        return Duty(f"certificate:{one.name}", interval, partial(self._look_at_certificate, one), self._looking)

    def _synthetic_duty(self, through: Through) -> Duty:
        def interval() -> float:
            settings = self.watch.fleet.synthetic
            return settings.interval_s if settings else SYNTHETIC_S

        return Duty(f"synthetic:{through.name}", interval, partial(self._verify, through))

    def _balancer_interval(self) -> float:
        return self.balancer.interval_s(self.watch.fleet, self.watch.rule)

    async def _probe(self, spec: fleet.Backend) -> None:
        target = Target.of(url=spec.url, address=spec.address, server_name=spec.server_name, ca_file=spec.ca_file)
        plan = Plan(
            spec.name, target, self.watch.fleet.service, self.watch.fleet.probes.deadline_s, scrape=self._scrape_due(spec.name)
        )
        found = await probe_round(plan, self._trust, now=self._clock)
        await self.watch.hear(found, spec)
        await self.control.tell_again(spec.name)
        reason = found.results[ProbeKind.live].reason
        if reason is not None and reason.code.startswith("TLS."):
            self._urge_certificate(spec.name, reason.code)

    async def _fault_on_the_way(self) -> Reason | None:
        """A fleet on this machine's loopback needs no gateway and no way out."""
        described = self.watch.fleet
        if all(is_loopback(backend.address.rpartition(":")[0]) for backend in described.backends):
            return None
        url = described.probes.reference_url
        return await self._way_out.fault(of_url(url, described=described).target if url else None)

    def _scrape_due(self, name: str) -> bool:
        backend = self.watch.backends.get(name)
        last = backend.history.last if backend else None
        # A little early rather than a whole round late.
        due_after = self._settings.scrape_s - self._settings.tick_s
        return last is None or (self._clock() - last.at).total_seconds() >= due_after

    def _urge_certificate(self, name: str, code: str) -> None:
        """Look at once at a certificate that just broke; while it stays broken in the same way, the usual interval will do."""
        known = self.watch.certificates.get(name)
        if known is None or known.reason != code:
            self.schedule.urge(f"certificate:{name}")

    async def _look_at_certificate(self, one: Watched) -> None:
        settings = self.watch.fleet.certificates
        limits = Limits(settings.warn_days, settings.critical_days)
        found = await look(one, self._trust, limits=limits, deadline_s=CERTIFICATE_DEADLINE_S, now=self._clock)
        if one.name in self._watched_certificates:
            self.watch.note_certificate(remembered(self.watch.certificates.get(one.name), found))

    async def _verify(self, through: Through) -> None:
        await self.synthetic.look(through, self.watch.fleet, self._trust, now=self._clock)
        backend = self.watch.backends.get(through.name)
        if backend is not None:
            backend.scores = self.synthetic.scores(through.name)

    async def _look_at_balancer(self) -> None:
        await self.balancer.look(self.watch.fleet, self._trust, rule=self.watch.rule, now=self._clock)

    async def _look_at_distribution(self) -> None:
        window = self.distribution.look(self.watch.fleet.balancer, self.watch.backends.values(), self._clock())
        if window is not None:
            await asyncio.to_thread(self.distribution.judge, window)

    async def read_fleet_file(self) -> None:
        """A file that is wrong is refused whole; the old fleet stays watched and the API says why."""
        try:
            text = await asyncio.to_thread(self._file.changed)
            if text is None:
                return
            described = parse(text, path=self._file.path)
        except FleetFileError as error:
            if self.watch.fleet_error != str(error):
                log.error("the fleet file is refused: %s", error)
            self.watch.fleet_error = str(error)
            self.reading.refused(error, self._clock())
            return
        finally:
            self.reading.looked_at = self._clock()
        self.watch.adopt(described)
        self.reading.taken(self._clock())
        self._assign()
        log.info("watching %d backends of %s", len(described.backends), self._file.path)

    async def _write(self) -> None:
        batch = self.watch.take_batch()
        if not batch:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, self.history.write, batch)
            self._store_error = None
        except SQLAlchemyError as error:
            self.store_failures += 1
            self.alerting.store_failed()
            self._store_error = type(error).__name__
            self.watch.give_back(batch)
            log.error("what was seen could not be written and is kept for the next tick: %s", error)
        except asyncio.CancelledError:
            self.watch.give_back(batch)
            raise

    async def _roll_up(self) -> None:
        await self._step_by_step(self.history.roll_up_some, "history could not be rolled up")

    async def _prune(self) -> None:
        await self._step_by_step(self.history.prune_some, "old history could not be deleted")

    async def _step_by_step(self, step: Callable[[datetime], int | None], what: str) -> None:
        """Until nothing is left to do; between two short steps the tick's own batch gets its turn."""
        try:
            while await asyncio.get_running_loop().run_in_executor(self._writer, step, self._clock()) is not None:
                pass
        except SQLAlchemyError as error:
            self.alerting.store_failed()
            log.error("%s and stays as it is: %s", what, error)

    # --- what operators ask for -----------------------------------------------------------------------------------

    async def diagnose(self, subject: Subject) -> wire.Diagnosis:
        """Step by step, now, from here; at most a few at once, as each holds sockets and a thread."""
        async with self._diagnoses:
            return await diagnose(subject, self._trust, deadline_s=DIAGNOSIS_DEADLINE_S, now=self._clock)

    def _members(self) -> list[Member]:
        """Backends of another zone than the balancer's serve only when none of its own does."""
        zone = self.watch.fleet.balancer.zone
        able = {name for name, one in self.watch.backends.items() if one.eligible()}
        near = {name for name in able if zone is None or self.watch.backends[name].spec.zone == zone}
        return [Member(name, one.spec.weight, name in (near or able)) for name, one in self.watch.backends.items()]

    # --- what it says of itself -----------------------------------------------------------------------------------

    def health(self) -> wire.Health:
        """By its own database. Synchronous: for a thread."""
        return wire.Health(
            status="healthy" if self._store_check().status == "ok" else "unhealthy",
            service="face-auth-monitor",
            version=version(),
            timestamp=self._clock(),
        )

    def ready(self) -> wire.Ready:
        checks = {"store": self._store_check(), "schedule": self._schedule_check(), "fleet": self._fleet_check()}
        failing = next((name for name, check in checks.items() if check.status == "fail"), None)
        warning = next((name for name, check in checks.items() if check.status == "warn"), None)
        return wire.Ready(
            status="not_ready" if failing else "ready",
            version=version(),
            timestamp=self._clock(),
            reason=failing or warning,
            checks=checks,
        )

    def _store_check(self) -> wire.Check:
        if self._store_error is not None:
            return wire.Check(status="fail", detail=f"the last batch could not be written ({self._store_error})")
        try:
            self.history.ping()
        except SQLAlchemyError as error:
            return wire.Check(status="fail", detail=f"the database does not answer ({type(error).__name__})")
        return wire.Check(status="ok", detail="the database answers")

    def _schedule_check(self) -> wire.Check:
        silent = self.schedule.silent_s()
        if self.schedule.ticked_at is None or silent > SILENT_S:
            return wire.Check(status="fail", detail=f"no tick for {silent:.1f} s")
        if self.schedule.failures:
            return wire.Check(status="warn", detail=f"{self.schedule.failures} duties failed by a defect: see the log")
        return wire.Check(status="ok", detail=f"ticks; at most {self.schedule.worst_lateness_s * 1000:.0f} ms late")

    def _fleet_check(self) -> wire.Check:
        if self.watch.fleet_error is not None:
            return wire.Check(status="warn", detail=f"the fleet file is refused: {self.watch.fleet_error}")
        return wire.Check(status="ok", detail=f"{len(self.watch.backends)} backends are watched")
