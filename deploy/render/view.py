"""What the templates see of a fleet: values ready to be written, in the balancer's own terms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deploy.render.place import Place
from deploy.render.problem import MEDIA_TYPE, refusals
from monitor.fleet import Backend, Fleet

BODY_MB = 32
"""Two photographs of the largest size in base64, and some room. A body is held in memory as a whole (never a temporary file)."""
BURST_S = 4
"""For how many seconds' worth of requests one client may run ahead of its rate."""
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
SYSTEM_CAS = Path("/etc/ssl/certs/ca-certificates.crt")

# Mozilla's guideline 6.0, "intermediate", without the DHE suites: TLS 1.2 and 1.3, six ECDHE AEAD suites.
TLS12_SUITES = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
TLS13_SUITES = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
CURVES = "X25519:prime256v1:secp384r1"

DOCS_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
)
API_POLICY = "default-src 'none'; frame-ancestors 'none'"


@dataclass(frozen=True)
class Server:
    name: str
    address: str
    server_name: str
    ca_file: str | None
    tls: bool
    weight: int
    backup: bool
    down: bool = False
    """taken out by hand, where the balancer asks nobody"""


@dataclass(frozen=True)
class DashboardSite:
    """A dashboard that is published under a name of its own by the same balancer."""

    name: str
    port: str
    """as it stands behind the name in its URL: empty, or `:8443`"""
    address: str


def view(fleet: Fleet, place: Place, *, down: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Everything that a template may ask for; `down`: who is taken out of service in nginx."""
    balancer = fleet.balancer
    return {
        "fleet": fleet,
        "balancer": balancer,
        "probes": fleet.probes,
        "place": place,
        "servers": _servers(fleet, down),
        "tls_upstream": any(backend.tls for backend in fleet.backends),
        "upstream_name": balancer.backend_server_name or fleet.backends[0].server_name,
        "upstream_ca": fleet.backends[0].ca_file or SYSTEM_CAS,
        "system_cas": SYSTEM_CAS,
        "names": _names(fleet),
        "https_port": _port(balancer.listen),
        "redirect_to": _redirect_to(fleet),
        "dashboard": _dashboard(fleet),
        "refusals": refusals(BODY_MB),
        "problem_type": MEDIA_TYPE,
        "body_mb": BODY_MB,
        "body_bytes": BODY_MB * 1024 * 1024,
        "burst": balancer.rate_per_client * BURST_S,
        "burst_s": BURST_S,
        "tls12_suites": TLS12_SUITES,
        "tls13_suites": TLS13_SUITES,
        "curves": CURVES,
        "api_policy": API_POLICY,
        "docs_policy": DOCS_POLICY,
    }


def _servers(fleet: Fleet, down: frozenset[str]) -> list[Server]:
    divisor = math.gcd(*(backend.weight for backend in fleet.backends))
    return [_server(backend, fleet, divisor, backend.name in down) for backend in fleet.backends]


def _server(backend: Backend, fleet: Fleet, divisor: int, down: bool) -> Server:
    zone = fleet.balancer.zone
    return Server(
        name=backend.name,
        address=backend.address,
        server_name=backend.server_name,
        ca_file=str(backend.ca_file) if backend.ca_file else None,
        tls=backend.tls,
        weight=backend.weight // divisor,
        backup=zone is not None and backend.zone != zone,
        down=down,
    )


def _names(fleet: Fleet) -> list[str]:
    """Host names under which the API is served; anything else is not answered."""
    names = [fleet.balancer.server_name]
    host = urlsplit(fleet.balancer.url).hostname if fleet.balancer.url else None
    if host is not None:
        names += LOCAL_NAMES if host in ("localhost", "127.0.0.1", "::1") else [host]
    return list(dict.fromkeys(names))


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _redirect_to(fleet: Fleet) -> str:
    """Port suffix of the https address: empty where it is the usual one."""
    published = urlsplit(fleet.balancer.url).port if fleet.balancer.url else _port(fleet.balancer.listen)
    return "" if published in (None, 443) else f":{published}"


def _dashboard(fleet: Fleet) -> DashboardSite | None:
    if fleet.dashboard is None:
        return None
    url = urlsplit(fleet.dashboard.url)
    if url.scheme != "https" or not url.hostname or url.hostname in _names(fleet):
        return None
    return DashboardSite(url.hostname, "" if url.port in (None, 443) else f":{url.port}", fleet.dashboard.address)
