"""What a fleet asks for that a Kubernetes cluster cannot do, and the nearest thing that it can. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from deploy.render import refuse
from monitor.fleet import Fleet
from monitor.fleet_alerts import is_reference
from monitor.fleet_platforms import Kubernetes

DNS_NAME = re.compile(r"^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$")


def refusals(fleet: Fleet) -> Iterator[str]:
    """One line per thing to change: its place in the file, the reason, the nearest choice."""
    kubernetes = fleet.kubernetes or Kubernetes()
    yield from _names(fleet)
    yield from _backends(fleet)
    yield from _files(fleet)
    yield from _own_names(kubernetes)
    if fleet.probes.start_budget_s < kubernetes.start_budget_s:
        yield (
            "probes.start_budget_s: the monitor would call a pod degraded that may still be loading; "
            f"nearest: {kubernetes.start_budget_s}, as kubernetes.start_budget_s"
        )


def _names(fleet: Fleet) -> Iterator[str]:
    name = fleet.balancer.server_name
    if not DNS_NAME.match(name) or name.replace(".", "").isdigit():
        yield f"balancer.server_name: a route needs a DNS name in lower case with a dot, and {name!r} is none"
    if fleet.dashboard is None:
        return
    url = urlsplit(fleet.dashboard.url)
    host = url.hostname or ""
    if url.scheme != "https" or not DNS_NAME.match(host) or host.replace(".", "").isdigit():
        yield "dashboard.url: in a cluster it is published as https:// and a DNS name of its own"
    elif host == name:
        yield "dashboard.url: it needs a host name of its own, beside balancer.server_name"


def _backends(fleet: Fleet) -> Iterator[str]:
    if refuse.several(fleet, lambda backend: backend.weight):
        yield "backends: the pods of a Deployment are alike and get no weights; nearest: weight 100 for all"
    if refuse.several(fleet, lambda backend: backend.region):
        yield "backends: a cluster stands in one region; nearest: a fleet file and a cluster for each, the DNS before them"


def _files(fleet: Fleet) -> Iterator[str]:
    """Files of a host that a pod does not have."""
    for number, route in enumerate(fleet.alerts.routes):
        if is_reference(route.url) and route.url.startswith("file:"):
            yield f"alerts.routes.{number}.url: a pod has no such file; nearest: env:NAME, of the Secret face-auth-alerts"
    heartbeat = fleet.alerts.heartbeat
    if heartbeat is not None and heartbeat.url.startswith("file:"):
        yield "alerts.heartbeat.url: a pod has no such file; nearest: env:NAME, of the Secret face-auth-alerts"
    for number, watched in enumerate(fleet.certificates.watch):
        if watched.file is not None or watched.ca_file is not None:
            yield f"certificates.watch.{number}: a pod has no such file; nearest: address and server_name, publicly trusted"
    if fleet.synthetic is not None:
        yield (
            "synthetic: its photographs and its key are files of this host; nearest: leave it out here, and mount them with "
            "an overlay of your own"
        )


def _own_names(kubernetes: Kubernetes) -> Iterator[str]:
    taken = {"face-auth-monitor", "face-auth-dashboard", "face-auth-pods"}
    for field in ("deployment", "service"):
        name = getattr(kubernetes, field)
        if name in taken:
            usual = Kubernetes.model_fields[field].default
            yield f"kubernetes.{field}: {name} is the name of another part; nearest: {usual}"
    if kubernetes.tls_name in ("face-auth-backend-tls", "face-auth-dashboard-tls", "face-auth-ca"):
        yield f"kubernetes.tls_name: {kubernetes.tls_name} holds another certificate; nearest: face-auth-tls"
