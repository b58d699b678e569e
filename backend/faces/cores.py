"""How many cores this process may use: the affinity mask and the control group's quota, not the host's count."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable_cores(cgroup: Path = _CGROUP) -> int:
    """At least 1. A container with a quota of 1.5 cores on a host of 64 gets 2."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota_v2(cgroup) or _quota_v1(cgroup)
    return max(1, min(allowed, math.ceil(quota))) if quota else max(1, allowed)


def _quota_v2(cgroup: Path) -> float | None:
    """`cpu.max` reads "max 100000" or "150000 100000"."""
    parts = _read(cgroup / "cpu.max").split()
    return _ratio(parts[0], parts[1]) if len(parts) == 2 else None


def _quota_v1(cgroup: Path) -> float | None:
    return _ratio(_read(cgroup / "cpu/cpu.cfs_quota_us"), _read(cgroup / "cpu/cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max", or no such file
        return None
    return share if share > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
