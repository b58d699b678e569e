"""How many cores this process may use: the affinity mask and the control group's quota, not the host's count."""

from __future__ import annotations

import math
import os

from backend.cgroup import OURS, ControlGroup


def usable_cores(group: ControlGroup = OURS) -> int:
    """At least 1. A container with a quota of 1.5 cores on a host of 64 gets 2."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = group.cores()
    return max(1, min(allowed, math.ceil(quota))) if quota else max(1, allowed)
