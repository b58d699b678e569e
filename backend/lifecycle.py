"""Where this process is in its life: starting, ready, draining; what the server, the probes and the metrics share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from backend.errors import Stopping


@dataclass
class Lifecycle:
    """Written by the server and by `POST /v1/fleet/self/drain|return`; read by `/ready`, the middleware and the metrics."""

    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    drained: bool = False
    """an operator took it out of service, and may put it back"""
    stopping: bool = False
    """the process was told to end: nothing puts it back"""
    ever_ready: bool = False
    open_connections: Callable[[], int] = lambda: 0
    """how many client connections are open; the server puts its own count here"""

    @property
    def draining(self) -> bool:
        """Two marks, not one: a signal may come while somebody puts it back, and must win."""
        return self.drained or self.stopping

    def drain(self) -> None:
        """Leave the fleet: `/ready` fails from now on, answers ask for their connection to be closed, requests are served."""
        self.drained = True

    def put_back(self) -> None:
        """Serve again, as if it had never been drained; raises `Stopping` where the process is about to end."""
        if self.stopping:
            raise Stopping
        self.drained = False

    def stop(self) -> None:
        """Leave the fleet for good."""
        self.stopping = True
