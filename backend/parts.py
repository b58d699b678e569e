"""What the program is made of, and how it is put together and taken apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from backend import model_parts
from backend.adjudication import Adjudication
from backend.background import Job
from backend.batch import Batches, BatchRules
from backend.body import BodyReader
from backend.bulk import BulkReviews
from backend.deliveries import Deliveries
from backend.endpoint import EndpointError, endpoint_of
from backend.enrolment import Enrolments
from backend.errors import Unavailable
from backend.export import Exports
from backend.faces.cores import usable_cores
from backend.faces.engine import EngineError
from backend.faces.gate import Gate
from backend.faces.image import ImageLimits
from backend.faces.liveness import LivenessAddOn
from backend.faces.pool import InferencePool
from backend.fitness import where_schema_fits
from backend.identity import Identity, Signers
from backend.intake import Faces, ImageRules, Intake
from backend.lifecycle import Lifecycle
from backend.metrics import Metrics
from backend.model_parts import ModelParts, Models
from backend.rates import Rates
from backend.readiness import Readiness
from backend.retention import Periods, Retention
from backend.review_codes import Codes
from backend.scans import Scans
from backend.scoring import Scoring
from backend.server import is_loopback
from backend.settings import Settings
from backend.sides import Side, Sides
from backend.store import index_snapshots, outbox
from backend.store.api_keys import Keys
from backend.store.audit import Audit
from backend.store.audit_chain import Sealer, unsealed
from backend.store.database import Store
from backend.store.dialect import UnsafeDatabase
from backend.store.due import DueTimes
from backend.store.job_leases import new_holder
from backend.store.key_file import KeyFileWatch
from backend.store.keyring import Keyring, KeyringError
from backend.store.stats import pending_enrolments, stats
from backend.subjects import Subjects
from backend.threads import Threads
from backend.thresholds import ThresholdsError
from backend.version import version

KEY_FILE_LOOK_S = 5.0
SWEEP_EVERY_S = 5.0
CASES_EVERY_S = 15.0
RETENTION_EVERY_S = 300.0
DUE_WITHIN_DAYS = (0, 1, 7, 30)
SNAPSHOT_LOOK_S = 15.0
"""How often it is asked whether a snapshot is due, or holds what was erased."""
SEAL_EVERY_S = 2.0
SCAN_LOOK_S = 2.0
WEBHOOK_LOOK_S = 1.0
LEAVE_THREADS_S, LEAVE_GALLERY_S = 3.0, 2.0
"""How long the end waits for what is under way: requests had their time before, and a kill at any point is safe."""


class CannotStart(Exception):
    """The service cannot be put together; the message is a sentence for the operator."""


@dataclass(frozen=True)
class Parts:
    """Built once when the server starts; routes reach it through `backend.routes.deps`."""

    settings: Settings
    life: Lifecycle
    metrics: Metrics
    store: Store
    models: Models
    threads: Threads
    bodies: BodyReader
    identity: Identity
    rates: Rates
    readiness: Readiness
    intake: Intake
    batches: Batches
    exports: Exports
    due: DueTimes
    bulk: BulkReviews
    codes: Codes
    keys: Keys
    audit: Audit
    jobs: tuple[Job, ...]
    """background work, each in a thread of its own"""

    @property
    def side(self) -> Side:
        return self.models.shown.side

    @property
    def subjects(self) -> Subjects:
        return self.models.shown.subjects

    @property
    def adjudication(self) -> Adjudication:
        return self.models.shown.adjudication

    @property
    def scans(self) -> Scans:
        return self.models.shown.scans

    @property
    def scoring(self) -> Scoring:
        return self.models.shown.scoring


@contextmanager
def parts_of(settings: Settings, *, life: Lifecycle, metrics: Metrics) -> Iterator[Parts]:
    """The parts, running; stopped in the reverse order when the block ends. Raises `CannotStart`."""
    with ExitStack() as stack:
        store = _open_store(settings)
        stack.callback(store.close)
        keys, signers = Keys(store), Signers(settings.signers_file)
        if not is_loopback(settings.host):
            refuse_to_listen_openly(settings.host, keys=_usable_keys(keys), signers=len(signers))
        try:
            loaded = model_parts.load(settings, store)
            liveness = _liveness(settings)
        except (EngineError, ThresholdsError) as error:
            raise CannotStart(str(error)) from error
        describe = partial(_describe, metrics, settings)
        sides = Sides(store, [one.side for one in loaded], told=describe)
        for one in loaded:
            one.side.replica.start()
            stack.callback(one.side.replica.stop, LEAVE_GALLERY_S)
        pool = InferencePool(settings.inference_workers or usable_cores(), settings.inference_queue, settings.request_deadline_s)
        stack.callback(pool.close)
        holder = new_holder(settings.instance)
        codes, due = _codes(settings), due_times(settings)
        by_model = [model_parts.build(one, store, holder=holder, codes=codes, due=due) for one in loaded]
        threads = Threads()
        models = Models(sides, by_model, threads)
        stack.callback(threads.close, LEAVE_THREADS_S)
        for part in by_model:
            stack.callback(part.scan_job.stop)
            if part.snapshots:
                stack.callback(part.snapshots.stop)
        describe(sides.shown())
        metrics.watch(lambda: sides.shown().replica, pool)
        enrolments = Enrolments(
            store,
            sides,
            holder=holder,
            lease_s=settings.enrolment_lease_s,
            store_images=settings.store_images,
        )
        limits = ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
        rules = ImageRules(limits, settings.max_images, settings.min_face_px, Gate(settings.min_quality))
        faces = Faces(models.engines, pool, rules, liveness)
        retention = Retention(store, _periods(settings), holder=holder)
        stack.callback(retention.stop)
        deliveries = _deliveries(settings, store, metrics, holder=holder)
        if deliveries:
            stack.callback(deliveries.stop)
        yield Parts(
            settings=settings,
            life=life,
            metrics=metrics,
            store=store,
            models=models,
            threads=threads,
            bodies=BodyReader(max_image_bytes=settings.max_image_bytes, max_images=settings.max_images),
            identity=Identity(signers=signers, key_holder=lambda secret: threads.lookup(keys.authenticate, secret)),
            rates=Rates(settings.key_rate_per_minute),
            readiness=Readiness(settings=settings, life=life, store=store, sides=sides, pool=pool),
            intake=Intake(faces=faces, enrolments=enrolments, models=models, threads=threads),
            batches=Batches(
                faces=faces,
                enrolments=enrolments,
                threads=threads,
                rules=BatchRules(settings.max_batch, pool.workers, settings.request_deadline_s),
                look=models.look,
            ),
            exports=Exports(store),
            due=due,
            bulk=BulkReviews(store, second_review=settings.second_review, codes=codes),
            codes=codes,
            keys=keys,
            audit=Audit(store),
            jobs=(
                Job("key file", KEY_FILE_LOOK_S, KeyFileWatch(store, settings.master_key_file).look),
                Job("sweep", SWEEP_EVERY_S, where_schema_fits(store, enrolments.sweep)),
                Job("cases", CASES_EVERY_S, partial(_count, store, by_model[0].scans, metrics, due)),
                Job("retention", RETENTION_EVERY_S, where_schema_fits(store, partial(_retain, retention, metrics))),
                Job("model in force", settings.gallery_poll_s, sides.keep_looking),
                *_snapshot_jobs(settings, store, by_model),
                *(Job(f"scan{place or ''}", SCAN_LOOK_S, one.scan_job.work) for place, one in enumerate(by_model)),
                *_webhook_jobs(store, deliveries, metrics),
                Job(
                    "audit-seal",
                    SEAL_EVERY_S,
                    where_schema_fits(store, partial(_seal_audit, store, Sealer(store, holder), metrics)),
                ),
            ),
        )


def _describe(metrics: Metrics, settings: Settings, side: Side) -> None:
    metrics.describe(side.card, version=version(), instance=settings.instance, thresholds=side.thresholds.by_kind())


def _liveness(settings: Settings) -> LivenessAddOn | None:
    file = settings.liveness_model
    return None if file is None else LivenessAddOn(file, threshold=settings.liveness_threshold)


def _snapshot_jobs(settings: Settings, store: Store, by_model: Sequence[ModelParts]) -> list[Job]:
    """Every replica destroys the keys of old ones, whoever wrote them; some keep one of their own, of each model."""
    look_s = min(SNAPSHOT_LOOK_S, settings.snapshot_every_s)
    kept = [
        Job(f"index snapshot{place or ''}", look_s, partial(one.snapshots.keep, one.side.replica))
        for place, one in enumerate(by_model)
        if one.snapshots
    ]
    return [Job("outdated index snapshots", look_s, partial(index_snapshots.destroy_outdated, store)), *kept]


def _deliveries(settings: Settings, store: Store, metrics: Metrics, *, holder: str) -> Deliveries | None:
    if settings.webhook_url is None:
        return None
    try:
        return Deliveries(store, endpoint_of(settings), holder=holder, count=metrics.webhook_attempt)
    except EndpointError as error:
        raise CannotStart(str(error)) from error


def _webhook_jobs(store: Store, deliveries: Deliveries | None, metrics: Metrics) -> list[Job]:
    """The numbers are everybody's: those of a replica that delivers nothing are as true."""
    if deliveries is None:
        return []
    return [
        Job("webhook", WEBHOOK_LOOK_S, where_schema_fits(store, deliveries.run)),
        Job("webhook numbers", CASES_EVERY_S, where_schema_fits(store, partial(_count_undelivered, store, metrics))),
    ]


