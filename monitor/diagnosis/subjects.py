"""Which target a person means: one of the fleet file by its name, or a URL that is written out."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

from monitor.addresses import refuse
from monitor.balancer.place import balancer_target
from monitor.certificates.judgement import Limits
from monitor.diagnosis.diagnose import Subject
from monitor.fleet import Fleet
from monitor.probe.connection import Target

PORTS = {"http": 80, "https": 443}
BALANCER = "balancer"


class NoSuchTarget(ValueError):
    """Nothing in the fleet file has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no backend {name[:80]!r} in the fleet file, and it is not `{BALANCER}`")


def in_fleet(name: str, described: Fleet) -> Subject:
    """A backend, or the balancer. Raises `NoSuchTarget`."""
    limits = Limits(described.certificates.warn_days, described.certificates.critical_days)
    backend = described.backend(name)
    if backend is not None:
        target = Target.of(url=backend.url, address=backend.address, server_name=backend.server_name, ca_file=backend.ca_file)
        return Subject(backend.url, target, described.service, limits)
    balancer = balancer_target(described.balancer) if name == BALANCER else None
    if balancer is None:
        raise NoSuchTarget(name)
    scheme = "https" if balancer.tls else "http"
    url = described.balancer.url or f"{scheme}://{balancer.address}"
    return Subject(url, balancer, described.service, limits, balancer=True)


def of_url(
    url: str,
    *,
    address: str | None = None,
    server_name: str | None = None,
    ca_file: Path | None = None,
    service: str = "face-auth-system",
    described: Fleet | None = None,
    allowed: Collection[str] = (),
) -> Subject:
    """What a URL says; a URL of the fleet file is that target, with its name and CA.

    Raises:
        ValueError: not an http or https URL, a credential in it, or a port that is none.
        AddressRefused: a ValueError too; a link-local or metadata address that the fleet file does not allow.
    """
    plain = url.rstrip("/")
    if described is not None and address is None and server_name is None:
        known = next((backend.name for backend in described.backends if backend.url == plain), None)
        if known is None and described.balancer.url == plain and balancer_target(described.balancer) is not None:
            known = BALANCER
        if known is not None:
            return in_fleet(known, described)
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname or not url.isprintable() or " " in url:
        raise ValueError("give an http:// or https:// URL")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("a URL here carries no credential and no query")
    refuse(parts.hostname, allowed=[*allowed, *(described.allow_addresses if described else ())])
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = address or f"{host}:{parts.port if parts.port is not None else PORTS[parts.scheme]}"
    if not place.rpartition(":")[2].isdigit() or not 1 <= int(place.rpartition(":")[2]) <= 65535:
        raise ValueError("give the address as host:port, with a port from 1 to 65535")
    target = Target(place, server_name or parts.hostname, parts.netloc, parts.scheme == "https", ca_file)
    return Subject(plain, target, described.service if described else service)
