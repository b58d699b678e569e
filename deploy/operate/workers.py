"""A balancer's processes at a reload: it answers before it has done it.

nginx starts new workers and tells the old ones to end a tenth of a second later; until then both take connections
(src/os/unix/ngx_process_cycle.c). A worker that was told says so in its title.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from deploy.operate.waiting import within
from deploy.sentence import Sentence

RELOAD_WITHIN_S = 10.0
TOLD_TO_END = b"is shutting down"
PACKAGED_NGINX = Path("/run/nginx.pid")


def reload_and_wait(kind: str, master: int, reload: Callable[[], None]) -> None:
    """`reload` tells this master process; ends when new workers run and, of nginx, no old one takes connections any more.

    Raises:
        Sentence: that does not come, or the balancer does not run.
    """
    before = _children(master)
    reload()
    if within(RELOAD_WITHIN_S, lambda: _taken(kind, _children(master), before)) is None:
        raise Sentence(f"{kind} (process {master}) did not take its new configuration: see its log")


def packaged_nginx(pid_file: Path = PACKAGED_NGINX) -> int | None:
    """The master process of Debian's nginx; None where it does not run here."""
    try:
        pid = int(pid_file.read_text())
        return pid if Path(f"/proc/{pid}/comm").read_text().strip() == "nginx" else None
    except (OSError, ValueError):
        return None


def _taken(kind: str, now: set[int], before: set[int]) -> bool:
    return bool(now - before) and (kind != "nginx" or all(_told_to_end(old) for old in now & before))


def _told_to_end(pid: int) -> bool:
    try:
        return TOLD_TO_END in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True


def _children(pid: int) -> set[int]:
    """Processes whose parent it is. Raises `Sentence` where it is gone."""
    try:
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except OSError:
        raise Sentence(f"the balancer (process {pid}) does not run") from None
