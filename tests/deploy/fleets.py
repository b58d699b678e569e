"""Fleets for tests: valid ones, from which a test changes what it is about."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from deploy.local.certificates import LocalCa
from monitor.fleet import Fleet

COMMON_NAME = "backend.face-auth.internal"
Value = TypeVar("Value")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(probe: Callable[[], Value], *, within_s: float, every_s: float = 0.05) -> Value:
    """The first true value of `probe`; fails after `within_s`."""
    until = time.monotonic() + within_s
    while True:
        found = probe()
        if found:
            return found
        assert time.monotonic() < until, f"not within {within_s} s (last: {found!r})"
        time.sleep(every_s)


def fleet_data(folder: Path, kind: str, **balancer: Any) -> dict[str, Any]:
    """A fleet of three on fixed addresses, with real certificates in `folder`."""
    ca = LocalCa(folder)
    certificate, key = ca.leaf("balancer", ["face-auth.internal"])
    files = (
        {"cert_file": str(certificate), "key_file": str(key)} if kind == "nginx" else {"cert_file": str(ca.combined("balancer"))}
    )
    return {
        "version": 1,
        "balancer": {
            "kind": kind, "url": f"https://127.0.0.1:{free_port()}", "server_name": "face-auth.internal",
            "listen": f"127.0.0.1:{free_port()}", "redirect_listen": f"127.0.0.1:{free_port()}",
            "stats_address": f"127.0.0.1:{free_port()}", "backend_server_name": COMMON_NAME, "rate_per_client": 1000,
            "access_log": str(folder / "access.log"), "error_log": str(folder / "error.log"), **files, **balancer,
        },
        "backends": [
            {
                "name": f"b{number}", "url": f"https://127.0.0.1:{7000 + number}", "address": f"127.0.0.1:{7000 + number}",
                "server_name": f"b{number}.face-auth.internal", "ca_file": str(ca.file), "zone": "a" if number < 3 else "b",
            }
            for number in (1, 2, 3)
        ],
    }  # fmt: skip


def fleet(data: dict[str, Any]) -> Fleet:
    return Fleet.from_data(data, base=Path("/"))
