"""Each strategy as rendered, on real nginx and HAProxy: whom it sends requests to is what it promises."""

from __future__ import annotations

import ssl
import threading
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.deploy.conftest import Running, running
from tests.deploy.fleets import eventually

KINDS = pytest.mark.parametrize("kind", ["nginx", "haproxy"])
ADDRESSES = [f"127.0.1.{number}" for number in range(1, 41)]


def served(balancer: Running, count: int, *, address: str | None = None) -> Counter[str]:
    """Who answered that many requests, one after the other, from one client address."""
    options = {"transport": httpx.HTTPTransport(verify=_trust(balancer), local_address=address)} if address else {}
    with balancer.client(**options) as client:
        return Counter(client.get("/v1/x").headers["x-served-by"] for _ in range(count))


def _trust(balancer: Running) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(balancer.ca_file))


@KINDS
def test_round_robin_sends_to_each_in_turn(kind: str, tmp_path: Path) -> None:
    with running(kind, tmp_path / kind, strategy="round_robin") as balancer:
        counts = served(balancer, 90)
    assert set(counts) == {"b1", "b2", "b3"}
    assert max(counts.values()) - min(counts.values()) <= 2, counts


@KINDS
def test_round_robin_goes_by_weight(kind: str, tmp_path: Path) -> None:
    with running(kind, tmp_path / kind, strategy="round_robin", weights={"b1": 200, "b2": 100, "b3": 100}) as balancer:
        counts = served(balancer, 80)
    assert abs(counts["b1"] - 40) <= 2, counts
    assert abs(counts["b2"] - 20) <= 2, counts


@KINDS
def test_least_connections_sends_nothing_more_to_who_is_busy_while_others_are_free(kind: str, tmp_path: Path) -> None:
    with running(kind, tmp_path / kind, strategy="least_connections") as balancer:
        busy = balancer.backends[0]
        busy.going.clear()
        threads: list[threading.Thread] = []
        try:
            while not busy.calls and len(threads) < 9:
                threads.append(threading.Thread(target=served, args=(balancer, 1), daemon=True))
                threads[-1].start()
                eventually(lambda: sum(len(one.calls) for one in balancer.backends) >= len(threads), within_s=5)
            assert len(busy.calls) == 1
            counts = served(balancer, 30)
        finally:
            busy.going.set()
            for thread in threads:
                thread.join(20)
    assert set(counts) == {"b2", "b3"}, counts


@KINDS
def test_a_hash_keeps_an_address_with_one_backend_and_spreads_addresses(kind: str, tmp_path: Path) -> None:
    """Addresses of one /24: nginx' own `ip_hash` would take them for one client."""
    with running(kind, tmp_path / kind, strategy="ip_hash") as balancer:
        by_address = {address: served(balancer, 3, address=address) for address in ADDRESSES}
    assert all(len(counts) == 1 for counts in by_address.values())
    assert {name for counts in by_address.values() for name in counts} == {"b1", "b2", "b3"}
