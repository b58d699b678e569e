"""The fleet file as the API shows it: the whole of it, why it is refused, and never a secret or the place of one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor import wire
from monitor.client import MonitorClient
from monitor.fleet_file import FleetFileError, Mistake, parse
from monitor.fleet_reading import FleetReading, fleet_file_view
from tests.monitor.processes import until
from tests.monitor.test_api import serving

AT = datetime(2026, 1, 1, tzinfo=UTC)
SECRETS = (
    "/run/secrets/drain-key",
    "SYNTHETIC_KEY",
    "/run/secrets/beat",
    "OPERATORS_URL",
    "genuine-1.jpg",
    "hunter2-hunter2-hunter2",
)
FULL: dict[str, Any] = {
    "service": "turnstiles",
    "balancer": {"kind": "nginx", "strategy": "ip_hash", "url": "https://api.example.com", "rate_per_client": 7},
    "dashboard": {"url": "https://look.example.com", "address": "10.0.0.9:8501"},
    "backends": [
        {
            "name": "b1",
            "url": "https://b1.example.com",
            "address": "10.0.0.1:8000",
            "server_name": "b1.example.com",
            "ca_file": "ca.pem",
            "region": "north",
            "zone": "n1",
            "weight": 50,
        }
    ],
    "probes": {"interval_s": 4, "fall": 5},
    "certificates": {"watch": [{"name": "mail", "address": "10.0.0.3:25", "server_name": "mail.example.com"}]},
    "alerts": {
        "routes": [
            {"name": "ops", "url": "env:OPERATORS_URL", "min_severity": "critical"},
            {"name": "am", "kind": "alertmanager", "url": "http://10.0.0.4:9093"},
        ],
        "heartbeat": {"url": "file:/run/secrets/beat"},
        "slo": {"availability": 0.995},
        "disabled": ["VersionDisagreement"],
        "runbook_url": "https://wiki.example.com/alerts",
    },
    "synthetic": {
        "key": "env:SYNTHETIC_KEY",
        "genuine": ["genuine-1.jpg", "genuine-2.jpg"],
        "impostor": ["impostor-1.jpg", "impostor-2.jpg"],
    },
    "drain": {"key": "file:/run/secrets/drain-key"},
}


def view(data: dict[str, Any], tmp_path: Path) -> wire.FleetFileView:
    path = tmp_path / "fleet.yaml"
    return fleet_file_view(FleetReading(path, AT, AT), parse(yaml.safe_dump(data).encode(), path=path))


def test_what_the_file_says_is_shown(tmp_path: Path) -> None:
    seen = view(FULL, tmp_path)
    assert seen.path == str(tmp_path.resolve() / "fleet.yaml")
    assert seen.balancer is not None
    assert (seen.balancer.strategy, seen.balancer.url, seen.balancer.rate_per_client) == ("ip_hash", "https://api.example.com", 7)
    one = seen.backends[0]
    assert (one.name, one.region, one.zone, one.weight, one.ca_file) == ("b1", "north", "n1", 50, str(tmp_path / "ca.pem"))
    assert (seen.probes.interval_s, seen.probes.fall, seen.probes.rise) == (4, 5, 2)
    assert [(route.name, route.kind, route.min_severity) for route in seen.alert_routes] == [
        ("ops", "apprise", "critical"),
        ("am", "alertmanager", "warning"),
    ]
    assert (seen.slo_availability, seen.disabled_rules, seen.certificates_watched) == (0.995, ["VersionDisagreement"], ["mail"])
    assert (seen.drain_key_named, seen.heartbeat_every_s, seen.synthetic_interval_s) == (True, 60, 60)
    assert seen.runbook_url == "https://wiki.example.com/alerts"


def test_neither_a_secret_nor_its_place_nor_a_receivers_address_comes_out(tmp_path: Path) -> None:
    answer = view(FULL, tmp_path).model_dump_json()
    for secret in (*SECRETS, "10.0.0.4"):
        assert secret not in answer
    referenced = FULL["alerts"] | {"runbook_url": "env:RUNBOOK"}
    assert view(FULL | {"alerts": referenced}, tmp_path).runbook_url is None


@pytest.mark.parametrize(
    "line",
    [
        "drain: {fa_0123456789abcdef0123456789abcdef_hunter2-hunter2-hunter2}",
        "drain: {key: *hunter2-hunter2-hunter2}",
        "drain: {key: !hunter2-hunter2-hunter2 x}",
        "drain: {key: hunter2-hunter2-hunter2}",
        "drain: {token: hunter2-hunter2-hunter2}",
        "alerts: {heartbeat: {url: https://hunter2-hunter2-hunter2.example.com}}",
        "alerts: {routes: [{name: ops, url: slack://hunter2-hunter2-hunter2/b/c}]}",
        "alerts: {routes: [{name: ops, url: https://x:hunter2-hunter2-hunter2@example.com}]}",
        "alerts: {routes: [{name: ops, url: json://169.254.169.254/hunter2-hunter2-hunter2}]}",
        "balancer: {kind: hunter2-hunter2-hunter2}",
        "probes: {interval_s: hunter2-hunter2-hunter2}",
        "synthetic: {key: [hunter2-hunter2-hunter2]}",
        "hunter2-hunter2-hunter2: 1",
        '"hunter2-hunter2-hunter2',
    ],
)
def test_a_file_that_is_refused_tells_no_value_of_it(tmp_path: Path, line: str) -> None:
    text = yaml.safe_dump({"backends": FULL["backends"]}) + line + "\n"
    with pytest.raises(FleetFileError) as refused:
        parse(text.encode(), path=tmp_path / "fleet.yaml")
    assert "hunter2" not in str(refused.value)
    assert refused.value.mistakes[0].line > 0


def test_a_refusal_has_the_time_at_which_it_began_until_it_is_another_one(tmp_path: Path) -> None:
    reading = FleetReading(tmp_path / "fleet.yaml", AT, AT)
    wrong, worse = (FleetFileError(reading.path, [Mistake(line, "a", "b")]) for line in (1, 2))
    for minutes, error in ((1, wrong), (2, wrong), (3, worse)):
        reading.refused(error, AT + timedelta(minutes=minutes))
        assert reading.refused_at == AT + timedelta(minutes=min(minutes, 1) if error is wrong else 3)
    reading.taken(AT + timedelta(minutes=4))
    assert (reading.mistakes, reading.refused_at, reading.read_at) == ((), None, AT + timedelta(minutes=4))


def test_over_http_a_refused_file_is_told_with_its_lines_while_the_old_fleet_is_shown(tmp_path: Path) -> None:
    with serving(tmp_path) as url, MonitorClient(url) as client:
        right = (tmp_path / "fleet.yaml").read_text()
        (tmp_path / "fleet.yaml").write_text(right + "wieght: 3\n")
        seen = until(lambda: (found := client.fleet_file()).mistakes and found, within_s=10, what="it is refused")
        assert isinstance(seen, wire.FleetFileView)
        assert [(one.field, one.line) for one in seen.mistakes] == [("wieght", right.count("\n") + 1)]
        assert [one.name for one in seen.backends] == ["b1"]
        assert seen.refused_at is not None
        assert seen.refused_at > seen.read_at
        (tmp_path / "fleet.yaml").write_text(right.replace("b1", "b7"))
        until(lambda: [one.name for one in client.fleet_file().backends] == ["b7"], within_s=10, what="the new one is read")
        assert client.fleet_file().refused_at is None
