"""A certificate of the fleet's own CA that is about to end."""

from __future__ import annotations

import datetime as dt

import trustme

from deploy.local import fleet_file
from tests.system.running_fleet import Fleet

DAYS_LEFT = 2
"""Less than what is critical by default (monitor.md: 3 days)."""


def let_end_soon(fleet: Fleet, backend: str) -> None:
    """Like `LocalCa.leaf`, but for days: the backend takes it up by itself, and everybody goes on trusting it."""
    folder = fleet.run_dir / "certs"
    ca = trustme.CA.from_pem((folder / "ca.pem").read_bytes(), (folder / "ca-private.pem").read_bytes())
    now = dt.datetime.now(dt.UTC)
    name = fleet_file.server_name(backend)
    issued = ca.issue_cert(
        "127.0.0.1", "localhost", name, fleet_file.BACKENDS_NAME, common_name=name,
        not_before=now - dt.timedelta(days=88), not_after=now + dt.timedelta(days=DAYS_LEFT, hours=1),
    )  # fmt: skip
    issued.private_key_pem.write_to_path(str(folder / f"{backend}-key.pem"))
    (folder / f"{backend}-cert.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
