"""A container engine of our own for the length of a test: podman with runc, Compose v2 before its socket, all below one folder.

There is no Docker engine here. These stand in for it, and Debian's packages for the base images: they prove the Dockerfile, the
wiring and the behaviour, not the upstream images.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STANDINS = Path(__file__).with_name("standins")
BASE = "docker.io/library/python:3.11-slim-bookworm"
SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
COMPOSE_SUITE = "trixie"
"""Debian 12 has Compose 1.29 alone, which refuses modern files."""
INSIDE = "python3,python3-venv,ca-certificates"
LONG_S = 1800
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
OURS = {target: f"face-auth-{image}:{VERSION}" for target, image in
        {"monitor": "monitor", "dashboard": "dashboard", "backend": "api", "init": "init"}.items()}  # fmt: skip
"""Our images by the Dockerfile's targets, as compose.yaml names them."""
CHECK_EVERY_S = 1.0
STANDS_IN = {
    "postgres": "postgres:16", "nginx": "nginx:1.28", "prometheus": "prom/prometheus:v3.5.0",
    "alertmanager": "prom/alertmanager:v0.28.1",
}  # fmt: skip
"""Grafana and HAProxy's profile have none: Debian has no Grafana, and HAProxy is played by tests/deploy."""
SERVICE = "com.docker.compose.service"

CONTAINERS_CONF = """
[containers]
default_ulimits = ["nofile=16384:16384","nproc=16384:16384"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
"""


