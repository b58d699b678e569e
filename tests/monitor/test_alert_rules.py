"""Each rule has its condition, its recovery, and a moment in which it cannot know; many backends with one fault are one alert."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.alerts.catalogue import RULES
from monitor.alerts.client_errors import ClientErrors
from monitor.alerts.condition import Sheet
from monitor.alerts.facts import (
    BackendFacts,
    BalancerFacts,
    Burn,
    CertificateFacts,
    DriftFacts,
    Facts,
    Finding,
    FindingKind,
    MonitorFacts,
    SyntheticFacts,
    Traffic,
)
from monitor.alerts.rules import evaluate
from monitor.fleet_alerts import RULE_NAMES, Alerts, Severity
from monitor.probe.scrape import parse
from monitor.wire import AdminState, CertificateState, DriftKind, State, SyntheticPair

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
USUAL = Traffic(requests=100, errors=0, p95_ms=50.0, client_errors=1)
UP = BackendFacts(
    name="b1",
    state=State.up,
    stale=False,
    traffic=USUAL,
    requests_before=1000,
    connections=3,
    in_flight=0.5,
    model_id="m1",
    version="1",
    review_threshold=0.5,
)
BALANCER = BalancerFacts(failed=False, cpu_percent=5.0, memory_mb=50.0)
CERTIFICATE = CertificateFacts("b1", "10.0.0.1:8000", CertificateState.ok, None, None, "f" * 64, "b1", is_backend=True)
DB = {"state": State.down, "reason": "DEP.DATABASE", "detail": "the database is away"}


def fleet(count: int = 4, **changed: dict[str, Any]) -> tuple[BackendFacts, ...]:
    """``b1 … bn``, up, but for what is given by name."""
    return tuple(replace(UP, name=f"b{n}", **changed.get(f"b{n}", {})) for n in range(1, count + 1))


def facts(**changes: Any) -> Facts:
    usual: dict[str, Any] = {
        "backends": fleet(),
        "balancer": BALANCER,
        "certificates": (CERTIFICATE,),
        "monitor": MonitorFacts(undelivered={}),
        "burn": Burn({3600: 0.0}, {3600: 100}),
    }
    return Facts(**(usual | changes))


def judged(settings: Alerts = Alerts(), **changes: Any) -> Sheet:  # noqa: B008 - frozen
    return evaluate(facts(**changes), settings, NOW)


def one_backend(**changes: Any) -> dict[str, Any]:
    return {"backends": fleet(b1=changes)}


def certificate(**changes: Any) -> dict[str, Any]:
    return {"certificates": (replace(CERTIFICATE, **changes),)}


BURNING = Burn({3600: 0.02, 300: 0.02}, {3600: 1000, 300: 100})
TICKET = Burn({259_200: 0.0015, 21_600: 0.0015, 300: 0.0}, {259_200: 10_000, 21_600: 1000, 300: 100})
QUIET = Traffic(0, 0, None, 0)
LATELY = NOW - timedelta(minutes=1)

# rule → (facts that it fires on, its scope, facts in which it cannot know)
CASES: dict[str, tuple[dict[str, Any], str, dict[str, Any] | None]] = {
    "BackendDown": (one_backend(**DB), "backend:b1", one_backend(stale=True)),
    "BackendDegraded": (one_backend(state=State.degraded, reason="APP.MODEL"), "backend:b1", one_backend(state=State.starting)),
    "BackendStale": (one_backend(stale=True), "stale:b1", None),
    "BackendFlapping": (one_backend(flapping=True), "flapping:b1", one_backend(stale=True)),
    "BackendDraining": (
        one_backend(state=State.degraded, reason="APP.DRAINING", admin_state=AdminState.draining),
        "draining:b1",
        one_backend(state=State.unknown),
    ),
    "BackendWarning": (one_backend(reason="APP.RESOURCES"), "warning:b1", one_backend(stale=True)),
    "BackendDisagreement": (one_backend(disagreement="They disagree."), "disagreement:b1", one_backend(stale=True)),
    "BackendErrorRatioHigh": (
        one_backend(traffic=Traffic(100, 10, 50.0, 0)),
        "errors:b1",
        one_backend(traffic=Traffic(5, 5, 50.0, 0)),
    ),
    "BackendClientErrorsHigh": (one_backend(traffic=Traffic(100, 0, 50.0, 60)), "client-errors:b1", one_backend(traffic=None)),
    "BackendLatencyHigh": (one_backend(traffic=Traffic(100, 0, 2500.0, 0)), "latency:b1", one_backend(traffic=QUIET)),
    "BackendConnectionsHigh": (one_backend(connections=900), "connections:b1", one_backend(connections=None)),
    "BackendSaturated": (one_backend(in_flight=99.0), "saturation:b1", one_backend(in_flight=None)),
    "FleetDown": (
        {"backends": fleet(2, b1=DB, b2=DB)},
        "fleet:down",
        {"backends": fleet(2, b1=DB, b2={"stale": True})},
    ),
    "FleetFault": ({"backends": fleet(b1=DB, b2=DB, b3=DB)}, "fleet-fault:DEP.DATABASE", None),
    "FleetCapacityLow": (
        {"backends": fleet(b1=DB, b2={"state": State.starting}, b3={"state": State.degraded, "reason": "APP.MODEL"})},
        "fleet:capacity",
        {"backends": fleet(b1=DB, b2=DB, b3={"stale": True})},
    ),
    "FleetErrorRatioHigh": (
        {"backends": fleet(**{f"b{n}": {"traffic": Traffic(100, 50, 50.0, 0)} for n in (1, 2, 3)})},
        "fleet:errors",
        {"backends": fleet(**{f"b{n}": {"traffic": QUIET} for n in range(1, 5)})},
    ),
    "FleetLatencyHigh": (
        {"backends": fleet(**{f"b{n}": {"traffic": Traffic(100, 0, 9000.0, 0)} for n in (1, 2, 3)})},
        "fleet:latency",
        {"backends": fleet(**{f"b{n}": {"traffic": None} for n in range(1, 5)})},
    ),
    "FleetTrafficGone": (
        {"backends": fleet(**{f"b{n}": {"traffic": QUIET} for n in range(1, 5)})},
        "fleet:traffic",
        {"backends": fleet(**{f"b{n}": {"traffic": QUIET, "requests_before": 0} for n in range(1, 5)})},
    ),
    "FleetBudgetBurning": ({"burn": BURNING}, "fleet:burn", {"burn": None}),
    "BalancerDown": (
        {"balancer": replace(BALANCER, failed=True, reason="LB.NO_BACKEND")},
        "balancer:health",
        {"balancer": replace(BALANCER, failed=None)},
    ),
    "BalancerStatsUnreadable": ({"balancer": replace(BALANCER, stats_reason="NET.REFUSED")}, "balancer:stats", None),
    "BalancerCpuHigh": (
        {"balancer": replace(BALANCER, cpu_percent=99.0)},
        "balancer:cpu",
        {"balancer": replace(BALANCER, cpu_percent=None)},
    ),
    "BalancerMemoryHigh": (
        {"balancer": replace(BALANCER, memory_mb=9999.0)},
        "balancer:memory",
        {"balancer": replace(BALANCER, memory_mb=None)},
    ),
    "CertificateExpired": (
        certificate(state=CertificateState.expired, reason="TLS.EXPIRED"),
        "certificate:10.0.0.1:8000",
        certificate(state=CertificateState.unknown, reason="NET.REFUSED"),
    ),
    "CertificateInvalid": (
        certificate(state=CertificateState.invalid, reason="TLS.NAME_MISMATCH"),
        "certificate:10.0.0.1:8000",
        None,
    ),
    "CertificateExpiring": (
        certificate(state=CertificateState.warning, reason="TLS.EXPIRING"),
        "certificate:10.0.0.1:8000",
        None,
    ),
    "CertificateUnknown": (
        certificate(state=CertificateState.unknown, reason="NET.REFUSED"),
        "certificate-unknown:10.0.0.1:8000",
        None,
    ),
    "CertificateRotationHalfDone": (
        {"certificates": (CERTIFICATE, replace(CERTIFICATE, name="b2", endpoint="10.0.0.2:8000", fingerprint="e" * 64))},
        "rotation:b1",
        certificate(fingerprint=None),
    ),
    "ModelDisagreement": (one_backend(model_id="m2"), "drift:model", one_backend(model_id=None)),
    "ThresholdDisagreement": (one_backend(review_threshold=0.7), "drift:threshold", one_backend(stale=True)),
    "VersionDisagreement": (one_backend(version="2"), "drift:version", one_backend(version=None)),
    "GalleryBehind": (one_backend(behind="The gallery of b1 is behind."), "behind:b1", one_backend(stale=True)),
    "GalleryDisagreement": (
        {"drift": (DriftFacts(DriftKind.gallery_size, "b1 has 3 templates, the others 4.", "APP.DRIFT.GALLERY"),)},
        "drift:gallery_size",
        one_backend(stale=True),
    ),
    "ScoresDisagreement": (
        {"drift": (DriftFacts(DriftKind.scores, "b1 scores otherwise.", "APP.DRIFT.SCORES"),)},
        "drift:scores",
        one_backend(stale=True),
    ),
    "SyntheticFailing": (
        {"synthetic": (SyntheticFacts("b1", SyntheticPair.impostor, passed=False, reason="APP.FALSE_MATCH"),)},
        "synthetic:b1:impostor",
        {"synthetic": (SyntheticFacts("b1", SyntheticPair.impostor, passed=None, reason="MON.KEY"),)},
    ),
    "LoadUneven": (
        {"findings": (Finding(FindingKind.uneven, "fleet", "Uneven.", "LB.UNEVEN"),)},
        "load:LB.UNEVEN:fleet",
        {"findings": None},
    ),
    "LoadSinkhole": (
        {"findings": (Finding(FindingKind.sinkhole, "b1", "b1 draws traffic and fails.", "APP.SINKHOLE"),)},
        "load:APP.SINKHOLE:b1",
        {"findings": None},
    ),
    "LoadOutlier": (
        {"findings": (Finding(FindingKind.outlier, "b1", "b1 fails more.", "APP.OUTLIER"),)},
        "load:APP.OUTLIER:b1",
        {"findings": None},
    ),
    "MonitorStoreFailing": ({"monitor": MonitorFacts(store_failed_at=LATELY)}, "monitor:store", None),
    "MonitorLate": ({"monitor": MonitorFacts(lateness_s=9.0)}, "monitor:lateness", None),
    "MonitorDutyFailing": ({"monitor": MonitorFacts(duty_failed_at=LATELY)}, "monitor:duty", None),
    "MonitorFleetFileRefused": ({"monitor": MonitorFacts(fleet_error="fleet.yaml:1: wrong")}, "monitor:fleet-file", None),
    "MonitorBlind": ({"backends": fleet(**{f"b{n}": {"stale": True} for n in (1, 2, 3)})}, "fleet:blind", None),
    "MonitorDeliveryFailing": (
        {"monitor": MonitorFacts(undelivered={"ops": 5})},
        "delivery:ops",
        {"monitor": MonitorFacts(undelivered=None)},
    ),
}


def test_every_rule_has_a_case_here_and_a_name_in_the_schema() -> None:
    assert tuple(CASES) == tuple(RULES) == RULE_NAMES


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_holds_on_its_facts_and_not_on_usual_ones_and_knows_when_it_cannot_know(rule: str) -> None:
    wrong, scope, unknown = CASES[rule]
    found = [one for one in judged(**wrong).conditions.values() if one.rule == rule]
    assert [(one.scope, one.severity) for one in found] == [
        (scope, RULES[rule].severity if rule != "FleetBudgetBurning" else "critical")
    ]
    assert found[0].owner in ("MON", "NET", "TLS", "APP", "DEP", "LB")
    assert found[0].sentence
    usual = judged()
    assert usual.conditions == {}
    assert not usual.holds(scope), "usual facts are evidence that all is well"
    if unknown is not None:
        sheet = judged(**unknown)
        assert sheet.holds(scope)
        assert rule not in [one.rule for one in sheet.conditions.values()]


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_can_be_switched_off_and_then_covers_nothing(rule: str) -> None:
    settings = Alerts.model_validate({"disabled": [rule], "for_s": {rule: 5}})
    sheet = judged(settings, **CASES[rule][0])
    assert rule not in [one.rule for one in sheet.conditions.values()]
    uncovered = [key for key in sheet.suppressed if key in sheet.conditions]
    wider = [one for one in sheet.conditions.values() if one.key not in sheet.suppressed]
    assert not uncovered or wider, "what is covered is covered by something that is told"


def test_failures_that_their_ratio_tells_are_not_told_twice() -> None:
    finding = (Finding(FindingKind.outlier, "b1", "b1 fails more.", "APP.ERRORS"),)
    assert told(judged(findings=finding)) == {"LoadOutlier"}
    assert told(judged(findings=finding, **one_backend(traffic=Traffic(100, 10, 50.0, 0)))) == {"BackendErrorRatioHigh"}


def test_who_is_down_is_not_told_again_for_verifying_nobody() -> None:
    failed = (SyntheticFacts("b1", SyntheticPair.genuine, passed=False, reason="NET.REFUSED"),)
    assert told(judged(synthetic=failed, **one_backend(**DB))) == {"BackendDown"}


def test_how_long_a_condition_must_hold_can_be_set_by_rule() -> None:
    settings = Alerts.model_validate({"for_s": {"BackendDown": 77}})
    assert judged(settings, **one_backend(**DB)).conditions["backend:b1"].for_s == 77
    assert judged(**one_backend(**DB)).conditions["backend:b1"].for_s == RULES["BackendDown"].for_s


def told(sheet: Sheet) -> set[str]:
    return {one.rule for key, one in sheet.conditions.items() if key not in sheet.suppressed}


def test_six_of_eight_with_one_fault_are_one_alert_and_another_fault_is_told_beside_it() -> None:
    changed = {f"b{n}": DB for n in range(1, 7)} | {"b7": {"state": State.down, "reason": "NET.REFUSED"}}
    sheet = judged(backends=fleet(8, **changed))
    assert sheet.conditions["fleet-fault:DEP.DATABASE"].sentence == "6 of 8 backends fail DEP.DATABASE: b1, b2, b3, b4, b5, b6"
    assert told(sheet) == {"FleetFault", "FleetCapacityLow", "BackendDown"}
    assert [key for key in sheet.conditions if key.startswith("backend:") and key not in sheet.suppressed] == ["backend:b7"]


def test_a_whole_fleet_down_is_one_alert() -> None:
    assert told(judged(backends=fleet(8, **{f"b{n}": DB for n in range(1, 9)}))) == {"FleetDown"}


def test_half_of_a_fleet_is_not_most_of_it() -> None:
    sheet = judged(backends=fleet(4, b1=DB, b2=DB))
    assert told(sheet) == {"BackendDown"}
    assert sheet.suppressed == set()


def test_maintenance_makes_no_alert_of_the_fleet_and_mends_none() -> None:
    aside = {"admin_state": AdminState.maintenance}
    all_down = {f"b{n}": DB | aside for n in range(1, 5)}
    sheet = judged(backends=fleet(4, **all_down))
    assert told(sheet) == {"BackendDown"}, "each for itself, and quiet by its window"
    assert sheet.holds("fleet:down")
    assert sheet.holds("fleet-fault:DEP.DATABASE")
    assert not judged(backends=fleet(4, **{f"b{n}": aside for n in range(2, 5)})).conditions


def test_a_draining_backend_is_not_failing() -> None:
    drained = {"state": State.degraded, "reason": "APP.DRAINING", "admin_state": AdminState.draining}
    sheet = judged(backends=fleet(3, b1=drained))
    assert told(sheet) == {"BackendDraining"}
    assert not sheet.holds("backend:b1")


def test_a_backend_that_is_down_for_its_certificate_is_told_by_the_certificate() -> None:
    expired = certificate(state=CertificateState.expired, reason="TLS.EXPIRED")
    down = {"state": State.down, "reason": "TLS.EXPIRED"}
    assert told(judged(backends=fleet(b1=down), **expired)) == {"CertificateExpired"}


def test_another_certificate_is_another_alert_and_the_same_one_grows_worse() -> None:
    keys, severities = set(), []
    for state in (CertificateState.warning, CertificateState.critical, CertificateState.expired):
        (found,) = judged(**certificate(state=state)).conditions.values()
        keys.add(found.key)
        severities.append(found.severity)
    assert len(keys) == 1
    assert severities == [Severity.warning, Severity.critical, Severity.critical]
    (other,) = judged(**certificate(state=CertificateState.warning, fingerprint="0" * 64)).conditions.values()
    assert other.key not in keys


def test_a_budget_burns_by_both_windows_of_a_row() -> None:
    (page,) = judged(burn=BURNING).conditions.values()
    assert (page.severity, "14.4" in page.sentence, "20.0 times" in page.sentence) == (Severity.critical, False, True)
    (ticket,) = judged(burn=TICKET).conditions.values()
    assert ticket.severity is Severity.warning
    only_long = Burn({3600: 0.02, 300: 0.0}, {3600: 1000, 300: 100})
    assert judged(burn=only_long).conditions == {}
    few = Burn({3600: 0.5, 300: 0.5}, {3600: 20, 300: 5})
    assert judged(burn=few).conditions == {}


def test_a_backend_that_is_down_does_not_hide_that_the_traffic_is_gone_and_one_that_is_not_read_does() -> None:
    quiet = {f"b{n}": {"traffic": QUIET} for n in (2, 3, 4)}
    assert "FleetTrafficGone" in told(judged(backends=fleet(4, b1=DB | {"traffic": None}, **quiet)))
    unread = judged(backends=fleet(4, b1={"traffic": None}, **quiet))
    assert "FleetTrafficGone" not in told(unread)
    assert unread.holds("fleet:traffic")


STATES = st.fixed_dictionaries(
    {"state": st.sampled_from(list(State)), "stale": st.booleans()},
    optional={
        "reason": st.sampled_from(["DEP.DATABASE", "NET.REFUSED", "APP.DRAINING"]),
        "admin_state": st.sampled_from(list(AdminState)),
    },
)


@settings(max_examples=200)
@given(st.lists(STATES, min_size=1, max_size=9))
def test_whatever_a_fleet_is_nothing_that_fails_is_without_an_alert_that_is_told(states: list[dict[str, Any]]) -> None:
    """Grouping never swallows: who is covered is covered by a wider alert that itself is not covered."""
    backends = fleet(len(states), **{f"b{n}": state for n, state in enumerate(states, 1)})
    sheet = judged(backends=backends, findings=())
    fleet_wide = {
        key for key in sheet.conditions if key.startswith(("fleet-fault:", "fleet:down")) and key not in sheet.suppressed
    }
    for one in backends:
        key = f"backend:{one.name}"
        if one.known and one.failing and one.state is not State.starting:
            assert key in sheet.conditions
            assert key not in sheet.suppressed or fleet_wide
        if not one.known:
            assert key not in sheet.conditions
            assert sheet.holds(key)


METRICS = '# TYPE http_requests_total counter\nhttp_requests_total{{status="200"}} {}\nhttp_requests_total{{status="404"}} {}\n'


def test_client_errors_are_counted_over_a_window_and_over_a_restart() -> None:
    counting = ClientErrors(keep_s=300)
    assert counting.over_window(NOW) is None
    for minute, served, refused in ((0, 100, 10), (1, 150, 15), (2, 10, 3), (3, 20, 4)):
        counting.add(parse(METRICS.format(served, refused), at=NOW + timedelta(minutes=minute)))
    assert counting.over_window(NOW + timedelta(minutes=3)) == 5 + 3 + 1
    assert counting.over_window(NOW + timedelta(minutes=7, seconds=30)) == 1
    assert counting.over_window(NOW + timedelta(minutes=20)) is None
