"""From facts to conditions: pure. Each rule says that its condition holds, that it does not, or that it cannot know.

The last is the point of this module: a backend that turned stale has not recovered, a ratio of no requests is not a good one.
Where a rule cannot know, it *holds* its scope, and the life cycle leaves alone what fires there.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from monitor.alerts import fleet_rules
from monitor.alerts.condition import Sheet
from monitor.alerts.facts import (
    BackendFacts,
    BalancerFacts,
    CertificateFacts,
    Facts,
    Finding,
    FindingKind,
    MonitorFacts,
    SyntheticFacts,
)
from monitor.fleet_alerts import Alerts, Severity
from monitor.wire import CertificateState, State

FAILED_LATELY = timedelta(minutes=5)
ATTEMPTS_BEFORE_TOLD = 5
ERRORS = "APP.ERRORS"
RULE_OF_FINDING = {FindingKind.uneven: "LoadUneven", FindingKind.sinkhole: "LoadSinkhole", FindingKind.outlier: "LoadOutlier"}


def evaluate(facts: Facts, settings: Alerts, now: datetime) -> Sheet:
    """All conditions of this moment."""
    sheet = Sheet(settings)
    for backend in facts.backends:
        _state(sheet, backend)
        _staleness(sheet, backend)
        _condition_of_backend(sheet, backend)
        _traffic(sheet, backend)
        _occupation(sheet, backend)
    for certificate in facts.certificates:
        _certificate(sheet, certificate)
    _balancer(sheet, facts.balancer)
    _findings(sheet, facts.findings)
    _synthetic(sheet, facts.synthetic)
    _monitor(sheet, facts.monitor, now)
    fleet_rules.evaluate(sheet, facts)
    return sheet


def _state(sheet: Sheet, one: BackendFacts) -> None:
    """Down and degraded are one alert that grows worse: telling "degraded: resolved" because it is down would be a lie."""
    scope = f"backend:{one.name}"
    if not one.known or one.state is State.starting:
        sheet.hold(scope)
    elif one.failing:
        rule = "BackendDown" if one.state is State.down else "BackendDegraded"
        sentence = f"{one.name} is {one.state}: {one.detail or one.reason or 'no reason is known'}"
        sheet.add(rule, scope, sentence, one.reason or "APP.UNKNOWN", backend=one.name)


def _staleness(sheet: Sheet, one: BackendFacts) -> None:
    if one.stale:
        code = one.monitor_fault or "MON.STALE"
        sentence = f"There is no fresh sample of {one.name}: its last state ({one.state}) is not to be believed"
        sheet.add("BackendStale", f"stale:{one.name}", sentence, code, backend=one.name)


def _condition_of_backend(sheet: Sheet, one: BackendFacts) -> None:
    flapping, draining, warning, disagrees, behind = (
        f"{kind}:{one.name}" for kind in ("flapping", "draining", "warning", "disagreement", "behind")
    )
    if not one.known:
        sheet.hold(flapping, draining, warning, disagrees, behind)
        return
    reason = one.reason or "APP.UNKNOWN"
    if one.flapping:
        sentence = f"{one.name} changes its state too often to be believed: what it does is told when it has settled"
        sheet.add("BackendFlapping", flapping, sentence, reason, backend=one.name)
    if one.reason == "APP.DRAINING" and one.state is State.degraded:
        sheet.add("BackendDraining", draining, f"{one.name} is still taken out of service", reason, backend=one.name)
    if one.state is State.up and one.reason:
        sheet.add("BackendWarning", warning, f"{one.name} serves and warns: {one.detail or one.reason}", reason, backend=one.name)
    if one.disagreement:
        sheet.add("BackendDisagreement", disagrees, one.disagreement, "LB.DISAGREEMENT", backend=one.name)
    if one.behind:
        sheet.add("GalleryBehind", behind, one.behind, "APP.GALLERY", backend=one.name)


def _traffic(sheet: Sheet, one: BackendFacts) -> None:
    errors, latency, client = f"errors:{one.name}", f"latency:{one.name}", f"client-errors:{one.name}"
    traffic, limits = one.traffic, sheet.settings.thresholds
    if traffic is None or traffic.requests == 0:
        sheet.hold(errors, latency, client)
        return
    many = traffic.requests >= limits.least_requests
    ratio = traffic.errors / traffic.requests
    if ratio >= limits.error_ratio:
        sentence = f"{ratio:.0%} of {traffic.requests} requests to {one.name} failed (5xx), at most {limits.error_ratio:.0%} may"
        _if_enough(sheet, many, "BackendErrorRatioHigh", errors, sentence, ERRORS, one.name)
    if traffic.p95_ms is None:
        sheet.hold(latency)
    elif traffic.p95_ms >= limits.latency_p95_ms:
        sentence = f"The 95th percentile of {one.name} is {traffic.p95_ms:.0f} ms, at most {limits.latency_p95_ms:.0f} ms may be"
        _if_enough(sheet, many, "BackendLatencyHigh", latency, sentence, "APP.SLOW", one.name)
    if traffic.client_errors is None:
        sheet.hold(client)
    elif traffic.client_errors / traffic.requests >= limits.client_error_ratio:
        share = traffic.client_errors / traffic.requests
        sentence = f"{share:.0%} of {traffic.requests} requests to {one.name} were refused (4xx): a caller does something wrong"
        _if_enough(sheet, many, "BackendClientErrorsHigh", client, sentence, "NET.CLIENTS", one.name)


def _if_enough(sheet: Sheet, enough: bool, rule: str, scope: str, sentence: str, reason: str, backend: str) -> None:
    """Too few requests create nothing and end nothing."""
    if enough:
        sheet.add(rule, scope, sentence, reason, backend=backend)
    else:
        sheet.hold(scope)


def _occupation(sheet: Sheet, one: BackendFacts) -> None:
    limits = sheet.settings.thresholds
    if one.connections is None:
        sheet.hold(f"connections:{one.name}")
    elif one.connections >= limits.connections:
        sentence = f"{one.name} holds {one.connections} connections, {limits.connections} are many"
        sheet.add("BackendConnectionsHigh", f"connections:{one.name}", sentence, "APP.CONNECTIONS", backend=one.name)
    if one.in_flight is None:
        sheet.hold(f"saturation:{one.name}")
    elif one.in_flight >= limits.in_flight:
        sentence = f"{one.name} has {one.in_flight:.0f} requests in flight on average, {limits.in_flight:.0f} are many"
        sheet.add("BackendSaturated", f"saturation:{one.name}", sentence, "APP.SATURATED", backend=one.name)


def _certificate(sheet: Sheet, one: CertificateFacts) -> None:
    """One alert per certificate (endpoint and fingerprint), which grows from a warning to critical to expired."""
    scope = f"certificate:{one.endpoint}"
    if one.state is CertificateState.unknown:
        sheet.hold(scope)
        sentence = f"The certificate of {one.name} cannot be looked at: {one.detail or one.reason}"
        unknown, reason = f"certificate-unknown:{one.endpoint}", one.reason or "NET.UNKNOWN"
        sheet.add("CertificateUnknown", unknown, sentence, reason, certificate=one.name, endpoint=one.endpoint)
        return
    if one.state is CertificateState.ok:
        return
    rule, severity = {
        CertificateState.expired: ("CertificateExpired", Severity.critical),
        CertificateState.invalid: ("CertificateInvalid", Severity.critical),
        CertificateState.critical: ("CertificateExpiring", Severity.critical),
    }.get(one.state, ("CertificateExpiring", Severity.warning))
    key = f"{scope}:{(one.fingerprint or 'none')[:16]}"
    sentence = f"The certificate of {one.name} is {one.state}: {one.detail or one.reason}"
    reason, place = one.reason or "TLS.UNKNOWN", one.endpoint
    sheet.add(rule, scope, sentence, reason, key=key, severity=severity, certificate=one.name, endpoint=place)


def _balancer(sheet: Sheet, one: BalancerFacts | None) -> None:
    if one is None:
        return
    limits = sheet.settings.thresholds
    if one.failed is None:
        sheet.hold("balancer:health")
    elif one.failed:
        sentence = f"The balancer does not serve: {one.detail or one.reason}"
        sheet.add("BalancerDown", "balancer:health", sentence, one.reason or "LB.UNKNOWN")
    if one.stats_reason is not None:
        sentence = f"The balancer's own statistics cannot be read ({one.stats_reason}): its opinion is not known"
        sheet.add("BalancerStatsUnreadable", "balancer:stats", sentence, "LB.STATS")
    for scope, rule, value, limit, unit in (
        ("balancer:cpu", "BalancerCpuHigh", one.cpu_percent, limits.balancer_cpu_percent, "% CPU"),
        ("balancer:memory", "BalancerMemoryHigh", one.memory_mb, limits.balancer_memory_mb, "MB of memory"),
    ):
        if value is None:
            sheet.hold(scope)
        elif value >= limit:
            sheet.add(rule, scope, f"The balancer takes {value:.0f} {unit}, {limit:.0f} are many", "LB.RESOURCES")


def _findings(sheet: Sheet, findings: tuple[Finding, ...] | None) -> None:
    if findings is None:
        sheet.hold("load:*")
        return
    for one in findings:
        backend = None if one.subject == "fleet" else one.subject
        scope = f"load:{one.reason}:{one.subject}"
        told = sheet.add(RULE_OF_FINDING[one.kind], scope, one.sentence, one.reason, severity=one.severity, backend=backend)
        if told and one.reason == ERRORS and f"errors:{one.subject}" in sheet.conditions:
            sheet.suppress(scope)  # the same failures, told by their ratio


def _synthetic(sheet: Sheet, results: tuple[SyntheticFacts, ...]) -> None:
    for one in results:
        scope = f"synthetic:{one.through}:{one.pair}"
        if one.passed is None:
            sheet.hold(scope)
        elif not one.passed:
            sentence = f"The known {one.pair} pair through {one.through}: {one.detail or one.reason}"
            told = sheet.add("SyntheticFailing", scope, sentence, one.reason or "APP.UNKNOWN", backend=one.through)
            if told and f"backend:{one.through}" in sheet.conditions:
                sheet.suppress(scope)  # who is down verifies nobody


def _monitor(sheet: Sheet, one: MonitorFacts, now: datetime) -> None:
    if one.store_failed_at is not None and now - one.store_failed_at < FAILED_LATELY:
        sentence = "The monitor's database refused what it had to write within the last minutes"
        sheet.add("MonitorStoreFailing", "monitor:store", sentence, "MON.STORE")
    if one.duty_failed_at is not None and now - one.duty_failed_at < FAILED_LATELY:
        sentence = "A duty of the monitor failed by a defect: its log says which"
        sheet.add("MonitorDutyFailing", "monitor:duty", sentence, "MON.DUTY")
    if one.lateness_s >= sheet.settings.thresholds.lateness_s:
        sheet.add("MonitorLate", "monitor:lateness", f"The monitor's probes start {one.lateness_s:.1f} s late", "MON.LATE")
    if one.fleet_error is not None:
        sentence = "The present fleet file is refused: the fleet of the last good one is watched"
        sheet.add("MonitorFleetFileRefused", "monitor:fleet-file", sentence, "MON.FLEET_FILE")
    if one.undelivered is None:
        sheet.hold("delivery:*")
        return
    for route, attempts in one.undelivered.items():
        if attempts >= ATTEMPTS_BEFORE_TOLD:
            sentence = f"Notifications for route {route} do not arrive: {attempts} attempts failed; they are tried again"
            sheet.add("MonitorDeliveryFailing", f"delivery:{route}", sentence, "MON.DELIVERY", route=route)
