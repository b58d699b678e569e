"""Prometheus and Alertmanager as `render` configures them: judged by promtool and amtool, and by real programs of both."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deploy.layout import ROOT
from deploy.render import alertmanager, folder, prometheus, prometheus_alerts, targets
from deploy.render.prometheus_pace import PRODUCTION, Pace, duration
from deploy.sentence import Sentence
from monitor.fleet import BalancerKind, Fleet
from monitor.fleet_file import read
from tests.deploy.conftest import running
from tests.deploy.fleets import eventually, fleet, fleet_data, free_port
from tests.deploy.test_render import deploy_render

EXAMPLE = ROOT / "deploy" / "fleet.example.yaml"
RUNBOOK = ROOT / "docs" / "operations.md"


def need_tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: `make system`")
    return found


def of_kind(kind: str, where: Path, **sections: Any) -> Fleet:
    return fleet({**fleet_data(where, kind), **sections})


def example(kind: BalancerKind = BalancerKind.nginx) -> Fleet:
    found = read(EXAMPLE)
    return found.model_copy(update={"balancer": found.balancer.model_copy(update={"kind": kind})})


def alerts(of: Fleet) -> list[dict[str, Any]]:
    return [rule for group in prometheus_alerts.groups(of, PRODUCTION) for rule in group["rules"]]


def every_alert() -> list[dict[str, Any]]:
    """Those of both balancers."""
    found = {(rule["alert"], str(rule["labels"])): rule for kind in BalancerKind for rule in alerts(example(kind))}
    return list(found.values())


def promtool(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [need_tool("promtool"), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


# --- the rules ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["nginx", "haproxy"])
def test_promtool_accepts_configuration_and_rules_and_the_rules_pass_their_own_tests(kind: str, tmp_path: Path) -> None:
    of = of_kind(kind, tmp_path, prometheus={"balancer_metrics": "127.0.0.1:9113"}, alerts={"slo": {"availability": 0.995}})
    folder.write_all(tmp_path, prometheus.documents(of))
    where = tmp_path / "prometheus"
    checked = promtool("check", "config", "prometheus.yml", cwd=where)
    assert checked.returncode == 0, checked.stderr
    assert "SUCCESS: 2 rule files found" in checked.stdout
    tested = promtool("test", "rules", "face-auth_test.yaml", cwd=where)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_the_rules_own_tests_have_of_each_alert_a_case_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    of = example(BalancerKind.haproxy)
    cases = [
        one for test in yaml.safe_load(prometheus.documents(of)[prometheus.TESTS])["tests"] for one in test["alert_rule_test"]
    ]
    names = {rule["alert"] for rule in alerts(of)}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == names
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == names - {"FaceAuthWatchdog"}


@pytest.mark.parametrize(("expression", "noticed"), [("vector(0) == 1", "fires"), ("vector(1)", "is silent")])
def test_promtool_notices_a_rule_that_never_fires_and_one_that_always_does(expression: str, noticed: str, tmp_path: Path) -> None:
    folder.write_all(tmp_path, prometheus.documents(example()))
    rules, cases = tmp_path / prometheus.ALERTS, tmp_path / prometheus.TESTS
    spoilt, kept = yaml.safe_load(rules.read_text()), yaml.safe_load(cases.read_text())
    (rule,) = (one for group in spoilt["groups"] for one in group["rules"] if one["alert"] == "FaceAuthGalleryBehind")
    rule["expr"] = expression
    rules.write_text(yaml.safe_dump(spoilt))
    kept["tests"] = [test for test in kept["tests"] if test["name"] == f"FaceAuthGalleryBehind {noticed}"]
    assert len(kept["tests"]) == 1
    cases.write_text(yaml.safe_dump(kept))
    tested = promtool("test", "rules", "face-auth_test.yaml", cwd=tmp_path / "prometheus")
    assert tested.returncode == 1, tested.stdout
    assert "FaceAuthGalleryBehind" in tested.stdout + tested.stderr


def test_every_alert_has_an_entry_in_the_runbook_with_its_severity_and_its_wait_and_no_entry_is_of_an_alert_that_is_not() -> None:
    words = {"30s": "30 s", "1m": "1 min", "2m": "2 min", "5m": "5 min", "10m": "10 min", "15m": "15 min", "1h": "1 h"}
    entries = dict(re.findall(r"^#### (FaceAuth\w+)\n(.*?)(?=^###|\Z)", RUNBOOK.read_text(), re.DOTALL | re.MULTILINE))
    rules = every_alert()
    assert set(entries) == {rule["alert"] for rule in rules}
    for rule in rules:
        entry, waits = entries[rule["alert"]], rule.get("for")
        assert f"| {rule['labels']['severity']} | {words[waits] if waits else 'at once'} |" in entry, rule["alert"]
        for part in ("*Look at:*", "*Run:*", "*Ends when:*"):
            assert part in entry, f"{rule['alert']} lacks {part}"
        assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{rule['alert'].lower()}"


def test_the_error_budget_is_the_fleet_files() -> None:
    of = example()
    text = prometheus.documents(of)[prometheus.ALERTS]
    assert "job:http_request_errors:ratio_rate1h > 0.0144" in text
    assert "job:http_request_errors:ratio_rate5m > 0.0144" in text
    slack = of.model_copy(
        update={"alerts": of.alerts.model_copy(update={"slo": of.alerts.slo.model_copy(update={"availability": 0.99})})}
    )
    assert "ratio_rate1h > 0.144" in prometheus.documents(slack)[prometheus.ALERTS]


def test_a_rehearsal_says_so_and_only_its_durations_are_others() -> None:
    of = example()
    section = of.prometheus
    assert section is not None
    fast = of.model_copy(update={"prometheus": section.model_copy(update={"faster": 60})})
    rendered, usual = prometheus.documents(fast), prometheus.documents(of)
    assert set(usual) - set(rendered) == {prometheus.TESTS}
    assert all("REHEARSAL" in text for text in rendered.values())
    assert not any("REHEARSAL" in text for text in usual.values())
    assert "[5s]" in rendered[prometheus.RECORDING]
    assert "[5m]" not in rendered[prometheus.RECORDING]
    names = [
        [rule["alert"] for group in yaml.safe_load(one[prometheus.ALERTS])["groups"] for rule in group["rules"]]
        for one in (rendered, usual)
    ]
    assert names[0] == names[1]


def test_durations_are_written_as_prometheus_reads_them() -> None:
    assert [duration(seconds) for seconds in (0.5, 15, 90, 3600, 5400, 259_200, 0)] == [
        "500ms",
        "15s",
        "1m30s",
        "1h",
        "1h30m",
        "3d",
        "0s",
    ]
    assert Pace(60).of(300) == "5s"
    assert Pace(60).scrape(15) == "1s"
    assert PRODUCTION.scrape(15) == "15s"


# --- what is scraped ------------------------------------------------------------------------------------------------------


def scrapes(of: Fleet) -> dict[str, dict[str, Any]]:
    found = yaml.safe_load(prometheus.documents(of)[prometheus.CONFIGURATION])["scrape_configs"]
    return {one["job_name"]: one for one in found}


def test_backends_are_scraped_as_one_job_with_their_ca_and_the_name_that_all_certificates_carry() -> None:
    one = scrapes(example())["face-auth-backend"]
    assert one["tls_config"] == {"ca_file": "/etc/face-auth/ca.pem", "server_name": "backend.faceauth.example.com"}
    assert "insecure_skip_verify" not in str(one)
    labels = {"job": "face-auth-backend", "name": "worker1", "region": "eu-west-1", "zone": "a"}
    assert one["static_configs"][0] == {"targets": ["10.0.1.10:8000"], "labels": labels}
    assert len(one["static_configs"]) == 3


def test_backends_without_a_common_name_get_one_configuration_each_and_keep_the_job(tmp_path: Path) -> None:
    data = fleet_data(tmp_path, "haproxy", backend_server_name=None)
    found = {name: one for name, one in scrapes(fleet(data)).items() if name.startswith("face-auth-backend")}
    assert [one["tls_config"]["server_name"] for one in found.values()] == [row["server_name"] for row in data["backends"]]
    assert {config["labels"]["job"] for one in found.values() for config in one["static_configs"]} == {"face-auth-backend"}


def test_the_balancer_is_scraped_where_its_figures_are(tmp_path: Path) -> None:
    haproxy = of_kind("haproxy", tmp_path)
    assert scrapes(haproxy)["face-auth-balancer"]["static_configs"][0]["targets"] == [haproxy.balancer.stats_address]
    assert "FaceAuthBalancerRoutesAround" in prometheus.documents(haproxy)[prometheus.ALERTS]
    assert "face-auth-balancer" not in scrapes(of_kind("nginx", tmp_path)), "nginx has no figures without an exporter"
    with_exporter = of_kind("nginx", tmp_path, prometheus={"balancer_metrics": "127.0.0.1:9113"})
    assert scrapes(with_exporter)["face-auth-balancer"]["static_configs"][0]["targets"] == ["127.0.0.1:9113"]


def test_nginx_is_told_of_by_its_exporter(tmp_path: Path) -> None:
    exporter = need_tool("prometheus-nginx-exporter")
    with running("nginx", tmp_path / "nginx") as balancer:
        port = free_port()
        asked = f"-nginx.scrape-uri={balancer.stats_url}/nginx-status"
        process = subprocess.Popen([exporter, asked, f"-web.listen-address=127.0.0.1:{port}"], stderr=subprocess.DEVNULL)
        try:
            eventually(lambda: _answers(f"http://127.0.0.1:{port}/metrics"), within_s=30)
            assert "\nnginx_up 1\n" in httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
        finally:
            process.terminate()
            process.wait(15)


# --- whom Alertmanager tells ----------------------------------------------------------------------------------------------


def amtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([need_tool("amtool"), *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def alertmanager_file(tmp_path: Path) -> Path:
    folder.write_all(tmp_path, alertmanager.documents(example()))
    return tmp_path / alertmanager.FILE


def test_amtool_accepts_the_configuration_and_it_holds_no_secret(alertmanager_file: Path) -> None:
    checked = amtool("check-config", alertmanager_file)
    assert checked.returncode == 0, checked.stderr
    assert "4 receivers" in checked.stdout
    text = alertmanager_file.read_text()
    assert {"routing_key_file", "auth_password_file", "credentials_file"} <= set(re.findall(r"(\w+):", text))
    assert not re.search(r"^\s*(routing_key|auth_password|credentials|api_url):", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["alertname=FaceAuthFleetDown", "severity=critical"], "on-call,team"),
        (["alertname=FaceAuthBackendLatencyHigh", "severity=warning"], "team"),
        (["alertname=FaceAuthWatchdog", "severity=none"], "heartbeat"),
        (["alertname=BackendDown", "severity=critical", "backend=worker1"], "on-call,team"),  # the monitor's own
        (["alertname=Other", "severity=info"], "nobody"),
    ],
)
def test_each_severity_reaches_its_receivers(labels: list[str], told: str, alertmanager_file: Path) -> None:
    tested = amtool("config", "routes", "test", f"--config.file={alertmanager_file}", f"--verify.receivers={told}", *labels)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@contextmanager
def running_alertmanager(config: Path, where: Path) -> Iterator[str]:
    port = free_port()
    command = [
        need_tool("prometheus-alertmanager"), f"--config.file={config}", f"--storage.path={where / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
    ]  # fmt: skip
    with (where / "alertmanager.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: _answers(f"{url}/-/ready"), within_s=30)
        yield url
    finally:
        process.terminate()
        process.wait(15)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def test_a_larger_fault_keeps_its_own_smaller_ones_quiet_and_nobody_elses(tmp_path: Path) -> None:
    quiet = of_kind("nginx", tmp_path)  # without receivers: nobody is told, which is enough to see what is inhibited
    folder.write_all(tmp_path, alertmanager.documents(quiet))
    sent = [
        {"alertname": "FaceAuthBackendDown", "name": "b1", "severity": "critical"},
        {"alertname": "FaceAuthBackendLatencyHigh", "name": "b1", "severity": "warning"},
        {"alertname": "FaceAuthBackendLatencyHigh", "name": "b2", "severity": "warning"},
        {"alertname": "FaceAuthCertificateNearlyExpired", "certificate": "b1", "severity": "critical"},
        {"alertname": "FaceAuthCertificateExpiring", "certificate": "b1", "severity": "warning"},
        {"alertname": "FaceAuthCertificateExpiring", "certificate": "b3", "severity": "warning"},
        {"alertname": "FaceAuthErrorBudgetBurningFast", "job": "face-auth-backend", "severity": "critical"},
        {"alertname": "FaceAuthErrorBudgetBurningSlowly", "job": "face-auth-backend", "severity": "warning"},
    ]
    with running_alertmanager(tmp_path / alertmanager.FILE, tmp_path) as url:
        body = [{"labels": labels | {"service": "s"}, "startsAt": datetime.now(UTC).isoformat()} for labels in sent]
        assert httpx.post(f"{url}/api/v2/alerts", json=body, timeout=5).status_code == 200

        def inhibited() -> list[tuple[str, str]]:
            found = httpx.get(f"{url}/api/v2/alerts", timeout=5).json()
            return sorted(
                (alert["labels"]["alertname"], alert["labels"].get("name") or alert["labels"].get("certificate") or "")
                for alert in found
                if alert["status"]["inhibitedBy"]
            )

        wanted = [
            ("FaceAuthBackendLatencyHigh", "b1"),
            ("FaceAuthCertificateExpiring", "b1"),
            ("FaceAuthErrorBudgetBurningSlowly", ""),
        ]
        eventually(lambda: inhibited() == wanted, within_s=20)
        assert len(httpx.get(f"{url}/api/v2/alerts", timeout=5).json()) == len(sent), "nothing was lost, only kept quiet"


def test_what_is_inhibited_are_alerts_that_there_are() -> None:
    names = {rule["alert"] for rule in every_alert()}
    for larger, smaller, _ in alertmanager.INHIBITED:
        for pattern in (larger, smaller):
            for one in _alternatives(pattern):
                assert any(re.fullmatch(one, name) for name in names), f"no alert is called {one}"


def _alternatives(pattern: str) -> list[str]:
    """``A(B|C)|D`` → ``AB``, ``AC``, ``D``."""
    found = []
    for one in re.split(r"\|(?![^(]*\))", pattern):
        group = re.fullmatch(r"(\w+)\(([^)]+)\)", one)
        found += [f"{group[1]}{inner}" for inner in group[2].split("|")] if group else [one]
    return found


# --- mistaken fleet files -------------------------------------------------------------------------------------------------

Change = tuple[str, str]
MISTAKES: dict[str, tuple[Change, str, str]] = {
    "a scrape too rare for a window of five minutes": (
        ("  interval_s: 15", "  interval_s: 120"),
        "prometheus.interval_s",
        "less than or equal to 75",
    ),
    "a port that is none": (
        ("monitor: 127.0.0.1:8600", "monitor: 127.0.0.1:99999"),
        "prometheus.monitor",
        "a number from 1 to 65535",
    ),
    "Prometheus as its own Alertmanager": (
        ("alertmanagers: [127.0.0.1:9093]", "alertmanagers: [127.0.0.1:9090]"),
        "prometheus.alertmanagers.0",
        "usual port is 9093",
    ),
    "a credential from the environment": (
        ("credential: file:/etc/prometheus/secrets/mail-password", "credential: env:MAIL_PASSWORD"),
        "alertmanager.receivers.1.credential",
        "nearest: file:PATH",
    ),
    "a literal credential": (
        ("credential: file:/etc/prometheus/secrets/mail-password", "credential: hunter2"),
        "alertmanager.receivers.1.credential",
        "literal credential",
    ),
    "a receiver that cannot be reached": (
        ("      smarthost: mail.example.com:587\n", ""),
        "alertmanager.receivers.1",
        "needs smarthost",
    ),
    "a token in a URL": (
        ("url: https://heartbeat.example.com/face-auth", "url: https://heartbeat.example.com/?token=1"),
        "alertmanager.receivers.2.url",
        "credential: file:PATH",
    ),
    "two receivers of one name": (
        ("name: team", "name: on-call"),
        "alertmanager",
        "two receivers have the same name",
    ),
    "nobody for what is critical": (
        ("severities: [critical", "severities: [warning"),
        "alertmanager.receivers",
        "nearest: a receiver with severities: [critical]",
    ),
    "a receiver called nobody": (
        ("name: team", "name: nobody"),
        "alertmanager.receivers.1.name",
        "choose another name",
    ),
    "an objective that cannot burn": (
        ("alerts:\n", "alerts:\n  slo: {availability: 0.9}\n"),
        "alerts.slo.availability",
        "nearest: 0.94 or more",
    ),
    "a balancer's figures without a balancer": (
        ("kind: nginx", "kind: none"),
        "prometheus.balancer_metrics",
        "the fleet has no balancer",
    ),
}


@pytest.mark.parametrize(("change", "place", "said"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_named_with_its_line_and_the_output_folder_stays_as_it_was(
    change: Change, place: str, said: str, tmp_path: Path
) -> None:
    refused_with_its_line(change, place, said, tmp_path, only="prometheus,alertmanager")


def refused_with_its_line(change: Change, place: str, said: str, where: Path, *, only: str) -> None:
    """The example with one mistake: exit status 2, `fleet.yaml:LINE: place`, LINE names the mistake, and nothing was written."""
    text = EXAMPLE.read_text()
    file, out = where / "fleet.yaml", where / "out"
    file.write_text(text)
    assert deploy_render("--fleet", file, "--out", out, "--only", only).returncode == 0
    kept = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert kept
    mistaken = text.replace(*change)
    assert mistaken != text
    file.write_text(mistaken)
    done = deploy_render("--fleet", file, "--out", out, "--only", only)
    assert done.returncode == 2, done.stdout + done.stderr
    found = re.search(rf"fleet\.yaml:(\d+): {re.escape(place)}: .*{re.escape(said)}", done.stderr)
    assert found, done.stderr
    lines = mistaken.splitlines()[: int(found[1])]
    sections = [line.partition(":")[0] for line in lines if re.match(r"[a-z]", line)]
    assert sections[-1] == place.split(".")[0], "the line is not even in its section"
    if "." in place and place.split(".")[-1] in change[1]:
        assert place.split(".")[-1] in lines[-1], lines[-1]
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == kept


def test_a_fleet_without_these_sections_gets_none_of_it(tmp_path: Path) -> None:
    of = fleet(fleet_data(tmp_path, "nginx"))
    assert not {"prometheus", "alertmanager", "systemd"} & set(targets.chosen(of))
    assert set(targets.rendered(of, ["prometheus"])) == set(prometheus.documents(of)), "asked for by name it has defaults"
    with pytest.raises(Sentence, match="no such target"):
        targets.rendered(of, ["promtheus"])
