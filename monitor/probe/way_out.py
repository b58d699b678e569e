"""Is it the monitor's own way out? Its gateway and a reference URL, asked when most of the fleet seems to fail at once.

A gateway is judged by whether it answers on the link (ARP): many answer nothing else. What cannot be told is no fault: no default
route, a link without ARP, a system without `/proc/net`. A reference that refuses, or answers whatever, was reached.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from pathlib import Path

from monitor.probe.connection import Target, TrustStore
from monitor.probe.outcome import Reason
from monitor.probe.round import fetch

ROUTES, NEIGHBOURS = Path("/proc/net/route"), Path("/proc/net/arp")
COMPLETE = 0x2
UP_AND_GATEWAY = 0x3
GATEWAY_S, GATEWAY_LOOKS = 1.5, 15
REFERENCE_S = 2.0
# The answer holds so long for everybody who asks: many backends fail within one tick.
HOLDS_S = 2.0
NOT_REACHED = ("NET.TIMEOUT.", "NET.UNREACHABLE", "NET.DNS", "NET.FORBIDDEN")


class WayOut:
    """Remembers its last answer for a moment; concurrent askers share one look."""

    def __init__(self, trust: TrustStore) -> None:
        self._trust = trust
        self._lock = asyncio.Lock()
        self._looked_at = float("-inf")
        self._found: Reason | None = None

    async def fault(self, reference: Target | None) -> Reason | None:
        """Why what the monitor sees says nothing about the fleet; None where nothing is wrong on its side."""
        async with self._lock:
            if time.monotonic() - self._looked_at > HOLDS_S:
                self._found = await self._look(reference)
                self._looked_at = time.monotonic()
            return self._found

    async def _look(self, reference: Target | None) -> Reason | None:
        if await gateway_answers() is False:
            return Reason("MON.GATEWAY", "the monitor's own gateway does not answer: what it sees says nothing about the fleet")
        if reference is None:
            return None
        got = await fetch("/", reference, self._trust, deadline_s=REFERENCE_S)
        if isinstance(got, Reason) and got.code.startswith(NOT_REACHED):
            return Reason("MON.REFERENCE", f"the reference URL cannot be reached either: {got.detail}")
        return got if isinstance(got, Reason) and got.is_ours else None


async def gateway_answers(*, routes: Path = ROUTES, neighbours: Path = NEIGHBOURS) -> bool | None:
    """Whether the gateway of the default route answers on its link; None where that cannot be told."""
    gateway = default_gateway(_text(routes))
    if gateway is None:
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as knock:
        knock.setblocking(False)
        try:
            knock.sendto(b"", (gateway, 9))  # the discard port: the kernel must ask for the gateway's link address
        except OSError:
            return None
    known: bool | None = None
    for _ in range(GATEWAY_LOOKS):
        known = is_neighbour(gateway, _text(neighbours))
        if known is not False:
            break
        await asyncio.sleep(GATEWAY_S / GATEWAY_LOOKS)
    return known


def default_gateway(routes: str) -> str | None:
    """From `/proc/net/route`: addresses are hexadecimal, in the machine's byte order."""
    for line in routes.splitlines()[1:]:
        parts = line.split()
        if len(parts) > 7 and parts[1] == parts[7] == "00000000" and int(parts[3], 16) & UP_AND_GATEWAY == UP_AND_GATEWAY:
            return str(ipaddress.IPv4Address(socket.htonl(int(parts[2], 16))))
    return None


def is_neighbour(address: str, neighbours: str) -> bool | None:
    """From `/proc/net/arp`: whether its link address is known; None where it is not listed (a link without ARP)."""
    found = [line.split() for line in neighbours.splitlines()[1:]]
    flags = [int(parts[2], 16) for parts in found if len(parts) > 2 and parts[0] == address]
    return None if not flags else any(flag & COMPLETE for flag in flags)


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return ""
