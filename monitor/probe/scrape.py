"""Reads a backend's `/metrics` into one small value: counters of client requests, latency, identity."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families

from monitor.histogram import Histogram
from monitor.resources import Resources
from monitor.tally import Served, Tally

UNUSABLE_FACE = "422"
STAGES = "face_auth_stage_duration_seconds"


class NotMetrics(ValueError):
    """The text is not Prometheus', or lacks `http_requests_total`'s family altogether."""


@dataclass(frozen=True)
class Scrape:
    """Cumulative since the backend's process started; client routes only. Latency in seconds."""

    at: datetime
    requests: float
    errors: float
    latency: Histogram
    latency_sum_s: float
    connections: int | None
    in_flight: int | None
    process_started_at: datetime | None
    version: str | None
    model_id: str | None
    gallery_size: int | None
    seq: int | None
    review_threshold: float | None
    client_errors: float = 0.0
    served: Served = field(default_factory=Served)
    resources: Resources = field(default_factory=Resources)


@dataclass(frozen=True)
class _Sample:
    name: str
    labels: dict[str, str]
    value: float


def parse(text: str, *, at: datetime) -> Scrape:
    """One scrape. Raises `NotMetrics`."""
    samples = _samples(text)
    info = next((sample.labels for sample in samples if sample.name == "face_auth_info"), {})
    started = _gauge(samples, "process_start_time_seconds")
    return Scrape(
        at=at,
        requests=_total(samples, "http_requests_total"),
        errors=sum(s.value for s in samples if s.name == "http_requests_total" and s.labels.get("status", "").startswith("5")),
        latency=_latency(samples),
        latency_sum_s=_total(samples, "http_request_duration_seconds_sum"),
        connections=_whole(_gauge(samples, "http_connections")),
        in_flight=_whole(_gauge(samples, "http_requests_in_flight")),
        process_started_at=datetime.fromtimestamp(started, UTC) if started else None,
        version=info.get("version"),
        model_id=info.get("model_id"),
        gallery_size=_whole(_gauge(samples, "face_auth_gallery_templates")),
        seq=_whole(_gauge(samples, "face_auth_gallery_seq")),
        review_threshold=_gauge(samples, "face_auth_threshold", kind="review"),
        client_errors=sum(
            s.value for s in samples if s.name == "http_requests_total" and s.labels.get("status", "").startswith("4")
        ),
        served=_served(samples),
        resources=_resources(samples),
    )


def _samples(text: str) -> list[_Sample]:
    try:
        families = list(text_string_to_metric_families(text))
    except (ValueError, KeyError, IndexError) as error:
        raise NotMetrics(f"not in Prometheus' text format: {error}") from error
    if not any(family.name in ("http_requests", "http_requests_total") for family in families):
        raise NotMetrics("there is no http_requests_total")
    return [_Sample(s.name, dict(s.labels), s.value) for family in families for s in family.samples]


def _total(samples: Iterable[_Sample], name: str) -> float:
    return sum(sample.value for sample in samples if sample.name == name)


def _gauge(samples: Iterable[_Sample], name: str, **labels: str) -> float | None:
    found = (s.value for s in samples if s.name == name and labels.items() <= s.labels.items() and math.isfinite(s.value))
    return next(found, None)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _resources(samples: list[_Sample]) -> Resources:
    return Resources(
        cpu_s=_gauge(samples, "process_cpu_seconds_total"),
        memory_bytes=_whole(_gauge(samples, "process_resident_memory_bytes")),
        inference_busy=_whole(_gauge(samples, "face_auth_inference_busy")),
        inference_waiting=_whole(_gauge(samples, "face_auth_inference_waiting")),
        gallery_memory_bytes=_whole(_gauge(samples, "face_auth_gallery_memory_bytes")),
        gallery_memory_limit_bytes=_whole(_gauge(samples, "face_auth_gallery_memory_limit_bytes")),
        lag_s=_gauge(samples, "face_auth_gallery_lag_seconds"),
    )


def _latency(samples: Iterable[_Sample], name: str = "http_request_duration_seconds") -> Histogram:
    cumulative: dict[float, float] = {}
    bucket = f"{name}_bucket"
    for sample in samples:
        if sample.name == bucket:
            bound = float(sample.labels["le"])
            cumulative[bound] = cumulative.get(bound, 0.0) + sample.value
    return Histogram.from_cumulative(cumulative)


def _served(samples: Iterable[_Sample]) -> Served:
    """The same counters by route, the decisions (what the comparison of backends needs), and the stages."""
    by_route: dict[str, list[_Sample]] = defaultdict(list)
    by_stage: dict[str, list[_Sample]] = defaultdict(list)
    decisions: dict[tuple[str, str], float] = {}
    for sample in samples:
        if sample.name == "face_auth_decisions_total":
            decisions[sample.labels.get("operation", ""), sample.labels.get("decision", "")] = sample.value
        elif sample.name.startswith(f"{STAGES}_"):
            by_stage[sample.labels.get("stage", "")].append(sample)
        elif sample.name.startswith(("http_requests_total", "http_request_duration_seconds")):
            by_route[f"{sample.labels.get('method', '')} {sample.labels.get('route', '')}"].append(sample)
    return Served(
        {route: _tally(found) for route, found in by_route.items()},
        decisions,
        {stage: _stage(found) for stage, found in by_stage.items()},
    )


def _stage(samples: list[_Sample]) -> Tally:
    return Tally(
        requests=_total(samples, f"{STAGES}_count"),
        latency=_latency(samples, STAGES),
        latency_sum_s=_total(samples, f"{STAGES}_sum"),
    )


def _tally(samples: list[_Sample]) -> Tally:
    answered = [(s.labels.get("status", ""), s.value) for s in samples if s.name == "http_requests_total"]
    return Tally(
        requests=sum(value for _, value in answered),
        errors=sum(value for status, value in answered if status.startswith("5")),
        refused=sum(value for status, value in answered if status == UNUSABLE_FACE),
        latency=_latency(samples),
        latency_sum_s=_total(samples, "http_request_duration_seconds_sum"),
    )
