"""The programs of a local fleet: what is started, with which settings. Nothing here starts anything."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field

from deploy.layout import ROOT, Ports, RunFolder
from deploy.local import balancers
from deploy.local.engine_choice import EngineChoice
from deploy.local.supervisor import Program
from deploy.processes import MARK


@dataclass(frozen=True)
class Programs:
    run: RunFolder
    ports: Ports
    engine: EngineChoice
    balancer_kind: str
    database_url: str | None = None
    """of the ledger; None: SQLite in the run folder"""
    inherited: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def module(self, *arguments: str) -> tuple[str, ...]:
        """A command of one of our programs."""
        return (sys.executable, "-m", *arguments)

    @property
    def common(self) -> dict[str, str]:
        """What every program gets: found from the run folder, so that a developer's `.env` is not read; known by the mark."""
        threads = {name: self.inherited.get(name, "1") for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        own = {
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            MARK: str(self.run.path),
            "FLEET_RUN_DIR": str(self.run.path),
            "FLEET_PORT_OFFSET": str(self.ports.offset),
        }
        return self.inherited | threads | own

    @property
    def ledger(self) -> dict[str, str]:
        """Settings that every backend and every `python -m backend` command shares."""
        settings = {
            "BACKEND_DATABASE_URL": self.database_url or f"sqlite:///{self.run.database}",
            "BACKEND_MASTER_KEY_FILE": str(self.run.master_key),
            "BACKEND_SIGNERS_FILE": str(self.signers),
            "BACKEND_ENGINE": self.engine.engine,
            "BACKEND_MODELS_DIR": str(ROOT / "models"),
        }
        if self.engine.model_pack:
            settings["BACKEND_MODEL_PACK"] = self.engine.model_pack
        return self.common | settings

    @property
    def people(self) -> dict[str, str]:
        """Settings that the dashboard and its commands share."""
        return self.common | {
            "DASHBOARD_USERS_FILE": str(self.run.secrets / "users.json"),
            "DASHBOARD_SIGNING_KEY_FILE": str(self.run.secrets / "dashboard-signing.pem"),
        }

    @property
    def signers(self) -> str:
        return str(self.run.secrets / "signers.json")

    @property
    def monitor_keys(self) -> str:
        return str(self.run.secrets / "monitor-keys.json")

    @property
    def dashboard_key(self) -> str:
        return str(self.run.secrets / "dashboard.key")

    @property
    def cookie_secret(self) -> str:
        return str(self.run.secrets / "dashboard-cookie.secret")

    @property
    def balancer_url(self) -> str | None:
        return None if self.balancer_kind == "none" else f"https://127.0.0.1:{self.ports.balancer}"

    def backend_url(self, name: str) -> str:
        return f"https://127.0.0.1:{self.ports.backend(name)}"

    def backend(self, name: str, *, all_names: tuple[str, ...]) -> Program:
        certificates = self.run.certificates
        settings = {
            "BACKEND_HOST": "127.0.0.1",
            "BACKEND_PORT": str(self.ports.backend(name)),
            "BACKEND_INSTANCE": name,
            "BACKEND_TLS_CERT_FILE": str(certificates / f"{name}-cert.pem"),
            "BACKEND_TLS_KEY_FILE": str(certificates / f"{name}-key.pem"),
            "BACKEND_LOG_DIR": str(self.run.logs / name),
            "BACKEND_SNAPSHOT_DIR": str(self.run.snapshots),
            # several backends share this machine: together they use its cores, and nobody waits for a drain that nobody reads
            "BACKEND_INFERENCE_WORKERS": str(max(1, (os.cpu_count() or 1) // len(all_names))),
            "BACKEND_DRAIN_S": "1",
            "BACKEND_GRACEFUL_TIMEOUT_S": "5",
        }
        (self.run.logs / name).mkdir(exist_ok=True)
        return self._program(name, self.module("backend", "serve"), self.ledger | settings)

    def monitor(self) -> Program:
        settings = {
            "MONITOR_HOST": "127.0.0.1",
            "MONITOR_PORT": str(self.ports.monitor),
            "MONITOR_DATABASE_URL": f"sqlite:///{self.run.data / 'monitor.db'}",
            "MONITOR_SIGNERS_FILE": self.signers,
            "MONITOR_KEYS_FILE": self.monitor_keys,
            "MONITOR_LOG_DIR": str(self.run.logs / "monitor"),
        }
        (self.run.logs / "monitor").mkdir(exist_ok=True)
        command = self.module("monitor", "run", "--fleet", str(self.run.fleet_file))
        return self._program("monitor", command, self.common | settings)

    def dashboard(self, *, backends: tuple[str, ...]) -> Program:
        urls = [self.balancer_url] if self.balancer_url else [self.backend_url(name) for name in backends]
        settings = {
            "DASHBOARD_HOST": "127.0.0.1",
            "DASHBOARD_PORT": str(self.ports.dashboard),
            "DASHBOARD_ALLOWED_HOSTS": self.inherited.get("DASHBOARD_ALLOWED_HOSTS", "127.0.0.1,localhost"),
            "DASHBOARD_BACKEND_URLS": ",".join(urls),
            "DASHBOARD_MONITOR_URL": f"http://127.0.0.1:{self.ports.monitor}",
            "DASHBOARD_CA_FILE": str(self.run.ca_file),
            "DASHBOARD_KEY_FILE": self.dashboard_key,
            "DASHBOARD_COOKIE_SECRET_FILE": self.cookie_secret,
        }
        return self._program("dashboard", self.module("dashboard", "serve"), self.people | settings)

    def balancer(self) -> Program:
        kind = self.balancer_kind
        command = balancers.command(kind, self.run.balancer)
        return Program(kind, command, self.common, self.run.balancer, self.run.logs / f"{kind}.log")

    def _program(self, name: str, command: tuple[str, ...], environment: dict[str, str]) -> Program:
        return Program(name, command, environment, self.run.path, self.run.logs / f"{name}.log")