@dataclass(frozen=True)
class Engine:
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return dict(os.environ) | {
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "DOCKER_HOST": f"unix://{self.socket}",
        }

    @property
    def socket(self) -> Path:
        return self.folder / "engine.sock"

    def podman(self, *arguments: str, timeout: float = LONG_S) -> str:
        return self._run(["podman", *self._where(), *arguments], timeout=timeout)

    def build(self, dockerfile: Path, tag: str, *, context: Path, target: str | None = None, trust: bool = False) -> None:
        """`trust`: with this machine's trust store, as its network may have a certificate of its own."""
        arguments = ["--layers", "--format", "docker", "--isolation", "chroot", "--pull-never", "--network", "host"]
        mounts = ["-v", "/etc/resolv.conf:/etc/resolv.conf:ro"]
        mounts += ["-v", "/etc/ssl/certs:/etc/ssl/certs:ro"] if trust else []
        index = [
            word for name in ("PIP_CERT",) if trust and name in os.environ for word in ("--env", f"{name}={os.environ[name]}")
        ]
        stage = ["--target", target] if target else []
        what = [*stage, "-f", str(dockerfile), "-t", tag, str(context)]
        self._run(["buildah", *self._where(), "bud", *arguments, *mounts, *index, *what], timeout=LONG_S)

    def compose(self, *arguments: str, timeout: float = LONG_S) -> str:
        command = [str(self.compose_program()), "--project-name", "faceauth", "--file", str(ROOT / "compose.yaml"), *arguments]
        return self._run(command, timeout=timeout)

    def compose_program(self) -> Path:
        found = next((self.folder / "compose").glob("**/cli-plugins/docker-compose"), None)
        assert found is not None, "Compose v2 is not there"
        return found

    def ps(self) -> dict[str, dict[str, Any]]:
        """Containers of the project by service, as the engine knows them."""
        listed = json.loads(self.podman("ps", "--all", "--format", "json") or "[]")
        return {
            row["Labels"]["com.docker.compose.service"]: row
            for row in listed
            if "com.docker.compose.service" in (row["Labels"] or {})
        }

    def volume(self, name: str) -> Path:
        return Path(self.podman("volume", "inspect", f"faceauth_{name}", "--format", "{{.Mountpoint}}").strip())

    def last_words(self) -> str:
        """Of the containers that ended with an error."""
        failed = [name for name, row in self.ps().items() if row["State"] == "exited" and row["ExitCode"]]
        return "\n".join(f"--- {name}\n{self.logs(name)[-1500:]}" for name in failed)

    def logs(self, service: str) -> str:
        command = ["podman", *self._where(), "logs", self.ps()[service]["Id"]]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout + done.stderr

    def _where(self) -> list[str]:
        return ["--root", str(self.folder / "root"), "--runroot", str(self.folder / "run"), "--storage-driver", "overlay"]

    def _run(self, command: Sequence[str], *, timeout: float) -> str:
        done = subprocess.run(
            command, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=timeout
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout


def prepared(folder: Path) -> Engine:
    """The engine, with base image, stand-ins, and our images from the real Dockerfile. What is there is used again."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "containers.conf").write_text(CONTAINERS_CONF)
    engine = Engine(folder)
    _compose(folder)
    if not _has(engine, BASE):
        tar = folder / "base.tar"
        if not tar.exists():
            bootstrap = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={INSIDE}", SUITE, str(tar), MIRROR]
            subprocess.run(bootstrap, check=True, timeout=LONG_S)
        engine.podman("import", str(tar), BASE)
    for name, tag in STANDS_IN.items():
        if not _has(engine, f"docker.io/library/{tag}"):
            engine.build(STANDINS / f"{name}.Dockerfile", f"docker.io/library/{tag}", context=STANDINS)
    for target, tag in OURS.items():
        engine.build(
            ROOT / "deploy" / "images" / "Dockerfile", f"docker.io/library/{tag}", context=ROOT, target=target, trust=True
        )
    return engine


def _has(engine: Engine, image: str) -> bool:
    return image in engine.podman("images", "--format", "{{.Repository}}:{{.Tag}}").split()


def _compose(folder: Path) -> None:
    """Compose v2 out of the next Debian's package, unpacked beside the rest: nothing is installed."""
    where = folder / "compose"
    if any(where.glob("**/cli-plugins/docker-compose")):
        return
    where.mkdir(exist_ok=True)
    lists = where / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    (where / "sources.list").write_text(f"deb {MIRROR} {COMPOSE_SUITE} main\n")
    options = {"Dir::Etc::sourcelist": where / "sources.list", "Dir::Etc::sourceparts": "/dev/null", "Dir::State::lists": lists}
    apt = ["apt-get", "--quiet", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
    subprocess.run([*apt, "update"], check=True, timeout=LONG_S, capture_output=True)
    subprocess.run([*apt, "download", "docker-compose"], check=True, timeout=LONG_S, capture_output=True, cwd=where)
    (package,) = where.glob("docker-compose_*.deb")
    subprocess.run(["dpkg-deb", "-x", str(package), str(where)], check=True, timeout=LONG_S)


@contextmanager
def serving(engine: Engine) -> Iterator[None]:
    """The engine's socket, and its health checks: without systemd nobody else runs them."""
    command = ["podman", *engine._where(), "system", "service", "--time", "0", f"unix://{engine.socket}"]
    with (engine.folder / "engine.log").open("ab") as log:
        service = subprocess.Popen(command, env=engine.environment, stdout=log, stderr=log)
    stopping = threading.Event()
    checks = threading.Thread(target=_check_health, args=(engine, stopping), daemon=True)
    try:
        until = time.monotonic() + 30
        while not engine.socket.exists():
            assert time.monotonic() < until, "the engine's socket does not come"
            time.sleep(0.1)
        checks.start()
        yield
    finally:
        stopping.set()
        checks.join(30)
        service.terminate()
        service.wait(20)


def _check_health(engine: Engine, stopping: threading.Event) -> None:
    while not stopping.wait(CHECK_EVERY_S):
        try:
            running = [row["Id"] for row in engine.ps().values() if row["State"] == "running"]
        except AssertionError:
            continue
        for container in running:
            subprocess.run(
                ["podman", *engine._where(), "healthcheck", "run", container], env=engine.environment, capture_output=True,
                check=False, timeout=60,
            )  # fmt: skip


def missing() -> list[str]:
    """Programs that this needs and that are not here."""
    return [program for program in ("podman", "buildah", "runc", "mmdebstrap") if shutil.which(program) is None]
