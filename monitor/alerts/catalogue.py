"""Every rule that the monitor knows: how severe, for how long, and where its runbook entry stands.

What a rule looks at is in `rules.py` and `fleet_rules.py`; docs/alerts.md has an entry for each, which a test holds.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitor.fleet_alerts import Severity

CRITICAL, WARNING, INFO = Severity.critical, Severity.warning, Severity.info


@dataclass(frozen=True)
class Rule:
    """`for_s`: how long the condition must hold before it fires; `clear_s`: how long it must be gone before it is resolved."""

    name: str
    severity: Severity
    for_s: float
    clear_s: float = 0.0

    @property
    def anchor(self) -> str:
        """Of its entry in docs/alerts.md."""
        return f"docs/alerts.md#{self.name.lower()}"


# Verdicts carry their own hysteresis (fall and rise), so they clear at once; ratios clear after a quiet minute.
_TABLE: tuple[tuple[str, Severity, float, float], ...] = (
    ("BackendDown", CRITICAL, 10, 0),
    ("BackendDegraded", WARNING, 60, 0),
    ("BackendStale", WARNING, 30, 0),
    ("BackendFlapping", WARNING, 0, 0),
    ("BackendDraining", INFO, 3600, 0),
    ("BackendWarning", INFO, 300, 60),
    ("BackendDisagreement", WARNING, 60, 10),
    ("BackendErrorRatioHigh", WARNING, 60, 60),
    ("BackendClientErrorsHigh", INFO, 300, 60),
    ("BackendLatencyHigh", WARNING, 120, 60),
    ("BackendConnectionsHigh", WARNING, 60, 60),
    ("BackendSaturated", WARNING, 60, 60),
    ("FleetDown", CRITICAL, 10, 0),
    ("FleetFault", CRITICAL, 10, 0),
    ("FleetCapacityLow", WARNING, 60, 0),
    ("FleetErrorRatioHigh", CRITICAL, 60, 60),
    ("FleetLatencyHigh", WARNING, 120, 60),
    ("FleetTrafficGone", WARNING, 0, 0),
    ("FleetBudgetBurning", WARNING, 0, 60),
    ("BalancerDown", CRITICAL, 10, 0),
    ("BalancerStatsUnreadable", WARNING, 120, 0),
    ("BalancerCpuHigh", WARNING, 300, 60),
    ("BalancerMemoryHigh", WARNING, 300, 60),
    ("CertificateExpired", CRITICAL, 0, 0),
    ("CertificateInvalid", CRITICAL, 0, 0),
    ("CertificateExpiring", WARNING, 0, 0),
    ("CertificateUnknown", WARNING, 600, 0),
    ("CertificateRotationHalfDone", WARNING, 600, 0),
    ("ModelDisagreement", CRITICAL, 120, 0),
    ("ThresholdDisagreement", WARNING, 120, 0),
    ("VersionDisagreement", INFO, 3600, 0),
    ("GalleryBehind", WARNING, 30, 0),
    ("GalleryDisagreement", WARNING, 60, 0),
    ("ScoresDisagreement", CRITICAL, 60, 0),
    ("SyntheticFailing", CRITICAL, 60, 0),
    ("LoadUneven", WARNING, 300, 60),
    ("LoadSinkhole", CRITICAL, 60, 60),
    ("LoadOutlier", WARNING, 60, 60),
    ("MonitorStoreFailing", CRITICAL, 0, 60),
    ("MonitorLate", WARNING, 60, 60),
    ("MonitorDutyFailing", WARNING, 0, 0),
    ("MonitorFleetFileRefused", WARNING, 0, 0),
    ("MonitorBlind", CRITICAL, 30, 0),
    ("MonitorDeliveryFailing", WARNING, 0, 0),
)

RULES: dict[str, Rule] = {name: Rule(name, severity, for_s, clear_s) for name, severity, for_s, clear_s in _TABLE}
