"""Where this process is in its life: starting, ready, draining; what the server, the probes and the metrics share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass
class Lifecycle:
    """Written by the server and by `POST /v1/fleet/self/drain`; read by `/ready`, the middleware and the metrics."""

    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    draining: bool = False
    ever_ready: bool = False
    open_connections: Callable[[], int] = lambda: 0
    """how many client connections are open; the server puts its own count here"""

    def drain(self) -> None:
        """Leave the fleet: `/ready` fails from now on, answers ask for their connection to be closed, requests are served."""
        self.draining = True
