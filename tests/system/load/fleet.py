"""The real fleet under a load test: its balancer as a client, its people, a photograph to send."""

from __future__ import annotations

import argparse
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.system.running_fleet import ROOT, Fleet, running_fleet

FACES = ROOT.parent / "shared" / "testdata" / "faces"


@contextmanager
def fleet_behind(balancer: str, strategy: str = "least_connections") -> Iterator[tuple[Fleet, Path]]:
    """A fleet of three with the demo's people and no traffic of its own, and a folder to write to."""
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        with running_fleet(where / "run", "--balancer", balancer, "--strategy", strategy, "--no-traffic") as fleet:
            yield fleet, where


def client(fleet: Fleet, url: str | None = None) -> httpx.Client:
    """Through the balancer (or at `url`), as a client of the API."""
    access = fleet.access
    return httpx.Client(
        base_url=url or access["balancer"], verify=ssl.create_default_context(cafile=access["ca"]), timeout=60,
        headers={"Authorization": f"Bearer {access['keys']['client']}"},
    )  # fmt: skip


def photographs() -> list[Path]:
    """One of each person of the test data."""
    return [sorted(person.glob("*.jp*g"))[0] for person in sorted(FACES.iterdir()) if list(person.glob("*.jp*g"))]


def subjects(fleet: Fleet) -> int:
    """How many are enrolled, by the first backend's word."""
    with fleet.backend("b1", key="client") as api:
        return api.subjects(limit=1).total


def somebody(fleet: Fleet) -> str:
    with fleet.backend(key="client") as api:
        return api.subjects(limit=1).items[0].id


def balancer_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lb", choices=("nginx", "haproxy"), required=True)