def _count_undelivered(store: Store, metrics: Metrics) -> None:
    found = outbox.backlog(store)
    metrics.webhook(found.waiting, found.oldest_s, found.dropped)


def _seal_audit(store: Store, sealer: Sealer, metrics: Metrics) -> None:
    sealer.run()
    metrics.audit(*unsealed(store))


def _count(store: Store, scans: Scans, metrics: Metrics, due: DueTimes) -> None:
    numbers, oldest = stats(store, due), 0.0
    if numbers.oldest_waiting_case_at is not None:
        with store.read() as session:
            oldest = max(0.0, (store.now(session) - numbers.oldest_waiting_case_at).total_seconds())
    metrics.cases({str(state): count for state, count in numbers.cases.items()})
    metrics.queue(
        overdue=numbers.overdue or 0,
        oldest_s=oldest,
        opened=numbers.opened_last_hour or 0,
        resolved=numbers.resolved_last_hour or 0,
    )
    metrics.scan(*scans.progress())
    metrics.enrolments(*pending_enrolments(store))


def due_times(settings: Settings) -> DueTimes:
    return DueTimes(
        certain=timedelta(hours=settings.review_due_certain_hours), review=timedelta(hours=settings.review_due_review_hours)
    )


def _periods(settings: Settings) -> Periods:
    days = settings.retention_subject_days
    return Periods(
        subject=None if days is None else timedelta(days=days), rejected=timedelta(days=settings.retention_rejected_days)
    )


