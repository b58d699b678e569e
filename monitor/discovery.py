"""A fleet whose backends come and go: each name that has several addresses becomes one backend per address.

In a cluster the pods have no names that last, but their headless Service has one that resolves to all of them. This writes the
fleet file that the monitor reads from one that names the Service; the monitor notices that it changed, as it always does.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import yaml

from monitor.fleet import Fleet
from monitor.fleet_file import FleetFileError, parse, read

Lookup = Callable[[str, int], list[str]]


def addresses(host: str, port: int) -> list[str]:
    """Every address of the name, in a stable order; none where it has none at present, or nobody can say."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # the second: it is no name that can be looked up
        return []
    return sorted({str(one[4][0]) for one in found})


def expanded(fleet: Fleet, lookup: Lookup) -> dict[str, Any]:
    """The fleet as data, with a backend for each address that a backend's name has: ``pod`` becomes ``pod-10-1-0-7``, …

    What stands with an address already stays as it is. `backends` is empty where no name has an address.
    """
    data = fleet.model_dump(mode="json", exclude_defaults=True)
    data["backends"] = [one for row in data["backends"] for one in _each(row, lookup)]
    return data


def _each(row: dict[str, Any], lookup: Lookup) -> list[dict[str, Any]]:
    host, _, port = row["address"].rpartition(":")
    if _is_number(host):
        return [row]
    scheme = row["url"].partition("://")[0]
    found = []
    for address in lookup(host, int(port)):
        place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        word = address.replace(".", "-").replace(":", "-").strip("-")
        found.append(row | {"name": f"{row['name']}-{word}", "address": place, "url": f"{scheme}://{place}"})
    return found


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def refresh(source: Path, out: Path, lookup: Lookup = addresses) -> bool:
    """Look once; write `out` where it changed. False where no backend was found: then the last known fleet stays.

    Nobody found is not an empty fleet: the name service may be away, and the monitor must go on watching who was there.

    Raises:
        FleetFileError: `source` is wrong, or what came of it.
        OSError: `out` cannot be written.
    """
    data = expanded(read(source), lookup)
    if not data["backends"]:
        return False
    text = yaml.safe_dump(data, sort_keys=False).encode()
    parse(text, path=out)
    if not out.exists() or out.read_bytes() != text:
        _replace(out, text)
    return True


def follow(source: Path, out: Path, *, every_s: float, stop: Event, say: Callable[[str], None]) -> None:
    """`refresh` until told to stop. What goes wrong is said once, and tried again."""
    said = ""
    while not stop.is_set():
        try:
            wrong = "" if refresh(source, out) else "no backend's name has an address at present"
        except (FleetFileError, OSError) as error:
            wrong = str(error)
        if wrong and wrong != said:
            say(wrong)
        said = wrong
        stop.wait(every_s)


def _replace(file: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
        Path(name).replace(file)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise
