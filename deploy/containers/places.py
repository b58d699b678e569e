"""Which folder of a volume goes to which container, and what is in it. Every container sees its own alone.

`/fleet` is the one-shot steps' own: the CA's key and `access.json` leave it for nobody. `/shares/NAME` is mounted read-only at
`/etc/face-auth` of that container, so that relative paths of `fleet.yaml` mean the same everywhere.
"""

from __future__ import annotations

import os
from pathlib import Path

from deploy.atomic import write
from deploy.layout import Ports, RunFolder
from deploy.local.engine_choice import EngineChoice
from deploy.local.programs import Programs

BACKENDS = ("backend1", "backend2", "backend3")
SHARES = ("backend", "monitor", "dashboard", "balancer", "postgres", "observability")
MOUNTED = Path("/etc/face-auth")
PROGRAM_UID = 10001
"""`face-auth` in our images"""
BALANCER_UID = 101
"""nginx in its own image; HAProxy's is told to be the same"""
POSTGRES_UID = 999
"""postgres in its own image"""
OBSERVER_UID = 65534
"""nobody: Prometheus and Alertmanager in their images"""
OPEN = ("observability",)
"""Grafana is a user of its own, and reads there too."""
HTTPS_PORT = 8443
OWNERS = {
    "backend": PROGRAM_UID, "monitor": PROGRAM_UID, "dashboard": PROGRAM_UID, "balancer": BALANCER_UID, "postgres": POSTGRES_UID,
    "observability": OBSERVER_UID,
}  # fmt: skip


def run_folder() -> RunFolder:
    run = RunFolder(Path(os.environ.get("FLEET_RUN_DIR", "/fleet")))
    run.create()
    return run


def share(name: str) -> Path:
    return Path(os.environ.get("FLEET_SHARES", "/shares")) / name


def own(name: str, user: int) -> None:
    """Make a shared folder one container's user's. Only root can; anybody else's containers run as one user anyway."""
    share(name).mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        os.chown(share(name), user, user)


def _owned(path: Path, user: int, top: Path) -> None:
    """The file and every folder between it and its share."""
    while path != top.parent:
        os.chown(path, user, user)
        path = path.parent


def give(name: str, file: str, content: bytes | str) -> None:
    """Put a file into a share, for its container's user alone; what observers get holds no secret, and all of them read it."""
    target = share(name) / file
    target.parent.mkdir(parents=True, exist_ok=True)
    write(target, content, mode=0o644 if name in OPEN else 0o600)
    if os.geteuid() == 0:
        _owned(target, OWNERS[name], share(name))


def database_url(password: str) -> str:
    return f"postgresql+psycopg://face_auth:{password}@postgres:5432/face_auth"


def password_file(run: RunFolder) -> Path:
    return run.secrets / "postgres.password"


def programs(run: RunFolder) -> Programs:
    """The commands and settings by which keys and people are made here."""
    url = database_url(password_file(run).read_text("utf-8").strip())
    return Programs(run, Ports(), EngineChoice("offline"), "nginx", database_url=url)
