"""Rules that look at the whole fleet, and the grouping: many backends with one fault are one alert. Pure.

Grouping goes one hop: a wider alert keeps those of its members from being *created*; it never resolves one, and when it is
gone the members that still fail are told.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable

from monitor.alerts.condition import Sheet, named
from monitor.alerts.facts import BackendFacts, Burn, CertificateFacts, Facts
from monitor.fleet_alerts import Severity
from monitor.wire import DriftKind, State

# SRE workbook: factor, long window, short window (seconds), severity. Both windows must burn faster than the factor.
BURN_ROWS = (
    (14.4, 3600, 300, Severity.critical),
    (6.0, 21_600, 1800, Severity.critical),
    (3.0, 86_400, 7200, Severity.warning),
    (1.0, 259_200, 21_600, Severity.warning),
)
BURN_WINDOWS_S = sorted({seconds for row in BURN_ROWS for seconds in row[1:3]})


def evaluate(sheet: Sheet, facts: Facts) -> None:
    counting = [one for one in facts.backends if one.counts]
    _certificates_explain(sheet, facts)
    _fault(sheet, counting, [one for one in facts.backends if not one.counts])
    _down(sheet, counting)
    _capacity(sheet, counting)
    _blind(sheet, counting)
    _errors(sheet, facts.backends)
    _latency(sheet, facts.backends)
    _traffic_gone(sheet, facts.backends)
    _burn(sheet, facts.burn)
    _drift(sheet, facts.backends)
    _drifted(sheet, facts)
    _rotation(sheet, facts.certificates)


def most_of(sheet: Sheet, total: int) -> int:
    """How many make it a matter of the fleet: more than half, and at least `together`."""
    return max(sheet.settings.thresholds.together, total // 2 + 1)


def _certificates_explain(sheet: Sheet, facts: Facts) -> None:
    """A backend that is down because of its certificate is told by the certificate's alert."""
    wrong = {c.labels.get("certificate") for c in sheet.conditions.values() if c.scope.startswith("certificate:")}
    sheet.suppress(
        *(f"backend:{one.name}" for one in facts.backends if one.name in wrong and (one.reason or "").startswith("TLS."))
    )


def _fault(sheet: Sheet, counting: list[BackendFacts], aside: list[BackendFacts]) -> None:
    """`aside`: in maintenance. They make no alert of the fleet; but that somebody began a window does not mend them."""
    need, total = most_of(sheet, len(counting)), len(counting)
    still = Counter(one.reason for one in aside if one.failing)
    unknown = sum(not one.known for one in counting)
    failing: dict[str, list[str]] = {}
    for one in counting:
        if one.known and one.failing and one.reason:
            failing.setdefault(one.reason, []).append(one.name)
    if unknown >= need:
        sheet.hold("fleet-fault:*")
    sheet.hold(*(f"fleet-fault:{code}" for code, number in still.items() if number + unknown >= need))
    for code, names in failing.items():
        scope = f"fleet-fault:{code}"
        if len(names) >= need:
            sentence = f"{len(names)} of {total} backends fail {code}: {named(names)}"
            if sheet.add("FleetFault", scope, sentence, code, code=code):
                sheet.suppress(*(f"backend:{name}" for name in names))
        elif len(names) + unknown + still[code] >= need:
            sheet.hold(scope)


def _down(sheet: Sheet, counting: list[BackendFacts]) -> None:
    serving = [one for one in counting if one.known and one.state is State.up]
    unknown = [one for one in counting if not one.known]
    if serving:
        return
    if unknown or not counting:
        sheet.hold("fleet:down")
        return
    reasons = Counter(one.reason for one in counting if one.reason)
    reason = reasons.most_common(1)[0][0] if reasons else "APP.UNKNOWN"
    if sheet.add("FleetDown", "fleet:down", f"None of {len(counting)} backends serves; most often {reason}", reason):
        members, faults = (f"backend:{one.name}" for one in counting), (f"fleet-fault:{code}" for code in reasons)
        sheet.suppress("fleet:capacity", *members, *faults)


