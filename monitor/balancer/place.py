"""Where the balancer is asked: the address on which it listens, verified by its server name."""

from __future__ import annotations

from urllib.parse import urlsplit

from monitor.fleet import Balancer, BalancerKind
from monitor.probe.connection import Target

WILDCARDS = ("0.0.0.0", "[::]", "*")  # noqa: S104 - recognised, not bound


def balancer_target(balancer: Balancer) -> Target | None:
    """None where there is no balancer. A wildcard is asked where its clients call it, or on this machine."""
    if balancer.kind is BalancerKind.none:
        return None
    parts = urlsplit(balancer.url or "")
    tls = parts.scheme == "https" if balancer.url else balancer.cert_file is not None
    host, _, port = balancer.listen.rpartition(":")
    if host in WILDCARDS:
        host = (f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname) if parts.hostname else "127.0.0.1"
    return Target(f"{host}:{port}", balancer.server_name, balancer.server_name, tls, balancer.ca_file)
