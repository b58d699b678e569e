"""Where nothing of the monitor may ever connect: link-local addresses, clouds' metadata services, and what is no host at all.

Whoever may edit a fleet file or ask for a diagnosis must not thereby read this machine's cloud credentials. The judgement is
on numbers, in whatever spelling: decimal, hexadecimal, octal, IPv4 inside IPv6. A name is judged twice: as it is written, and
by what it resolves to at the moment of connecting (`monitor.probe.resolve`), as a name may resolve elsewhere tomorrow.
Pure: no look-up here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

METADATA = {
    "169.254.169.254": "the metadata service of most clouds",
    "fd00:ec2::254": "the metadata service of AWS",
    "fd20:ce::254": "the metadata service of Google Cloud",
    "100.100.100.200": "the metadata service of Alibaba Cloud",
    "192.0.0.192": "the metadata service of Oracle Cloud",
    "168.63.129.16": "the platform service of Azure",
}
METADATA_NAMES = ("metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal")
# Prefixes that carry an IPv4 address in their last 32 bits: compatible, NAT64 (well known, local use), ISATAP aside.
EMBEDDING = tuple(ipaddress.IPv6Network(text) for text in ("::/96", "64:ff9b::/96", "64:ff9b:1::/96", "::ffff:0:0:0/96"))
_NUMERIC = re.compile(r"^(0x[0-9a-f]+|[0-9]+)(\.(0x[0-9a-f]+|[0-9]+)){0,3}$", re.IGNORECASE)


class AddressRefused(ValueError):
    """A target at which nothing of a fleet can be; `host` is what was written or what it resolved to."""

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(f"{host} is refused as a target: {reason}; if it is meant, list it in allow_addresses")
        self.host = host


def refuse(host: str, *, allowed: Collection[str] = ()) -> None:
    """Raise `AddressRefused` where `host` (a name or an address in any spelling) must not be connected to.

    `allowed` holds names and addresses that an operator let in, each by itself.
    """
    reason = refusal(host)
    if reason is not None and not _is_allowed(host, allowed):
        raise AddressRefused(host, reason)


def refusal(host: str) -> str | None:
    """Why nothing may connect there; None where it may. A name other than a cloud's own is not looked up."""
    name = _bare(host)
    if name in METADATA_NAMES:
        return "the name of a cloud's metadata service"
    address = number_of(name)
    if address is None:
        return None
    return next((reason for one in _with_embedded(address) if (reason := _refusal(one)) is not None), None)


def number_of(host: str) -> IpAddress | None:
    """The address that is spelled here, as the C library reads it (`2852039166`, `0xa9.0xfe.43518`); None for a name."""
    text = _bare(host)
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        pass
    return _as_c_reads_it(text)


def _as_c_reads_it(text: str) -> IpAddress | None:
    """`inet_aton`'s forms: one to four numbers, decimal, octal or hexadecimal, the last of which fills what is left."""
    if not _NUMERIC.match(text):
        return None
    try:
        *first, last = [int(p, 16) if p[:2] == "0x" else int(p, 8) if p[0] == "0" else int(p) for p in text.split(".")]
    except ValueError:
        return None
    if any(part > 255 for part in first) or last >= 256 ** (4 - len(first)):
        return None
    return ipaddress.IPv4Address(sum(part << (24 - 8 * place) for place, part in enumerate(first)) + last)


def is_loopback(host: str) -> bool:
    """Whether it is this machine, by its address or as `localhost`."""
    number = number_of(host)
    return number.is_loopback if number is not None else _bare(host) == "localhost"


def _refusal(address: IpAddress) -> str | None:
    known = METADATA.get(str(address))
    if known is not None:
        return known
    if address.is_link_local:
        return "a link-local address"
    if address.is_unspecified:
        return "no address of a host"
    if address.is_multicast or str(address) == "255.255.255.255":
        return "an address of many hosts"
    return None


def _with_embedded(address: IpAddress) -> list[IpAddress]:
    """The address, and the IPv4 address that a gateway would read out of it."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    bare = ipaddress.IPv6Address(int(address))  # without its zone (fe80::1%eth0)
    found: list[IpAddress] = [bare]
    if bare.ipv4_mapped is not None:
        found.append(bare.ipv4_mapped)
    if bare.sixtofour is not None:
        found.append(bare.sixtofour)
    if any(bare in network for network in EMBEDDING) and int(bare) > 0xFFFF:  # ::1 and :: embed nothing
        found.append(ipaddress.IPv4Address(int(bare) & 0xFFFFFFFF))
    return found


def _is_allowed(host: str, allowed: Collection[str]) -> bool:
    bare = _bare(host)
    return any(_bare(one) == bare or (number_of(one) is not None and number_of(one) == number_of(bare)) for one in allowed)


def _bare(host: str) -> str:
    """Lower case, without brackets, zone and the root's dot."""
    return host.strip().strip("[]").partition("%")[0].rstrip(".").lower()
