"""The fleet file of a local fleet: the only place where its addresses stand, for the monitor and for `render`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from deploy.layout import BACKENDS, Ports, RunFolder

BACKENDS_NAME = "backend.face-auth.internal"
"""Stands in every backend's certificate beside its own name, because nginx verifies one name for all."""
BALANCER_NAME = "face-auth.internal"
HEADER = "# Written by `python -m deploy up` at each start; docs: deploy/fleet.example.yaml.\n"
STRATEGIES = ("least_connections", "round_robin", "ip_hash")
RATE_PER_CLIENT = 1000
"""Everything here comes from one address: the demo, the tests, a load test by hand."""


def server_name(backend: str) -> str:
    return f"{backend}.face-auth.internal"


def fleet_data(run: RunFolder, ports: Ports, balancer: str, strategy: str = STRATEGIES[0]) -> dict[str, Any]:
    """The content of `fleet.yaml`; paths are relative to the run folder."""
    return {
        "version": 1,
        "balancer": _balancer(run, ports, balancer, strategy),
        "backends": [_backend(name, ports) for name in BACKENDS],
        "dashboard": {"url": f"http://127.0.0.1:{ports.dashboard}", "address": f"127.0.0.1:{ports.dashboard}"},
        # rise × fast interval after a start, fall × interval for a fault: seconds that a person at the screen will wait
        "probes": {"interval_s": 2, "fast_interval_s": 1, "down_interval_s": 2, "deadline_s": 1.0, "fall": 3, "rise": 2},
        "certificates": {"check_interval_s": 30},
        "drain": {"key": f"file:{_below(run, run.drain_key)}"},
    }


def _balancer(run: RunFolder, ports: Ports, kind: str, strategy: str) -> dict[str, Any]:
    if kind == "none":
        return {"kind": "none"}
    stats = ports.nginx_status if kind == "nginx" else ports.haproxy_stats
    files = (
        {"cert_file": "certs/balancer-cert.pem", "key_file": "certs/balancer-key.pem"}
        if kind == "nginx"
        else {"cert_file": "certs/balancer-combined.pem"}
    )
    return {
        "kind": kind,
        "strategy": strategy,
        "url": f"https://127.0.0.1:{ports.balancer}",
        "listen": f"127.0.0.1:{ports.balancer}",
        "redirect_listen": f"127.0.0.1:{ports.redirect}",
        "server_name": BALANCER_NAME,
        "ca_file": _below(run, run.ca_file),
        **files,
        "stats_address": f"127.0.0.1:{stats}",
        "access_log": f"logs/{kind}.access.log" if kind == "nginx" else "logs/haproxy.log",
        "error_log": f"logs/{kind}.error.log",
        "backend_server_name": BACKENDS_NAME,
        "rate_per_client": RATE_PER_CLIENT,
    }


def _backend(name: str, ports: Ports) -> dict[str, Any]:
    port = ports.backend(name)
    return {
        "name": name,
        "url": f"https://127.0.0.1:{port}",
        "address": f"127.0.0.1:{port}",
        "server_name": server_name(name),
        "ca_file": "certs/ca.pem",
    }


def _below(run: RunFolder, path: Path) -> str:
    return str(path.relative_to(run.path))


def text(data: dict[str, Any]) -> str:
    return HEADER + yaml.safe_dump(data, sort_keys=False)