def _codes(settings: Settings) -> Codes:
    return Codes(settings.review_verdicts, settings.review_reasons, frozenset(settings.review_note_required))


def _retain(retention: Retention, metrics: Metrics) -> None:
    """Erase, then say who is next: also what a new setting will do before it has done it all."""
    retention.erase_due()
    metrics.subjects_due({days: retention.due(within=timedelta(days=days)) for days in DUE_WITHIN_DAYS})


def refuse_to_listen_openly(host: str, *, keys: int, signers: int) -> None:
    """Without anybody who could be let in, only this machine may reach the listener."""
    if keys == 0 and signers == 0:
        raise CannotStart(
            f"refusing to listen on {host}: there is neither an API key nor a signers file, so only a loopback address is allowed"
            " (`python -m backend keys create`, or BACKEND_SIGNERS_FILE)"
        )


def _usable_keys(keys: Keys) -> int:
    """0 where the database cannot say: what is not known to be safe is not done."""
    now = datetime.now(UTC)
    try:
        return sum(key.revoked_at is None and (key.expires_at is None or key.expires_at > now) for key in keys.list())
    except Unavailable:
        return 0


def _open_store(settings: Settings) -> Store:
    try:
        told = settings.webhook_events if settings.webhook_url else ()
        return Store.open(settings.database_url.get_secret_value(), keyring=Keyring.load(settings.master_key_file), told=told)
    except (KeyringError, UnsafeDatabase) as error:
        raise CannotStart(str(error)) from error
