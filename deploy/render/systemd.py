"""From a fleet to units for hosts without containers: three programs, their accounts, and the rotation of their logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deploy.render import documents as texts
from monitor.fleet import Fleet
from monitor.fleet_observability import Systemd

FOLDER = Path("systemd")
FILES = (
    "face-auth-backend@.service",
    "face-auth-migrate.service",
    "face-auth-monitor.service",
    "face-auth-dashboard.service",
    "face-auth.sysusers.conf",
    "face-auth.logrotate",
)
MARGIN_S = 10
"""Between the end of the last request and SIGKILL: closing the database, the last lines of the log."""
LOGS = Path("/var/log")


def documents(fleet: Fleet) -> dict[Path, str]:
    unit = fleet.systemd or Systemd()
    values = {
        "unit": unit,
        "example": fleet.backends[0].name,
        "python": f"{unit.install_dir}/.venv/bin/python",
        "log_name": Path(unit.log_dir).relative_to(LOGS),
        "drain_s": f"{unit.drain_s:g}",
        "graceful_timeout_s": f"{unit.graceful_timeout_s:g}",
        "stop_s": stop_s(unit),
    }
    return {FOLDER / name: texts.text(f"systemd/{name}.j2", values) for name in FILES}


def stop_s(unit: Systemd) -> int:
    """Longer than an orderly end may take, or systemd would kill in the middle of it."""
    return round(unit.drain_s + unit.graceful_timeout_s + MARGIN_S)


def refusals(fleet: Fleet) -> Iterator[str]:
    """What the units cannot be of what the file asks for: its place in the file, and what to change."""
    unit = fleet.systemd
    if unit is None:
        return
    log_dir = Path(unit.log_dir)
    if LOGS not in log_dir.parents:
        yield f"systemd.log_dir: systemd makes log folders below {LOGS} alone; nearest: {LOGS / log_dir.name}"
    if unit.install_dir.startswith(("/home/", "/root", "/tmp/", "/var/tmp/")):  # noqa: S108  (read, not written)
        yield f"systemd.install_dir: units see no {unit.install_dir} (ProtectHome, PrivateTmp); nearest: /opt/face-auth"
    accounts = {"backend_user": unit.backend_user, "monitor_user": unit.monitor_user, "dashboard_user": unit.dashboard_user}
    for field, user in accounts.items():
        if list(accounts.values()).count(user) > 1:
            yield f"systemd.{field}: {user} runs another program, too, and could read its keys; nearest: an account for each"
    if "root" in accounts.values():
        yield "systemd: no program of ours runs as root; nearest: leave the accounts out"
