"""What a fleet asks for that its balancer cannot do, and the nearest thing that it can. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from deploy.sentence import Sentence
from monitor.fleet import Backend, BalancerKind, Fleet, Strategy

WRONG_FLEET = 2
HOST = re.compile(r"^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$|^\[?[0-9a-fA-F:]+\]?$")
UNQUOTABLE = re.compile(r"[\x00-\x1f\x7f\"'$\\]")

Value = TypeVar("Value")


def check(fleet: Fleet) -> None:
    """Raises `Sentence` (status 2) with one line per thing to change."""
    found = list(refusals(fleet))
    if found:
        raise Sentence("\n".join(found), status=WRONG_FLEET)


def refusals(fleet: Fleet) -> Iterator[str]:
    """One line per thing that the fleet's balancer cannot do: its place in the file, and what to change."""
    yield from (*names(fleet), *_paths(fleet), *_zones(fleet), *_BY_KIND[fleet.balancer.kind](fleet))


def names(fleet: Fleet) -> Iterator[str]:
    named = {
        "balancer.server_name": fleet.balancer.server_name,
        "balancer.backend_server_name": fleet.balancer.backend_server_name,
    }
    named |= {f"backends.{backend.name}.server_name": backend.server_name for backend in fleet.backends}
    for place, name in named.items():
        if name is not None and not HOST.match(name):
            yield f"{place}: {name!r} is not a host name"


def _paths(fleet: Fleet) -> Iterator[str]:
    balancer = fleet.balancer
    fields: dict[str, Path | None] = {
        f"balancer.{name}": getattr(balancer, name) for name in ("cert_file", "key_file", "access_log", "error_log")
    }
    fields |= {f"backends.{backend.name}.ca_file": backend.ca_file for backend in fleet.backends}
    for place, path in fields.items():
        if path is not None and UNQUOTABLE.search(str(path)):
            yield f"{place}: a configuration file cannot carry a path with quotes, backslashes or dollar signs"


def _zones(fleet: Fleet) -> Iterator[str]:
    zone = fleet.balancer.zone
    if zone is not None and all(backend.zone != zone for backend in fleet.backends):
        zones = ", ".join(sorted({backend.zone for backend in fleet.backends}))
        yield f"balancer.zone: no backend is in zone {zone!r}: name one of {zones}, or leave it out"


def nothing(fleet: Fleet) -> Iterator[str]:
    yield "balancer.kind: the fleet has no balancer, so there is nothing to render: choose nginx or haproxy"


def _nginx(fleet: Fleet) -> Iterator[str]:
    balancer = fleet.balancer
    if balancer.strategy is Strategy.ip_hash and balancer.zone is not None and several(fleet, lambda b: b.zone):
        yield (
            "balancer.zone: nginx has no backup servers beside a hash of the address; "
            "nearest: strategy least_connections with zone, or ip_hash without zone, or kind haproxy"
        )
    if several(fleet, lambda b: b.tls):
        yield "backends: nginx speaks either https or http to all of them; nearest: https for all"
    if any(backend.tls for backend in fleet.backends):
        if balancer.backend_server_name is None and several(fleet, lambda b: b.server_name):
            yield (
                "balancer.backend_server_name: nginx verifies one name for all backends and theirs differ; nearest: "
                "a common name in every certificate, given here, or kind haproxy, which verifies each one's own"
            )
        if several(fleet, lambda b: b.ca_file):
            yield "backends: nginx trusts one ca_file for all of them; nearest: one file with all the CAs, given to each"
    if balancer.cert_file is None or balancer.key_file is None:
        yield "balancer.cert_file, balancer.key_file: nginx needs both: the chain and its key"


def _haproxy(fleet: Fleet) -> Iterator[str]:
    if fleet.balancer.cert_file is None:
        yield "balancer.cert_file: HAProxy needs the file that holds chain and key together"
    if fleet.balancer.key_file is not None:
        yield "balancer.key_file: HAProxy reads both from one file; nearest: `cat` chain and key into cert_file, no key_file"


def several(fleet: Fleet, of: Callable[[Backend], Value]) -> bool:
    return len({of(backend) for backend in fleet.backends}) > 1


_BY_KIND: dict[BalancerKind, Callable[[Fleet], Iterator[str]]] = {
    BalancerKind.none: nothing,
    BalancerKind.nginx: _nginx,
    BalancerKind.haproxy: _haproxy,
}
