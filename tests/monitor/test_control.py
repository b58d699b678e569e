"""Telling a backend that it shall drain, while the fleet file changes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor.control import CannotTell, Control
from monitor.fleet import Fleet
from monitor.probe.connection import TrustStore
from monitor.watch import FleetWatch

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


async def _connected() -> bool:
    return True


def described(folder: Path, **ports: int) -> Fleet:
    (folder / "drain.key").write_text("fa_key\n")
    (folder / "drain.key").chmod(0o600)
    backends = [
        {"name": name, "url": f"http://127.0.0.1:{port}", "address": f"127.0.0.1:{port}", "server_name": name}
        for name, port in ports.items()
    ]
    return Fleet.model_validate({"backends": backends, "drain": {"key": "file:drain.key"}})


async def drained_while_it_leaves(folder: Path, status: bytes) -> str:
    """The backend's name in the answer to a drain, or the refusal: it is told, and before it answers it is in no fleet file."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        watch.adopt(described(folder, b2=2))
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        watch = FleetWatch(described(folder, b1=port, b2=2), own_connectivity=_connected, clock=lambda: NOW)
        control = Control(watch, TrustStore(allowed=[f"127.0.0.1:{port}"]), base=folder, clock=lambda: NOW)
        told = await control.drain("b1", by="ann", accept_left=0)
        assert told.told
        assert "b1" not in watch.backends
        return told.backend


def test_a_backend_that_leaves_the_fleet_file_while_it_is_told_is_answered_for(tmp_path: Path) -> None:
    assert asyncio.run(drained_while_it_leaves(tmp_path, b"200 OK")) == "b1"


def test_its_refusal_is_told_too_and_there_is_nothing_to_take_back(tmp_path: Path) -> None:
    with pytest.raises(CannotTell, match="b1 refuses to drain"):
        asyncio.run(drained_while_it_leaves(tmp_path, b"403 Forbidden"))
