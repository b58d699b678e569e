"""What the dashboard is made of; `app.build` makes it once per process, pages and routes read it.

Streamlit runs a page as a script, so there is nobody to hand it its parts: they are installed here.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from backend.client import BackendClient
from dashboard.attempts import Attempts
from dashboard.browsers import Browsers
from dashboard.prometheus import Prometheus
from dashboard.sessions import Sessions
from dashboard.settings import Settings
from dashboard.signing import BACKEND, MONITOR, Signer
from dashboard.users import Users
from monitor.client import MonitorClient

Mint = Callable[[str], str]


@dataclass(frozen=True)
class Parts:
    settings: Settings
    users: Users
    sessions: Sessions
    attempts: Attempts
    browsers: Browsers
    signer: Signer
    backend: BackendClient
    """Speaks as the person whose page is running: a fresh token for each call."""
    monitor: MonitorClient
    """Speaks as the dashboard itself (viewer key): fleet data only."""
    operator: MonitorClient
    """Speaks as the person whose page is running: whatever an operator does, and the operators' trail."""
    prometheus: Prometheus | None = None
    """None: no operator named one."""

    @staticmethod
    def now() -> float:
        """Seconds since the epoch."""
        return time.time()

    def close(self) -> None:
        self.backend.close()
        self.monitor.close()
        self.operator.close()
        if self.prometheus is not None:
            self.prometheus.close()


def build(settings: Settings, mint: Mint) -> Parts:
    """`mint` gives a token for the person of the running page and an audience.

    Raises:
        SigningKeyError: there is no usable signing key.
    """
    users = Users(settings.users_file)
    secret = settings.cookie_secret.get_secret_value() if settings.cookie_secret else secrets.token_urlsafe(32)
    key = settings.key.get_secret_value() if settings.key else None
    return Parts(
        settings=settings,
        users=users,
        sessions=Sessions(users, secret, idle_s=settings.session_idle_minutes * 60, max_s=settings.session_max_hours * 3600),
        attempts=Attempts(),
        browsers=Browsers(secret),
        signer=Signer.load(settings.signing_key_file),
        backend=BackendClient(
            settings.backend_urls, token=lambda: mint(BACKEND), ca_file=settings.ca_file, timeout=settings.backend_timeout_s
        ),
        monitor=MonitorClient(settings.monitor_url, token=key, ca_file=settings.ca_file, timeout_s=settings.monitor_timeout_s),
        operator=MonitorClient(
            settings.monitor_url, token=lambda: mint(MONITOR), ca_file=settings.ca_file, timeout_s=settings.monitor_timeout_s
        ),
        prometheus=Prometheus(settings.prometheus_url, ca_file=settings.ca_file) if settings.prometheus_url else None,
    )


_installed: list[Parts] = []


def install(parts: Parts) -> None:
    _installed[:] = [parts]


def current() -> Parts:
    if not _installed:
        raise RuntimeError("the dashboard is not built: start it with `python -m dashboard serve`")
    return _installed[0]
