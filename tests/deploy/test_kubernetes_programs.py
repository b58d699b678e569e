"""The three programs run on loopback with the very variables and commands of deploy/kubernetes, and answer every probe.

What differs is where a container's folders are: below a folder of the test; the listener's address and port; and SQLite.
"""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deploy.layout import ROOT
from deploy.local.certificates import LocalCa
from tests.deploy.cluster import Object, of_kind, pods
from tests.deploy.fleets import eventually, free_port

COMMITTED = ROOT / "deploy" / "kubernetes"
NAMES = {"backend": "face-auth-service.face-auth.svc", "dashboard": "face-auth-dashboard.face-auth.svc"}
START_S = 240


def objects() -> tuple[Object, ...]:
    """As they stand in the files: nothing that is asked here is changed by an overlay."""
    files = sorted(COMMITTED.glob("base/*.yaml")) + sorted(COMMITTED.glob("common/*.yaml")) + [COMMITTED / "migrate" / "job.yaml"]
    found = [one for file in files for one in yaml.safe_load_all(file.read_text())]
    return tuple(one for one in found if one and one["kind"] != "Kustomization")


@dataclass
class Pod:
    """One pod's containers, whose folders are below `root`."""

    name: str
    root: Path
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def template(self) -> Object:
        return pods(objects())[self.name]

    @property
    def container(self) -> Object:
        (found,) = self.template["spec"]["containers"]
        return dict(found)

    def environment(self) -> dict[str, str]:
        data = {name: one["data"] for name, one in of_kind(objects(), "ConfigMap").items()}
        given: dict[str, str] = {}
        for source in self.container.get("envFrom", []):
            given |= (
                data[source["configMapRef"]["name"]]
                if "configMapRef" in source
                else {"ALERTS_OPERATORS_URL": "json://127.0.0.1:9"}
            )
        for one in self.container.get("env", []):
            given[one["name"]] = one.get("value", self.name)
        given = {name: self.inside(value) for name, value in given.items()}
        for port in self.container.get("ports", []):
            self.ports.setdefault(port["name"], free_port())
        listener = {name: value for name, value in given.items() if name.endswith(("_HOST", "_PORT"))}
        given |= {name: "127.0.0.1" if name.endswith("_HOST") else str(next(iter(self.ports.values()))) for name in listener}
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("BACKEND_", "MONITOR_", "DASHBOARD_"))}
        return clean | given | {"PYTHONPATH": str(ROOT)}

    def inside(self, text: str) -> str:
        for folder in ("/etc/face-auth", "/run/fleet", "/data"):
            text = text.replace(folder, f"{self.root}{folder}")
        return text

    def command(self) -> list[str]:
        python, *words = self.container["command"]
        assert python == "python", "no shell in between: the program itself hears SIGTERM"
        return [sys.executable, *map(self.inside, words)]

    def probes(self) -> list[dict[str, Any]]:
        found = [self.container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
        assert len(found) == 3
        return found

    def ask(self, probe: dict[str, Any]) -> int:
        """As the kubelet does: certificates are not verified, headers are the probe's."""
        headers = {one["name"]: one["value"] for one in probe.get("httpHeaders", [])}
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        url = f"{probe.get('scheme', 'HTTP').lower()}://127.0.0.1:{self.ports[probe['port']]}{probe['path']}"
        try:
            return httpx.get(url, headers=headers, verify=context, timeout=20).status_code
        except httpx.TransportError:
            return 0


@contextmanager
def running(pod: Pod) -> Iterator[subprocess.Popen[bytes]]:
    log = pod.root / f"{pod.name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(pod.command(), env=pod.environment(), cwd=pod.root, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


def secret(root: Path, name: str, text: str) -> None:
    (root / "etc/face-auth/secrets" / name).write_text(text)


def certificate(root: Path, name: str) -> None:
    ca = LocalCa(root)
    chain, key = ca.leaf(name, [name])
    for file, source in (("tls.crt", chain), ("tls.key", key), ("ca.crt", ca.file)):
        (root / "etc/face-auth/tls" / file).write_bytes(Path(source).read_bytes())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("etc/face-auth/secrets", "etc/face-auth/signers", "etc/face-auth/tls", "run/fleet", "data"):
        (tmp_path / folder).mkdir(parents=True)
    signing = tmp_path / "etc/face-auth/secrets/signing.pem"
    jwks = tmp_path / "etc/face-auth/signers/signers.json"
    environment = os.environ | {"DASHBOARD_SIGNING_KEY_FILE": str(signing), "PYTHONPATH": str(ROOT)}
    made = [sys.executable, "-m", "dashboard", "keys", "init", "--jwks", str(jwks)]
    subprocess.run(made, env=environment, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    return tmp_path


def answers_every_probe_and_ends_in_time(pod: Pod) -> None:
    with running(pod) as process:
        log = pod.root / f"{pod.name}.log"
        for probe in pod.probes():
            eventually(lambda probe=probe: pod.ask(probe) == 200 or process.poll() is not None, within_s=START_S, every_s=0.5)
            assert process.poll() is None, log.read_text()
        process.terminate()
        process.wait(pod.template["spec"]["terminationGracePeriodSeconds"])
        assert process.returncode in (0, 143, -15), log.read_text()


@pytest.mark.timeout(900)
def test_the_migration_and_then_the_backend(root: Path) -> None:
    secret(root, "database-url", f"sqlite:///{root / 'data' / 'ledger.db'}")
    certificate(root, NAMES["backend"])
    (name,) = of_kind(objects(), "Job")
    migration = Pod(name, root)
    done = subprocess.run(
        migration.command(), env=migration.environment(), cwd=root, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    answers_every_probe_and_ends_in_time(Pod("face-auth-api", root))


@pytest.mark.timeout(900)
def test_the_monitor(root: Path) -> None:
    secret(root, "keys.json", "[]")
    secret(root, "drain.key", "fa_x_y")
    certificate(root, NAMES["backend"])
    pod = Pod("face-auth-monitor", root)
    said = of_kind(objects(), "ConfigMap")["face-auth-fleet"]["data"]["fleet.yaml"]
    (root / "run/fleet/fleet.yaml").write_text(pod.inside(said).replace("face-auth-pods.face-auth.svc", "127.0.0.1"))
    answers_every_probe_and_ends_in_time(pod)


@pytest.mark.timeout(900)
def test_the_dashboard(root: Path) -> None:
    secret(root, "users.json", '{"users": []}')
    secret(root, "cookie.secret", "c" * 48)
    secret(root, "viewer.key", "fa_x_y")
    certificate(root, NAMES["dashboard"])
    answers_every_probe_and_ends_in_time(Pod("face-auth-dashboard", root))
