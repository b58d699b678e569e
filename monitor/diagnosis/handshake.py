"""Which version and cipher a TLS server agrees on, with a verifying handshake that sends nothing. Synchronous: for a thread."""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass

from monitor.diagnosis.reach import Tried
from monitor.probe.outcome import Stage
from monitor.probe.reasons import of_exception, of_timeout


@dataclass(frozen=True)
class Agreed:
    version: str | None = None
    cipher: str | None = None


def shake_hands(address: str, port: int, server_name: str, trust: ssl.SSLContext, *, deadline_s: float) -> tuple[Agreed, Tried]:
    """Never raises; a certificate that does not verify is a failure of this step, with its TLS.* code."""
    start = time.monotonic()
    stage: Stage = "connect"
    try:
        with socket.create_connection((address, port), timeout=deadline_s) as plain:
            stage = "tls"
            plain.settimeout(max(0.01, deadline_s - (time.monotonic() - start)))
            with trust.wrap_socket(plain, server_hostname=server_name) as tls:
                cipher = tls.cipher()
                agreed = Agreed(tls.version(), cipher[0] if cipher else None)
    except TimeoutError:
        return Agreed(), Tried(of_timeout(stage, deadline_s), _since(start))
    except (OSError, ValueError) as error:
        return Agreed(), Tried(of_exception(error, stage), _since(start))
    return agreed, Tried(None, _since(start), f"{agreed.version}, {agreed.cipher}")


def _since(start: float) -> float:
    return round((time.monotonic() - start) * 1000, 2)
