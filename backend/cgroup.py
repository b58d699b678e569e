"""What this process's control group allows it: Linux's limits on cores and memory, of a container or of a systemd unit.

In a container with a namespace of its own the group is the root of what is mounted; under systemd (`CPUQuota=`, `MemoryMax=`) it
is some levels below, as /proc/self/cgroup says. Every level above limits too, so the tightest one counts.

    v2   0::/system.slice/face-auth.service                   one tree: cpu.max, memory.max, memory.current
    v1   4:memory:/docker/0815   5:cpu,cpuacct:/docker/0815    a tree for each controller
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class ControlGroup:
    """`root`: where the trees are mounted; `membership`: the file in which the kernel says where in them this process is."""

    root: Path = Path("/sys/fs/cgroup")
    membership: Path = Path("/proc/self/cgroup")

    def cores(self) -> float | None:
        """1.5 for a quota of 150 ms in every 100 ms; None where there is none."""
        unified = (_ratio(*_words(level / "cpu.max")) for level in self._levels(""))
        split = (
            _ratio(*_words(level / "cpu.cfs_quota_us"), *_words(level / "cpu.cfs_period_us")) for level in self._levels("cpu")
        )
        return _least([*unified, *split])

    def memory_limit(self) -> int | None:
        """Bytes; None where there is no limit."""
        return _least(_number(level / file.limit) for file in _MEMORY for level in self._levels(file.controller))

    def memory_room(self) -> int | None:
        """Bytes below the limit, page cache that nobody uses not counted; None where there is no limit."""
        return _least(_room(level, file) for file in _MEMORY for level in self._levels(file.controller))

    def _levels(self, controller: str) -> Iterator[Path]:
        """From this process's group up to the root; "" is v2's tree. A level that is not mounted here has no files."""
        path = self._path(controller)
        yield from (self.root / controller / level for level in (path, *path.parents))

    def _path(self, controller: str) -> PurePosixPath:
        for line in _text(self.membership).splitlines():
            _, controllers, path = (*line.split(":", 2), "", "")[:3]
            if controller in controllers.split(",") and ".." not in path:  # "/..": beyond what this namespace shows
                return PurePosixPath(path.lstrip("/"))
        return PurePosixPath()


OURS = ControlGroup()


@dataclass(frozen=True)
class _Files:
    controller: str
    limit: str
    used: str
    reclaimable: str
    """in memory.stat"""


_MEMORY = (
    _Files("", "memory.max", "memory.current", "inactive_file"),
    _Files("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def _room(level: Path, file: _Files) -> int | None:
    limit, used = _number(level / file.limit), _number(level / file.used)
    if limit is None or used is None:
        return None
    stat = dict(line.split(maxsplit=1) for line in _text(level / "memory.stat").splitlines() if " " in line)
    return limit - used + int(stat.get(file.reclaimable, 0))


def _least(found: Iterable[Number | None]) -> Number | None:
    return min((value for value in found if value is not None), default=None)


def _ratio(quota: str = "", period: str = "", *_: str) -> float | None:
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max", or no such file
        return None
    return share if share > 0 else None


def _number(path: Path) -> int | None:
    """None for no such file, and for "max"."""
    try:
        return int(_text(path))
    except ValueError:
        return None


def _words(path: Path) -> list[str]:
    return _text(path).split()


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
