"""Alerts on what watches and what stands in front: certificates, the monitor, the balancer, Prometheus itself. Pure."""

from __future__ import annotations

from deploy.render.prometheus_alerts import CRITICAL, NONE, WARNING, WATCHDOG, Alert
from deploy.render.prometheus_pace import Pace
from deploy.render.prometheus_recording import MINUTE, WINDOWS
from deploy.render.prometheus_scrape import BALANCER, MONITOR, balancer_metrics
from monitor.fleet import BalancerKind, Fleet

CRITICAL_DAYS = 3.0
LEFT = "face_auth_monitor_certificate_lifetime_left"
DAYS = "face_auth_monitor_certificate_days_left"
STATE = "face_auth_monitor_certificate_state"


def certificates(fleet: Fleet) -> list[Alert]:
    """Fractions of the lifetime, for lifetimes shrink; an operator's fixed days beside them."""
    given = fleet.certificates
    early = f"{LEFT} < 0.3333" + (f"\nor\n{DAYS} < {given.warn_days:g}" if given.warn_days else "")
    late = f"{LEFT} < 0.1667\nor\n{DAYS} < {max(given.critical_days or 0, CRITICAL_DAYS):g}"
    return [
        Alert(
            "FaceAuthCertificateExpiring", early, MINUTE, WARNING,
            "The certificate {{ $labels.certificate }} should have been renewed: less than a third of its lifetime is left",
        ),
        Alert(
            "FaceAuthCertificateNearlyExpired", late, MINUTE, CRITICAL, "The certificate {{ $labels.certificate }} ends soon"
        ),
        Alert("FaceAuthCertificateExpired", f"{DAYS} <= 0", 0, CRITICAL, "The certificate {{ $labels.certificate }} has expired"),
        Alert(
            "FaceAuthCertificateInvalid", f'{STATE}{{state="invalid"}} == 1', MINUTE, CRITICAL,
            "The certificate {{ $labels.certificate }} does not verify",
        ),
        Alert(
            "FaceAuthCertificateUnknown", f'{STATE}{{state="unknown"}} == 1', 10 * MINUTE, WARNING,
            "The certificate {{ $labels.certificate }} could not be looked at for ten minutes",
        ),
    ]  # fmt: skip


def monitor(fleet: Fleet, pace: Pace) -> list[Alert]:
    window = pace.of(WINDOWS["5m"])
    of_monitor = f'{{job="{MONITOR}"}}'
    failing = "\nor\n".join(
        (
            f"increase(face_auth_monitor_store_failures_total{of_monitor}[{window}]) > 0",
            f"increase(face_auth_monitor_duty_failures_total{of_monitor}[{window}]) > 0",
            f"face_auth_monitor_fleet_file_ok{of_monitor} == 0",
        )
    )
    return [
        Alert(
            "FaceAuthMonitorDown", f"up{of_monitor} == 0\nor\nabsent(up{of_monitor})", MINUTE, CRITICAL,
            "The monitor cannot be scraped: nobody watches certificates, verdicts and drift",
        ),
        Alert(
            "FaceAuthMonitorLate", f"face_auth_monitor_lateness_seconds > {fleet.alerts.thresholds.lateness_s:g}", 5 * MINUTE,
            WARNING, "The monitor is {{ $value | humanizeDuration }} late",
        ),
        Alert("FaceAuthMonitorFailing", failing, 0, WARNING, "The monitor fails at a duty, its database or its fleet file"),
        Alert(
            "FaceAuthMonitorUndelivered", "face_auth_monitor_delivery_attempts >= 5", 0, WARNING,
            "The monitor's alerts do not arrive through {{ $labels.route }}",
        ),
        Alert(
            "FaceAuthSyntheticFailing", "face_auth_monitor_synthetic_passed == 0", MINUTE, CRITICAL,
            "The known pair {{ $labels.pair }} is not decided rightly through {{ $labels.through }}",
        ),
    ]  # fmt: skip


def balancer(fleet: Fleet) -> list[Alert]:
    """Only where its figures can be scraped."""
    if balancer_metrics(fleet) is None:
        return []
    up = f'up{{job="{BALANCER}"}}'
    haproxy = fleet.balancer.kind is BalancerKind.haproxy
    gone = f"{up} == 0\nor\nabsent({up})" + ("" if haproxy else "\nor\nnginx_up == 0")
    found = [Alert("FaceAuthBalancerDown", gone, MINUTE, CRITICAL, "The balancer, or what tells of it, cannot be scraped")]
    if haproxy:
        found.append(
            Alert(
                "FaceAuthBalancerRoutesAround", 'haproxy_server_status{proxy="face_auth_backend", state="DOWN"} == 1', 2 * MINUTE,
                WARNING, "HAProxy sends nothing to {{ $labels.server }}",
            )
        )  # fmt: skip
    return found


def prometheus(pace: Pace) -> list[Alert]:
    window = pace.of(WINDOWS["5m"])
    return [
        Alert(WATCHDOG, "vector(1)", 0, NONE, "Always fires: who hears it no more knows that alerts do not arrive"),
        Alert(
            "FaceAuthPrometheusRefusesItsConfiguration", "prometheus_config_last_reload_successful == 0", 5 * MINUTE, WARNING,
            "Prometheus goes on with an older configuration",
        ),
        Alert(
            "FaceAuthPrometheusRulesFailing", f"increase(prometheus_rule_evaluation_failures_total[{window}]) > 0", MINUTE,
            CRITICAL, "Prometheus cannot evaluate rules of {{ $labels.rule_group }}",
        ),
        Alert(
            "FaceAuthPrometheusCannotNotify",
            "prometheus_notifications_alertmanagers_discovered < 1\n"
            f"or\nincrease(prometheus_notifications_errors_total[{window}]) > 0",
            MINUTE, CRITICAL, "Prometheus reaches no Alertmanager",
        ),
    ]  # fmt: skip
