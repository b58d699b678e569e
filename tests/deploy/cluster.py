"""What the tests read of deploy/kubernetes: an overlay built by the real kubectl, its objects, what its policies let pass."""

from __future__ import annotations

import ipaddress
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.layout import ROOT
from tests.deploy.tools import install

COMMITTED = ROOT / "deploy" / "kubernetes"
Object = dict[str, Any]


@cache
def built(name: str, folder: Path = COMMITTED) -> tuple[Object, ...]:
    """Every object of an overlay, as `kubectl apply -k` would send it."""
    return tuple(yaml.safe_load_all(text(name, folder)))


@cache
def text(name: str, folder: Path = COMMITTED) -> str:
    if not install.KUBECTL.exists():
        pytest.skip("kubectl is not here: `make tools`")
    command = [str(install.KUBECTL), "kustomize", str(folder / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def of_kind(objects: tuple[Object, ...], *kinds: str) -> dict[str, Object]:
    return {one["metadata"]["name"]: one for one in objects if one["kind"] in kinds}


def pods(objects: tuple[Object, ...]) -> dict[str, Object]:
    """The pod template of everything that makes pods, by its name."""
    return {name: one["spec"]["template"] for name, one in of_kind(objects, "Deployment", "Job").items()}


def containers(pod: Object) -> list[Object]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


@dataclass(frozen=True)
class End:
    """One end of a connection: a pod by its labels and namespace, or an address outside the cluster."""

    labels: tuple[tuple[str, str], ...] = ()
    namespace: str = "face-auth"
    address: str | None = None


def end(objects: tuple[Object, ...], name: str) -> End:
    return End(tuple(pods(objects)[name]["metadata"]["labels"].items()))


def passes(objects: tuple[Object, ...], sender: End, receiver: End, port: int, protocol: str = "TCP") -> bool:
    """Whether the policies let `sender` connect to `receiver`: both ends must agree, where a policy selects them."""
    policies = list(of_kind(objects, "NetworkPolicy").values())
    return _agrees(policies, sender, receiver, "Egress", port, protocol) and _agrees(
        policies, receiver, sender, "Ingress", port, protocol
    )


def _agrees(policies: list[Object], own: End, other: End, way: str, port: int, protocol: str) -> bool:
    if own.address is not None or own.namespace != "face-auth":
        return True
    mine = [
        one["spec"] for one in policies if way in one["spec"]["policyTypes"] and _selects(one["spec"]["podSelector"], own.labels)
    ]
    rules = [rule for spec in mine for rule in spec.get(way.lower(), [])]
    return not mine or any(_rule(rule, other, way, port, protocol) for rule in rules)


def _rule(rule: Object, other: End, way: str, port: int, protocol: str) -> bool:
    ports = rule.get("ports")
    if ports is not None and not any(one["port"] == port and one.get("protocol", "TCP") == protocol for one in ports):
        return False
    peers = rule.get("to" if way == "Egress" else "from")
    return peers is None or any(_peer(peer, other) for peer in peers)


def _peer(peer: Object, other: End) -> bool:
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        outside = other.address is not None and ipaddress.ip_address(other.address) in ipaddress.ip_network(block["cidr"])
        return outside and not any(
            ipaddress.ip_address(other.address or "") in ipaddress.ip_network(one) for one in block.get("except", [])
        )
    if other.address is not None:
        return False
    named = (("kubernetes.io/metadata.name", other.namespace),)
    if "namespaceSelector" in peer:
        return _selects(peer["namespaceSelector"], named) and _selects(peer.get("podSelector", {}), other.labels)
    return other.namespace == "face-auth" and _selects(peer["podSelector"], other.labels)


def _selects(selector: Object, labels: tuple[tuple[str, str], ...]) -> bool:
    have = dict(labels)
    exact = all(have.get(name) == value for name, value in selector.get("matchLabels", {}).items())
    return exact and all(_expression(one, have) for one in selector.get("matchExpressions", []))


def _expression(one: Object, have: dict[str, str]) -> bool:
    assert one["operator"] == "In", "the only one that is used"
    return have.get(one["key"]) in one["values"]


def references(pod: Object) -> Iterator[tuple[str, str]]:
    """(kind, name) of each Secret, ConfigMap and claim that a pod cannot start without."""
    for volume in pod["spec"].get("volumes", []):
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"]
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
    for container in containers(pod):
        for source in container.get("envFrom", []):
            for kind, key in (("Secret", "secretRef"), ("ConfigMap", "configMapRef")):
                if key in source:
                    yield kind, source[key]["name"]