def _capacity(sheet: Sheet, counting: list[BackendFacts]) -> None:
    total = len(counting)
    if total < 2:
        return
    up = sum(one.known and one.state is State.up for one in counting)
    unknown = sum(not one.known for one in counting)
    least = sheet.settings.thresholds.least_up_ratio * total
    if up + unknown < least:
        gone = [one for one in counting if one.known and one.state is not State.up]
        reason = Counter(one.reason or "APP.UNKNOWN" for one in gone).most_common(1)[0][0]
        verb = "is" if up == 1 else "are"
        sheet.add("FleetCapacityLow", "fleet:capacity", f"Only {up} of {total} backends {verb} left to serve", reason)
    elif up < least:
        sheet.hold("fleet:capacity")


def _blind(sheet: Sheet, counting: list[BackendFacts]) -> None:
    stale = [one for one in counting if one.stale]
    if len(stale) >= most_of(sheet, len(counting)):
        reason = Counter(one.monitor_fault or "MON.STALE" for one in stale).most_common(1)[0][0]
        names = named([one.name for one in stale])
        sentence = f"The monitor has no fresh sample of {len(stale)} of {len(counting)} backends: {names}"
        if sheet.add("MonitorBlind", "fleet:blind", sentence, reason):
            sheet.suppress(*(f"stale:{one.name}" for one in stale))


def _errors(sheet: Sheet, backends: Iterable[BackendFacts]) -> None:
    limits, seen = sheet.settings.thresholds, [one for one in backends if one.traffic is not None]
    requests = sum(one.traffic.requests for one in seen if one.traffic)
    errors = sum(one.traffic.errors for one in seen if one.traffic)
    if requests == 0:
        sheet.hold("fleet:errors")
    elif errors / requests >= limits.error_ratio:
        if requests < limits.least_requests:
            sheet.hold("fleet:errors")
            return
        bad = [f"errors:{one.name}" for one in seen if f"errors:{one.name}" in sheet.conditions]
        if len(bad) >= most_of(sheet, len(seen)):  # else the one backend that fails is named by its own alert
            sentence = f"{errors / requests:.0%} of {requests} requests to the fleet failed (5xx), on {len(bad)} backends"
            if sheet.add("FleetErrorRatioHigh", "fleet:errors", sentence, "APP.ERRORS"):
                sheet.suppress(*bad)


def _latency(sheet: Sheet, backends: Iterable[BackendFacts]) -> None:
    seen = [one for one in backends if one.traffic is not None and one.traffic.requests]
    slow = [one.name for one in seen if f"latency:{one.name}" in sheet.conditions]
    if not seen:
        sheet.hold("fleet:latency")
    elif len(slow) >= most_of(sheet, len(seen)):
        limit = sheet.settings.thresholds.latency_p95_ms
        sentence = f"{len(slow)} of {len(seen)} backends answer slowly (95th percentile above {limit:.0f} ms): {named(slow)}"
        if sheet.add("FleetLatencyHigh", "fleet:latency", sentence, "APP.SLOW"):
            sheet.suppress(*(f"latency:{name}" for name in slow))


def _traffic_gone(sheet: Sheet, backends: Iterable[BackendFacts]) -> None:
    """Only requests prove that they came back: a quiet hour makes silence usual, not right."""
    seen = list(backends)
    now = [one.traffic.requests for one in seen if one.traffic is not None]
    if sum(now) > 0:
        return
    before = sum(one.requests_before or 0 for one in seen)
    # One that is down serves nobody, whatever its counters would say.
    silent = [one for one in seen if one.traffic is not None or (one.known and one.state is State.down)]
    if now and len(silent) == len(seen) and before >= sheet.settings.thresholds.gone_after_requests:
        sentence = f"No request has come for 5 minutes, after {before} in the hour before"
        sheet.add("FleetTrafficGone", "fleet:traffic", sentence, "NET.NO_TRAFFIC")
    else:
        sheet.hold("fleet:traffic")


