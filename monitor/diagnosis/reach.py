"""The lowest steps of a diagnosis: the name, and a bare connection to each address that it resolves to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

from monitor.addresses import AddressRefused, number_of
from monitor.probe.connection import Target
from monitor.probe.outcome import Reason, Stage
from monitor.probe.reasons import of_exception, of_timeout
from monitor.probe.resolve import resolved


@dataclass(frozen=True)
class Tried:
    """One thing that was tried: why it failed (None: it did not), how long it took, and what to say where it did not fail."""

    reason: Reason | None
    took_ms: float
    said: str = ""


async def look_up(target: Target, *, allowed: Collection[str], deadline_s: float) -> tuple[list[str], Tried]:
    """The addresses of the target's host."""
    start = time.monotonic()
    stage: Stage = "dns"
    try:
        async with asyncio.timeout(deadline_s):
            found = await resolved(target.host, target.port, allowed=allowed)
    except TimeoutError:
        return [], Tried(of_timeout(stage, deadline_s), _since(start))
    except (OSError, UnicodeError, AddressRefused) as error:
        return [], Tried(of_exception(error, stage), _since(start))
    literal = number_of(target.host) is not None
    said = "an address is given: nothing to look up" if literal else f"{target.host} is {', '.join(found)}"
    return found, Tried(None, _since(start), said)


async def connect(addresses: Sequence[str], port: int, *, deadline_s: float) -> tuple[str | None, list[Tried]]:
    """Try each address by itself: the first that took the connection, and how each went."""
    tried = [await _connect(address, port, deadline_s) for address in addresses]
    reached = next((address for address, one in zip(addresses, tried, strict=True) if one.reason is None), None)
    return reached, tried


async def _connect(address: str, port: int, deadline_s: float) -> Tried:
    start = time.monotonic()
    try:
        async with asyncio.timeout(deadline_s):
            _, writer = await asyncio.open_connection(address, port)
    except TimeoutError:
        return Tried(of_timeout("connect", deadline_s), _since(start))
    except OSError as error:
        return Tried(of_exception(error, "connect"), _since(start))
    took = _since(start)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return Tried(None, took, f"connected to {address}")


def _since(start: float) -> float:
    return round((time.monotonic() - start) * 1000, 2)
