"""From a host and a port to the addresses to connect to: looked up once, judged, and then connected to as numbers.

Were the name looked up again by whoever connects, it could resolve elsewhere in between.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection, Sequence

from monitor.addresses import number_of, refuse

# What `getaddrinfo` gives: family, kind, protocol, canonical name, and the socket address whose first part counts here.
Found = Sequence[tuple[object, object, int, str, tuple[object, ...]]]


async def resolved(host: str, port: int, *, allowed: Collection[str] = ()) -> list[str]:
    """The addresses of `host`, in the resolver's order. Raises `AddressRefused`, `socket.gaierror`, `UnicodeError`."""
    refuse(host, allowed=allowed)
    number = number_of(host)
    if number is not None:
        return [str(number)]
    return _judged(host, await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM), allowed)


def resolved_now(host: str, port: int, *, allowed: Collection[str] = ()) -> list[str]:
    """As `resolved`, for a thread."""
    refuse(host, allowed=allowed)
    number = number_of(host)
    if number is not None:
        return [str(number)]
    return _judged(host, socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), allowed)


def _judged(host: str, found: Found, allowed: Collection[str]) -> list[str]:
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    if host not in allowed:
        for address in addresses:
            refuse(address, allowed=allowed)
    return addresses
