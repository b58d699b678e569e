"""Faults put into a running fleet for real, and taken out again."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme

from tests.system.running_fleet import Fleet


@contextmanager
def killed(fleet: Fleet, backend: str) -> Iterator[None]:
    """`kill -9`; the supervisor starts it again by itself."""
    os.kill(fleet.pid_of(backend), signal.SIGKILL)
    yield


@contextmanager
def frozen(fleet: Fleet, backend: str) -> Iterator[None]:
    """SIGSTOP: the kernel still accepts connections, nobody answers."""
    pid = fleet.pid_of(backend)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def wrong_certificate(fleet: Fleet, backend: str) -> Iterator[None]:
    """The backend serves a certificate of a stranger's CA, as after a botched renewal."""
    folder = fleet.run_dir / "certs"
    files = [_only(folder, f"{backend}*{kind}*") for kind in ("cert", "key")]
    kept = [file.read_bytes() for file in files]
    stranger = trustme.CA().issue_cert("127.0.0.1", "localhost")
    try:
        stranger.private_key_pem.write_to_path(str(files[1]))
        files[0].write_bytes(b"".join(blob.bytes() for blob in stranger.cert_chain_pems))
        yield
    finally:
        files[1].write_bytes(kept[1])
        files[0].write_bytes(kept[0])


@contextmanager
def database_moved_away(fleet: Fleet) -> Iterator[None]:
    """The ledger's file is somewhere else, as after a lost mount."""
    file = fleet.run_dir / "data" / "face-auth.db"
    away = file.with_suffix(".away")
    shutil.move(file, away)
    try:
        yield
    finally:
        shutil.move(away, file)


def _only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found
