"""From a fleet to Kubernetes: a Kustomize base with the three programs, a migration, and two ways in from outside."""

from __future__ import annotations

import hashlib
import math
import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deploy.layout import ROOT
from deploy.render import documents, kubernetes_fleet
from deploy.render.view import BODY_MB
from monitor.fleet import Fleet, Strategy
from monitor.fleet_platforms import Kubernetes

TEMPLATES = Path(__file__).with_name("templates") / "kubernetes"
USER = 10001
"""Of every container; what it may write is its own (`fsGroup`)."""
DRAIN_S, GRACEFUL_S = 3, 20
"""The backend's own defaults, written out because the grace period rests on them (a test compares them with the program's)."""
SPARE_S = 7
"""For closing what is open: the index's threads, the database's connections."""
STARTUP_PERIOD_S = 2

Paths = tuple[tuple[str, str], ...]
"""(kind of match, path)"""

# What the world may ask for, as nginx and HAProxy have it.
OPEN_PATHS: Paths = (
    ("Prefix", "/v1"),
    ("Exact", "/health"),
    ("Exact", "/docs"),
    ("Prefix", "/docs/assets"),
    ("Exact", "/openapi.json"),
)


def files(fleet: Fleet) -> dict[Path, str]:
    """Every file by its path below the output folder; the fleet has been through `kubernetes_refuse`."""
    values = view(fleet)
    found: dict[Path, str] = {}
    for template in sorted(TEMPLATES.rglob("*.yaml.j2")):
        name = template.relative_to(TEMPLATES)
        found[Path("kubernetes") / name.with_suffix("")] = documents.text(f"kubernetes/{name}", values)
    return found


def view(fleet: Fleet) -> dict[str, Any]:
    """What the templates see."""
    kubernetes = fleet.kubernetes or Kubernetes()
    version = kubernetes.version or own_version()
    settings = backend_settings(kubernetes)
    return {
        "k": kubernetes,
        "service_name": fleet.service,
        "version": version,
        "version_word": re.sub(r"[^a-z0-9]+", "-", version.lower()).strip("-"),
        "user": USER,
        "settings": settings,
        "settings_hash": hashlib.sha256(repr(settings).encode()).hexdigest()[:16],
        "drain_s": DRAIN_S,
        "graceful_s": GRACEFUL_S,
        "spare_s": SPARE_S,
        "grace_s": kubernetes.pre_stop_s + DRAIN_S + GRACEFUL_S + SPARE_S,
        "startup_period_s": STARTUP_PERIOD_S,
        "startup_failures": math.ceil(kubernetes.start_budget_s / STARTUP_PERIOD_S),
        "affinity": fleet.balancer.strategy is Strategy.ip_hash,
        "near": fleet.balancer.zone is not None,
        "fleet_yaml": kubernetes_fleet.text(fleet, kubernetes),
        "backend_name": kubernetes_fleet.server_name(kubernetes),
        "rate": fleet.balancer.rate_per_client,
        "body_mb": BODY_MB,
        "open_paths": OPEN_PATHS,
        **_outside(fleet, kubernetes),
    }


def backend_settings(kubernetes: Kubernetes) -> dict[str, str]:
    """What the migration and every backend get; secrets stand as the names of files."""
    return {
        "BACKEND_PORT": "8000",
        "BACKEND_DATABASE_URL_FILE": "/etc/face-auth/secrets/database-url",
        "BACKEND_MASTER_KEY_FILE": "/etc/face-auth/secrets/master.key",
        "BACKEND_SIGNERS_FILE": "/etc/face-auth/signers/signers.json",
        "BACKEND_TRUSTED_PROXIES": kubernetes.pod_cidr,
        "BACKEND_ENGINE": "offline",
        # Without a limit of CPU a pod sees every core of its node: work as many as it asked for.
        "BACKEND_INFERENCE_WORKERS": str(_cores(kubernetes.resources.cpu)),
        "BACKEND_DRAIN_S": str(DRAIN_S),
        "BACKEND_GRACEFUL_TIMEOUT_S": str(GRACEFUL_S),
        "BACKEND_LOG_FORMAT": "json",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "HOME": "/tmp",  # noqa: S108 - of the pod alone: an emptyDir
    }


def own_version() -> str:
    """The version of this repository, which is the tag of its images."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"])


def _cores(cpu: str) -> int:
    return max(1, math.ceil(int(cpu[:-1]) / 1000) if cpu.endswith("m") else int(cpu))


def _outside(fleet: Fleet, kubernetes: Kubernetes) -> dict[str, Any]:
    """Host names and what stands behind each."""
    host = fleet.balancer.server_name
    dashboard = urlsplit(fleet.dashboard.url).hostname if fleet.dashboard else None
    inner = {"backend": kubernetes_fleet.server_name(kubernetes), "dashboard": f"face-auth-dashboard.{kubernetes.namespace}.svc"}
    parts = [("api", host), *([("dashboard", dashboard)] if dashboard else [])]
    tls = [(kubernetes.deployment, kubernetes.service, inner["backend"])]
    ingresses: list[tuple[str, str, str, str, str, Paths]] = [
        ("backend", kubernetes.ingress, host, kubernetes.service, inner["backend"], OPEN_PATHS)
    ]
    if dashboard:
        tls.append(("face-auth-dashboard", "face-auth-dashboard", inner["dashboard"]))
        site = ("dashboard", "face-auth-dashboard", dashboard, "face-auth-dashboard", inner["dashboard"], (("Prefix", "/"),))
        ingresses.append(site)
    return {
        "host": host,
        "hosts": [name for _, name in parts],
        "dashboard_host": dashboard or inner["dashboard"],
        "published_dashboard": dashboard is not None,
        "parts_by_host": parts,
        "tls_backends": tls,
        "ingresses": ingresses,
    }
