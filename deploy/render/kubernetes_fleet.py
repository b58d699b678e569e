"""The fleet file that the monitor gets inside a cluster: the operator's own, with the pods' Service in the place of its hosts."""

from __future__ import annotations

from typing import Any

import yaml

from monitor.fleet import Fleet
from monitor.fleet_platforms import Kubernetes

CA_FILE = "/etc/face-auth/tls/ca.crt"
DRAIN_KEY = "file:/etc/face-auth/secrets/drain.key"
KEPT = ("service", "probes", "certificates", "alerts", "drift", "allow_addresses")
PUBLIC = "public"


def server_name(kubernetes: Kubernetes) -> str:
    """The name in every backend's certificate: all are one Deployment's, so it is one."""
    return f"{kubernetes.service}.{kubernetes.namespace}.svc"


def text(fleet: Fleet, kubernetes: Kubernetes) -> str:
    """YAML. Of the operator's file it keeps what was said there and is the monitor's concern; defaults stay defaults."""
    said = fleet.model_dump(mode="json", exclude_defaults=True)
    data: dict[str, Any] = {"version": 1} | {name: said[name] for name in KEPT if name in said}
    data["backends"] = [_pods(fleet, kubernetes)]
    data["drain"] = {"key": DRAIN_KEY}
    watch = [{"name": PUBLIC, "address": f"{fleet.balancer.server_name}:443", "server_name": fleet.balancer.server_name}]
    certificates = data.setdefault("certificates", {})
    certificates["watch"] = watch + [one for one in certificates.get("watch", []) if one["name"] != PUBLIC]
    return yaml.safe_dump(data, sort_keys=False, width=120)


def _pods(fleet: Fleet, kubernetes: Kubernetes) -> dict[str, str]:
    """What `python -m monitor discover` copies for each address that the name has."""
    address = f"face-auth-pods.{kubernetes.namespace}.svc:8000"
    return {
        "name": "pod",
        "url": f"https://{address}",
        "address": address,
        "server_name": server_name(kubernetes),
        "ca_file": CA_FILE,
        "region": fleet.backends[0].region,
    }
