"""From a fleet file to AWS: the real script with the real command line, and the template, against moto on loopback.

moto accepts contradictions and calls every target healthy, so what must hold is asserted here, value by value.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.layout import ROOT
from deploy.render import targets
from deploy.sentence import Sentence
from monitor.fleet_file import read
from tests.deploy.conftest import tool
from tests.deploy.fleets import eventually, fleet, free_port
from tests.deploy.tools import install

EXAMPLE = ROOT / "deploy" / "fleet.example.yaml"
SCRIPT = ROOT / "deploy" / "aws" / "alb.sh"
TEMPLATE = ROOT / "deploy" / "aws" / "alb.yaml"
REGION = "eu-west-1"
pytestmark = pytest.mark.timeout(3600)  # the command line starts some sixty times, each for half a second of CPU

TARGETS = [["10.0.1.10", 8000], ["10.0.1.11", 8000], ["10.0.1.12", 8000]]
GIVEN = {
    "VPC": "vpc-0123456789abcdef0",
    "SUBNETS": "subnet-0123456789abcdef0 subnet-0123456789abcdef1",
    "SECURITY_GROUPS": "sg-0123456789abcdef0",
}


@dataclass
class Account:
    """An account at moto: a network with two zones, and the command line that talks to it."""

    endpoint: str
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Of a process that can reach nothing but the stand-in."""
        own = {
            "AWS_ENDPOINT_URL": self.endpoint, "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_MAX_ATTEMPTS": "1", "PATH": f"{install.AWS.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }  # fmt: skip
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return clean | own

    def asked(self, *words: str) -> Any:
        """What boto3 answers: `tools/aws_account.py`."""
        program = str(Path(install.__file__).with_name("aws_account.py"))
        done = subprocess.run(
            [tool(install.AWS, "python"), program, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def script(self, script: Path = SCRIPT, **changed: str) -> subprocess.CompletedProcess[str]:
        environment = self.environment | self.variables | changed
        return subprocess.run(
            ["bash", str(script)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=1500,
            stdin=subprocess.DEVNULL,
        )


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    program = tool(install.AWS, "moto_server")
    log = (tmp_path_factory.mktemp("moto") / "moto.log").open("wb")
    environment = os.environ | {"MOTO_ACM_VALIDATION_WAIT": "1"}
    process = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log, env=environment)
    try:
        eventually(lambda: _answers(f"http://127.0.0.1:{port}"), within_s=60)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(60)
        log.close()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/moto-api/data.json", timeout=10):
            return True
    except OSError:
        return False


def emptied(endpoint: str) -> Account:
    """The account with nothing in it but a network."""
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST"), timeout=60).close()
    found = Account(endpoint)
    found.variables = found.asked("network")
    return found


def assert_right_attributes(attributes: dict[str, str], of_group: dict[str, str]) -> None:
    """Of the balancer and of the target group."""
    assert attributes["idle_timeout.timeout_seconds"] == "60", "below the backends' keep-alive of 75 s"
    assert attributes["routing.http.drop_invalid_header_fields.enabled"] == "true"
    assert of_group["load_balancing.algorithm.type"] == "least_outstanding_requests"
    assert of_group["slow_start.duration_seconds"] == "0", "it excludes least outstanding requests"
    assert 30 <= int(of_group["deregistration_delay.timeout_seconds"]) <= 60


def assert_right(found: dict[str, Any]) -> None:
    """What the guide's balancer must be beside its names, targets and attributes, whichever way it was made."""
    assert found["balancer"]["Scheme"] == "internet-facing"
    assert len(found["subnets"]) == 2
    group = found["group"]
    assert (group["Protocol"], group["Port"], group["TargetType"]) == ("HTTPS", 8000, "ip")
    assert (group["HealthCheckPath"], group["HealthCheckProtocol"]) == ("/ready", "HTTPS")
    assert (group["HealthCheckIntervalSeconds"], group["HealthCheckTimeoutSeconds"]) == (5, 2)
    assert (group["HealthyThresholdCount"], group["UnhealthyThresholdCount"]) == (2, 3)
    assert group["Matcher"] == {"HttpCode": "200"}
    _assert_listeners(found)


def _assert_listeners(found: dict[str, Any]) -> None:
    assert sorted(found["listeners"]) == ["443", "80"]
    (redirect,) = found["listeners"]["80"]["DefaultActions"]
    assert redirect["Type"] == "redirect"
    assert redirect["RedirectConfig"]["Protocol"] == "HTTPS"
    assert (redirect["RedirectConfig"]["Port"], redirect["RedirectConfig"]["StatusCode"]) == ("443", "HTTP_301")
    https = found["listeners"]["443"]
    assert https["Protocol"] == "HTTPS"
    assert https["SslPolicy"].startswith("ELBSecurityPolicy-TLS13-1-2")
    assert https["Certificates"][0]["CertificateArn"].startswith("arn:aws:acm:")
    assert https["DefaultActions"][0]["FixedResponseConfig"]["StatusCode"] == "404", "what no rule names ends at the balancer"
    paths = []
    for rule in found["rules"]:
        values = {one["Field"]: one for one in rule["Conditions"]}
        assert values["host-header"]["HostHeaderConfig"]["Values"] == ["api.faceauth.example.com"]
        assert rule["Actions"][0]["Type"] == "forward"
        paths += values["path-pattern"]["PathPatternConfig"]["Values"]
        assert 1 + len(values["path-pattern"]["PathPatternConfig"]["Values"]) <= 5, "AWS takes five values in one rule"
    assert sorted(paths) == ["/docs", "/docs/assets/*", "/health", "/openapi.json", "/v1/*"]


@dataclass(frozen=True)
class Runs:
    """Three runs of the script in one account, and what there was after each."""

    outputs: list[subprocess.CompletedProcess[str]]
    found: list[dict[str, Any]]


@pytest.fixture(scope="module")
def runs(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    account = emptied(endpoint)
    outputs, found = [], []
    for script in (SCRIPT, SCRIPT, changed_script(tmp_path_factory.mktemp("changed"))):
        outputs.append(account.script(script))
        assert outputs[-1].returncode == 0, outputs[-1].stderr
        found.append(account.asked("describe"))
    return Runs(outputs, found)


def changed_script(where: Path) -> Path:
    """Of the example after somebody changed it."""
    file, script = where / "fleet.yaml", where / "alb.sh"
    text = EXAMPLE.read_text().replace("deregistration_delay_s: 30", "deregistration_delay_s: 45\n  idle_timeout_s: 50")
    assert text.count("idle_timeout_s") == 1
    file.write_text(text.replace("strategy: least_connections ", "strategy: round_robin "))
    script.write_text(targets.rendered(read(file), ["aws"])[Path("aws/alb.sh")])
    return script


def test_the_script_makes_the_balancer(runs: Runs) -> None:
    assert "CNAME" in runs.outputs[0].stderr, "the DNS record of the requested certificate"
    assert re.search(r"elb\.amazonaws\.com$", runs.outputs[0].stdout.strip())
    found = runs.found[0]
    assert_right(found)
    assert_right_attributes(found["balancer attributes"], found["group attributes"])
    assert (found["balancer"]["LoadBalancerName"], found["group"]["TargetGroupName"]) == ("face-auth-lb", "face-auth-targets")
    assert found["targets"] == TARGETS
    assert runs.found[0]["certificates"] == 1


def test_a_second_run_finds_it_as_it_should_be(runs: Runs) -> None:
    assert runs.found[1] == runs.found[0]


def test_the_script_brings_a_balancer_that_is_there_to_what_the_fleet_file_says_now(runs: Runs) -> None:
    found = runs.found[2]
    assert found["group attributes"]["deregistration_delay.timeout_seconds"] == "45"
    assert found["group attributes"]["load_balancing.algorithm.type"] == "round_robin"
    assert found["balancer attributes"]["idle_timeout.timeout_seconds"] == "50"
    assert len(found["rules"]) == 2


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("VPC", "", "VPC: give at least 1"),
        ("VPC", "vpc-xxxxx", "VPC: 'vpc-xxxxx' does not look like"),
        ("SUBNETS", "subnet-0123456789abcdef0", "SUBNETS: give at least 2"),
        ("SUBNETS", "subnet-xxxxx subnet-yyyyy", "SUBNETS: 'subnet-xxxxx'"),
        ("SECURITY_GROUPS", "sg-1; rm", "SECURITY_GROUPS: 'sg-1;'"),
        ("TARGETS", "10.0.1.10", "TARGETS: '10.0.1.10'"),
        ("CERTIFICATE_ARN", "arn:aws:acm:...", "CERTIFICATE_ARN: 'arn:aws:acm:...'"),
    ],
)
def test_the_script_refuses_a_wrong_variable_before_it_asks_anybody(variable: str, value: str, said: str) -> None:
    tool(install.AWS, "aws")
    nowhere = Account(f"http://127.0.0.1:{free_port()}", GIVEN)
    done = nowhere.script(**{variable: value})
    assert done.returncode == 2
    assert said in done.stderr
    assert "connect" not in done.stderr


def test_the_script_ends_at_the_first_call_that_fails() -> None:
    tool(install.AWS, "aws")
    done = Account(f"http://127.0.0.1:{free_port()}", GIVEN).script()
    assert done.returncode not in (0, 2)
    assert done.stderr.count("Could not connect") == 1, done.stderr


class _Template(yaml.SafeLoader):
    """CloudFormation's short forms (`!Ref …`) stand for themselves."""


_Template.add_multi_constructor("!", lambda loader, suffix, node: f"!{suffix} {node.value}")


def test_the_template_makes_the_balancer_through_cloudformation(endpoint: str) -> None:
    account = emptied(endpoint)
    own = account.variables
    given = {"Vpc": own["VPC"], "Subnets": own["SUBNETS"].replace(" ", ","), "SecurityGroups": own["SECURITY_GROUPS"]}
    made = account.asked(
        "stack", str(TEMPLATE), "api.faceauth.example.com", *(f"{name}={value}" for name, value in given.items())
    )
    assert made["status"] == "CREATE_COMPLETE"
    assert "elb.amazonaws.com" in made["DnsName"]
    found = account.asked("describe")
    assert_right(found)
    assert found["certificates"] == 1, "one was given, so none is requested"


def test_the_template_says_what_the_stand_in_does_not_read_of_it() -> None:
    """moto's CloudFormation leaves names, targets and attributes out."""
    resources = yaml.load(TEMPLATE.read_text(), Loader=_Template)["Resources"]  # noqa: S506 - a SafeLoader
    balancer, group = (resources[name]["Properties"] for name in ("LoadBalancer", "TargetGroup"))
    attributes = [
        {one["Key"]: one["Value"] for one in part[field]}
        for part, field in ((balancer, "LoadBalancerAttributes"), (group, "TargetGroupAttributes"))
    ]
    assert_right_attributes(*attributes)
    assert (balancer["Name"], group["Name"]) == ("face-auth-lb", "face-auth-targets")
    assert [[one["Id"], one["Port"]] for one in group["Targets"]] == TARGETS


def test_the_template_and_the_script_say_the_same_attributes() -> None:
    for name in re.findall(r"Key=([\w.]+),Value=([\w.]+)", SCRIPT.read_text()):
        key, value = name
        assert re.search(rf'- Key: {re.escape(key)}\n\s+Value: "?{re.escape(value)}"?\n', TEMPLATE.read_text()), key


def test_cfn_lint_finds_nothing_in_the_template() -> None:
    done = subprocess.run(
        [tool(install.AWS, "cfn-lint"), str(TEMPLATE)], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_idle_timeout_is_below_the_backends_keep_alive() -> None:
    from backend.server import KEEP_ALIVE_S
    from deploy.render import aws_refuse

    assert aws_refuse.KEEP_ALIVE_S == KEEP_ALIVE_S
    assert read(EXAMPLE).aws.idle_timeout_s < KEEP_ALIVE_S  # type: ignore[union-attr]


def aws_fleet() -> dict[str, Any]:
    return {
        "balancer": {"kind": "none"},
        "backends": [
            {
                "name": f"b{n}",
                "url": f"https://10.0.1.{n}:8000",
                "address": f"10.0.1.{n}:8000",
                "server_name": f"b{n}.example.com",
            }
            for n in (1, 2, 3)
        ],
        "probes": {"interval_s": 5.0, "deadline_s": 2.0},
        "aws": {},
    }


def change(part: str, **fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data[part].update(fields)


def backend(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["backends"][1].update(fields)


REFUSED = [
    (change("balancer", strategy="ip_hash"), "balancer.strategy: an ALB has no hash", "nearest: least_connections"),
    (change("balancer", zone="a"), "balancer.zone: an ALB has no backup targets", "leave it out"),
    (backend(weight=50), "backends: an ALB gives every target", "weight 100 for all"),
    (backend(region="eu-north-1"), "backends: an ALB stands in one region", "a fleet file for each"),
    (backend(url="http://10.0.1.2:8000"), "backends: a target group speaks either", "https for all"),
    (backend(address="b2.internal:8000"), "backends.b2.address: a target is an IP address", "aws.instances"),
    (change("aws", slow_start_s=60), "aws.slow_start_s: slow start and least outstanding requests exclude", "round_robin"),
    (change("aws", slow_start_s=10), "aws.slow_start_s: an ALB takes 0 (off) or 30 to 900", "seconds"),
    (change("aws", idle_timeout_s=75), "aws.idle_timeout_s: it must be shorter", "nearest: 60"),
    (change("aws", deregistration_delay_s=300), "aws.deregistration_delay_s", "nearest: 30, at most 60"),
    (change("aws", tls_policy="ELBSecurityPolicy-2016-08"), "aws.tls_policy: it allows TLS before 1.2", "TLS13-1-2"),
    (change("aws", subnets=["subnet-0123456789abcdef0"]), "aws.subnets", "two availability zones"),
    (change("aws", instances=["i-0123456789abcdef0"] * 2), "aws.instances: one of them stands twice", "twice"),
    (change("probes", fall=1), "probes.fall: an ALB counts 2 to 10", "nearest: 2"),
    (change("probes", interval_s=3.0), "probes.interval_s: an ALB checks every 5 to 300", "nearest: 5"),
    (change("probes", deadline_s=4.5), "probes.deadline_s: an ALB's check must end before", "nearest: 2"),
]  # fmt: skip


@pytest.mark.parametrize(("mistake", "said", "nearest"), REFUSED, ids=[said for _, said, _ in REFUSED])
def test_what_an_alb_cannot_do_is_refused_with_the_nearest_choice(
    mistake: Callable[[dict[str, Any]], None], said: str, nearest: str
) -> None:
    data = aws_fleet()
    targets.rendered(fleet(data))
    mistake(data)
    with pytest.raises(Sentence) as refused:
        targets.rendered(fleet(data))
    assert said in str(refused.value)
    assert nearest in str(refused.value)
    assert refused.value.status == 2


def test_slow_start_is_rendered_where_the_strategy_allows_it() -> None:
    data = aws_fleet()
    data["balancer"]["strategy"] = "round_robin"
    data["aws"]["slow_start_s"] = 60
    texts = targets.rendered(fleet(data))
    assert "Key=slow_start.duration_seconds,Value=60" in texts[Path("aws/alb.sh")]
    assert "Key=load_balancing.algorithm.type,Value=round_robin" in texts[Path("aws/alb.sh")]


def test_instances_take_the_place_of_the_backends_addresses() -> None:
    data = aws_fleet()
    data["aws"]["instances"] = ["i-0123456789abcdef0", "i-0123456789abcdef1"]
    script = targets.rendered(fleet(data))[Path("aws/alb.sh")]
    assert "--target-type instance" in script
    assert "TARGETS:-i-0123456789abcdef0:8000 i-0123456789abcdef1:8000}" in script
