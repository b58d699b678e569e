"""From a fleet to Prometheus: what is scraped, what is recorded, what alerts, and the rules' own tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deploy.render import prometheus_alerts, prometheus_cases, prometheus_recording, prometheus_scrape, yaml_text
from deploy.render.prometheus_alerts_fleet import FASTEST_BURN
from deploy.render.prometheus_pace import PRODUCTION, Pace, pace_of
from monitor.fleet import BalancerKind, Fleet

FOLDER = Path("prometheus")
CONFIGURATION = FOLDER / "prometheus.yml"
RECORDING = FOLDER / "rules" / "face-auth-recording.yaml"
ALERTS = FOLDER / "rules" / "face-auth-alerts.yaml"
TESTS = FOLDER / "face-auth_test.yaml"


def documents(fleet: Fleet) -> dict[Path, str]:
    """Every file by its path below the output folder. The tests are of the rules as they are, so a rehearsal has none."""
    pace = pace_of(fleet)
    found = {
        CONFIGURATION: yaml_text.text(prometheus_scrape.configuration(fleet, pace), prometheus_scrape.header(pace)),
        RECORDING: _rules(prometheus_recording.groups(pace), "Recording rules.", pace),
        ALERTS: _rules(prometheus_alerts.groups(fleet, pace), "Alerts; docs/operations.md says what each of them means.", pace),
    }
    if pace == PRODUCTION:
        said = "Tests of the rules: `promtool test rules face-auth_test.yaml`. Each alert fires here, and is silent beside it."
        rule_files = [str(file.relative_to(FOLDER)) for file in (RECORDING, ALERTS)]
        found[TESTS] = yaml_text.text(prometheus_cases.document(fleet, rule_files), said)
    return found


def _rules(groups: list[dict[str, object]], what: str, pace: Pace) -> str:
    said = f"{what} Written by `python -m deploy render` from the fleet file."
    if pace != PRODUCTION:
        said += prometheus_scrape.REHEARSAL_HEADER.format(faster=pace.faster)
    return yaml_text.text({"groups": groups}, said)


def refusals(fleet: Fleet) -> Iterator[str]:
    """What Prometheus cannot do of what the file asks for: its place in the file, and what to change."""
    slo = fleet.alerts.slo.availability
    if FASTEST_BURN * (1 - slo) >= 1:
        yield (
            f"alerts.slo.availability: with {slo:g} a budget that burns {FASTEST_BURN:g} times too fast means more errors than "
            f"requests, so the alert could never fire; nearest: {least_slo():g} or more"
        )
    section = fleet.prometheus
    if section is not None and section.balancer_metrics is not None and fleet.balancer.kind is BalancerKind.none:
        yield "prometheus.balancer_metrics: the fleet has no balancer; nearest: leave it out, or say which kind balancer.kind is"
    for number, address in enumerate(section.alertmanagers if section else []):
        if section is not None and address == section.address:
            yield f"prometheus.alertmanagers.{number}: {address} is Prometheus itself; Alertmanager's usual port is 9093"


def least_slo() -> float:
    return round(1 - 1 / FASTEST_BURN + 0.005, 2)
