"""Where a local fleet keeps its things and on which ports it listens. Standard library only.

`FLEET_RUN_DIR` stands for `.run` and `FLEET_PORT_OFFSET` is added to each port, so that two fleets run side by side.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.sentence import Sentence

ROOT = Path(__file__).resolve().parents[1]
BACKENDS = ("b1", "b2", "b3")
HIGHEST_PORT = 65_535


@dataclass(frozen=True)
class Ports:
    offset: int = 0

    def backend(self, name: str) -> int:
        return 8001 + BACKENDS.index(name) + self.offset

    @property
    def balancer(self) -> int:
        return 8443 + self.offset

    @property
    def redirect(self) -> int:
        return 8088 + self.offset

    @property
    def nginx_status(self) -> int:
        return 8080 + self.offset

    @property
    def haproxy_stats(self) -> int:
        return 8404 + self.offset

    @property
    def monitor(self) -> int:
        return 8600 + self.offset

    @property
    def dashboard(self) -> int:
        return 8501 + self.offset

    def needed(self, balancer: str) -> dict[str, int]:
        """Port of each listener by the name that a person knows it by."""
        ports = {f"backend {name}": self.backend(name) for name in BACKENDS}
        ports |= {"the monitor": self.monitor, "the dashboard": self.dashboard}
        if balancer != "none":
            ports |= {"the balancer": self.balancer, "the redirect to https": self.redirect}
        if balancer == "nginx":
            ports["nginx's status page"] = self.nginx_status
        if balancer == "haproxy":
            ports["HAProxy's stats page"] = self.haproxy_stats
        return ports


@dataclass(frozen=True)
class RunFolder:
    """The folder of one local fleet; nothing outside it belongs to the fleet."""

    path: Path

    @property
    def access_file(self) -> Path:
        return self.path / "access.json"

    @property
    def fleet_file(self) -> Path:
        return self.path / "fleet.yaml"

    @property
    def engine_file(self) -> Path:
        return self.path / "engine.json"

    @property
    def demo_file(self) -> Path:
        return self.path / "demo.json"

    @property
    def supervisor_file(self) -> Path:
        """Process id of the supervisor, and when it started, so that a reused id is not taken for it."""
        return self.path / "supervisor.pid"

    @property
    def programs_file(self) -> Path:
        return self.path / "programs.json"

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def certificates(self) -> Path:
        return self.path / "certs"

    @property
    def secrets(self) -> Path:
        return self.path / "secrets"

    @property
    def drain_key(self) -> Path:
        """The key with which the monitor asks a backend to drain."""
        return self.secrets / "drain.key"

    @property
    def requests(self) -> Path:
        """What other commands ask of the supervisor."""
        return self.path / "requests"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def balancer(self) -> Path:
        return self.path / "balancer"

    @property
    def ca_file(self) -> Path:
        return self.certificates / "ca.pem"

    @property
    def database(self) -> Path:
        return self.data / "face-auth.db"

    @property
    def snapshots(self) -> Path:
        """Of the backends' indexes, encrypted; each makes a folder of its own in it."""
        return self.data / "snapshots"

    @property
    def master_key(self) -> Path:
        return self.secrets / "master.key"

    @property
    def entries(self) -> tuple[Path, ...]:
        """Everything that a run makes here."""
        files = (self.access_file, self.fleet_file, self.engine_file, self.demo_file, self.supervisor_file, self.programs_file)
        return (*files, self.data, self.certificates, self.secrets, self.logs, self.balancer, self.requests)

    def create(self) -> None:
        """Make the folders; what holds secrets or faces is closed to everybody else."""
        self.path.mkdir(parents=True, exist_ok=True)
        for folder in (self.data, self.certificates, self.secrets, self.logs, self.balancer):
            folder.mkdir(exist_ok=True)
        for folder in (self.data, self.secrets, self.logs):
            folder.chmod(0o700)


def run_folder(environment: Mapping[str, str] = os.environ) -> RunFolder:
    return RunFolder(Path(environment.get("FLEET_RUN_DIR") or ROOT / ".run").expanduser().absolute())


def ports(environment: Mapping[str, str] = os.environ) -> Ports:
    """Raises `Sentence` for an offset that is no number or leads beyond the last port."""
    given = environment.get("FLEET_PORT_OFFSET") or "0"
    try:
        offset = int(given)
    except ValueError:
        raise Sentence(f"FLEET_PORT_OFFSET is {given!r}: give a whole number, e.g. 100") from None
    numbers = Ports(offset).needed("nginx").values()
    if min(numbers) < 1 or max(Ports(offset).monitor, *numbers) > HIGHEST_PORT:
        raise Sentence(f"FLEET_PORT_OFFSET={offset} leads to ports outside 1 to {HIGHEST_PORT}")
    return Ports(offset)