def _burn(sheet: Sheet, burn: Burn | None) -> None:
    if burn is None or not any(burn.requests.values()):
        sheet.hold("fleet:burn")
        return
    slo = sheet.settings.slo.availability
    for factor, long_s, short_s, severity in BURN_ROWS:
        enough = burn.requests.get(short_s, 0) >= sheet.settings.thresholds.least_requests
        rates = [burn.error_ratios.get(seconds, 0.0) / (1 - slo) for seconds in (long_s, short_s)]
        if enough and min(rates) >= factor:
            windows = f"over {_span(long_s)} and {_span(short_s)}"
            sentence = f"Errors use up the budget of {slo:.2%} availability {min(rates):.1f} times too fast ({windows})"
            sheet.add("FleetBudgetBurning", "fleet:burn", sentence, "APP.BUDGET", severity=severity)
            return


def _span(seconds: int) -> str:
    return f"{seconds // 3600} h" if seconds >= 3600 else f"{seconds // 60} min"


def _drift(sheet: Sheet, backends: Iterable[BackendFacts]) -> None:
    """Of those that are alive: what a dead one last said is no drift. One that does not say hides whether there is any."""
    seen = list(backends)
    alive = [one for one in seen if one.known and one.state is not State.down]
    some_unknown = any(not one.known for one in seen)
    values: tuple[tuple[str, str, str, Callable[[BackendFacts], object]], ...] = (
        ("ModelDisagreement", "model", "APP.MODEL", lambda one: one.model_id),
        ("ThresholdDisagreement", "threshold", "APP.THRESHOLD", lambda one: one.review_threshold),
        ("VersionDisagreement", "version", "APP.VERSION", lambda one: one.version),
    )
    for rule, what, reason, of in values:
        said = {one.name: of(one) for one in alive}
        known = {name: value for name, value in said.items() if value is not None}
        if len(set(known.values())) > 1:
            sheet.add(rule, f"drift:{what}", _differs(what, known), reason)
        elif some_unknown or len(known) < len(said):
            sheet.hold(f"drift:{what}")


def _drifted(sheet: Sheet, facts: Facts) -> None:
    """Galleries and scores are compared over time by the watch; one that says nothing may be the one that differs."""
    found = {one.kind: one for one in facts.drift}
    for kind, rule in ((DriftKind.gallery_size, "GalleryDisagreement"), (DriftKind.scores, "ScoresDisagreement")):
        scope = f"drift:{kind}"
        if kind in found:
            sheet.add(rule, scope, found[kind].sentence, found[kind].reason)
        elif any(not one.known for one in facts.backends):
            sheet.hold(scope)


def _differs(what: str, values: dict[str, object]) -> str:
    usual = statistics.mode(values.values())
    others = [f"{name} has {value}" for name, value in values.items() if value != usual]
    return f"The {what} differs: most have {usual}; {named(others)}"


def _rotation(sheet: Sheet, certificates: Iterable[CertificateFacts]) -> None:
    by_name: dict[str, list[CertificateFacts]] = {}
    for one in certificates:
        if one.is_backend and one.server_name:
            by_name.setdefault(one.server_name, []).append(one)
    for server_name, served in by_name.items():
        prints = {one.fingerprint for one in served if one.fingerprint}
        scope = f"rotation:{server_name}"
        if len(prints) > 1:
            names = named([one.name for one in served])
            sentence = f"{server_name} is served with {len(prints)} different certificates by {names}"
            sheet.add("CertificateRotationHalfDone", scope, sentence, "TLS.ROTATION", server_name=server_name)
        elif any(one.fingerprint is None for one in served):
            sheet.hold(scope)
