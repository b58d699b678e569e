"""The fleet of `compose.yaml` as a fleet file."""

from __future__ import annotations

from typing import Any

from deploy.containers.places import BACKENDS, HTTPS_PORT

BACKENDS_NAME = "backend.face-auth.internal"
BALANCER_NAME = "face-auth.internal"
DASHBOARD_HOST = "dashboard.localhost"
LOG = "/var/log/face-auth/balancer.log"


def server_name(backend: str) -> str:
    return f"{backend}.face-auth.internal"


def fleet_data(kind: str = "nginx") -> dict[str, Any]:
    """Paths are relative to where a container's share is mounted."""
    nginx_files = {"cert_file": "balancer-cert.pem", "key_file": "balancer-key.pem"}
    files = nginx_files if kind == "nginx" else {"cert_file": "balancer-combined.pem"}
    return {
        "version": 1,
        "balancer": {
            "kind": kind, "strategy": "least_connections", "url": f"https://localhost:{HTTPS_PORT}",
            "server_name": BALANCER_NAME, "listen": f"0.0.0.0:{HTTPS_PORT}", "redirect_listen": "0.0.0.0:8088",
            "ca_file": "ca.pem", "access_log": LOG, "error_log": "/dev/stderr", "backend_server_name": BACKENDS_NAME,
            "rate_per_client": 1000, **files,
        },
        "backends": [
            {
                "name": name, "url": f"https://{name}:8000", "address": f"{name}:8000", "server_name": server_name(name),
                "ca_file": "ca.pem",
            }
            for name in BACKENDS
        ],
        "dashboard": {"url": f"https://{DASHBOARD_HOST}:{HTTPS_PORT}", "address": "dashboard:8501"},
        "probes": {"interval_s": 2, "fast_interval_s": 1, "down_interval_s": 2, "deadline_s": 1.5, "fall": 3, "rise": 2},
        "certificates": {"check_interval_s": 60},
        "drain": {"key": "file:drain.key"},
        "prometheus": {
            "address": "prometheus:9090", "alertmanagers": ["alertmanager:9093"], "monitor": "monitor:8600", "interval_s": 5,
        },
    }  # fmt: skip
