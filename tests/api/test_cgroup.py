"""Limits of the control group, read from a made-up tree: who asks for cores and memory is told the tightest that holds for us."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from backend.cgroup import ControlGroup
from backend.faces.cores import usable_cores
from backend.gallery.memory import memory_total
from backend.health import read_resources

MIB = 2**20
UNIT = "/system.slice/face-auth.service"
WITHOUT_LIMIT_V1 = str(2**63 - 4096)


def group(folder: Path, membership: str, files: dict[str, str]) -> ControlGroup:
    made = ControlGroup(folder / "tree", folder / "membership")
    made.membership.write_text(membership)
    for name, content in files.items():
        (made.root / name).parent.mkdir(parents=True, exist_ok=True)
        (made.root / name).write_text(content + "\n")
    return made


def memory_of(limit: int | str, used: int, inactive: int = 0) -> dict[str, str]:
    return {"memory.max": str(limit), "memory.current": str(used), "memory.stat": f"anon 1\ninactive_file {inactive}\nslab 2"}


def at(folder: str, files: dict[str, str]) -> dict[str, str]:
    return {f"{folder}/{name}": content for name, content in files.items()}


def all_three(limits: ControlGroup, folder: Path) -> tuple[int, int, int]:
    """Cores, memory in all, memory that is available: as the pool, the plan of the gallery and /ready are told."""
    return usable_cores(limits), memory_total(limits), read_resources([folder], limits).memory_available


TREES: dict[str, tuple[str, dict[str, str]]] = {
    "a container with a namespace of its own": ("0::/\n", {"cpu.max": "100000 100000", **memory_of(64 * MIB, 40 * MIB, 8 * MIB)}),
    "a unit of systemd": (
        f"0::{UNIT}\n",
        at(UNIT[1:], {"cpu.max": "50000 100000", **memory_of(64 * MIB, 40 * MIB, 8 * MIB)})
        | {"system.slice/cpu.max": "max 100000", "system.slice/memory.max": "max"},
    ),
    "a unit of a slice that is limited more": (
        f"0::{UNIT}\n",
        at(UNIT[1:], {"cpu.max": "9900000 100000", **memory_of(2**40, 1)})
        | at("system.slice", {"cpu.max": "90000 100000", **memory_of(64 * MIB, 40 * MIB, 8 * MIB)}),
    ),
    "a slice that others have nearly filled": (
        f"0::{UNIT}\n",
        at(UNIT[1:], {"cpu.max": "90000 100000", **memory_of(64 * MIB, 1 * MIB)})
        | at("system.slice", memory_of(1024 * MIB, 992 * MIB)),
    ),
    "a container in the host's namespace, whose path is not mounted": (
        "0::/docker/0815\n", {"cpu.max": "100000 100000", **memory_of(64 * MIB, 32 * MIB)},
    ),
    "beside what the namespace shows": ("0::/../other\n", {"cpu.max": "100000 100000", **memory_of(64 * MIB, 32 * MIB)}),
    "the older trees, one for each controller": (
        f"5:cpu,cpuacct:{UNIT}\n4:memory:{UNIT}\n1:name=systemd:/elsewhere\n",
        at(f"cpu{UNIT}", {"cpu.cfs_quota_us": "100000", "cpu.cfs_period_us": "100000"})
        | at("cpu", {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"})
        | at(f"memory{UNIT}", {"memory.limit_in_bytes": str(64 * MIB), "memory.usage_in_bytes": str(40 * MIB)})
        | at(f"memory{UNIT}", {"memory.stat": f"inactive_file 1\ntotal_inactive_file {8 * MIB}"})
        | at("memory", {"memory.limit_in_bytes": WITHOUT_LIMIT_V1, "memory.usage_in_bytes": str(2**33)}),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("membership", "files"), TREES.values(), ids=TREES)
def test_the_tightest_limit_of_the_own_group_and_of_those_above_counts(
    tmp_path: Path, membership: str, files: dict[str, str]
) -> None:
    assert all_three(group(tmp_path, membership, files), tmp_path) == (1, 64 * MIB, 32 * MIB)


@pytest.mark.parametrize(
    ("membership", "files"),
    [
        ("", {}),
        ("0::/\n", {"cpu.max": "max 100000", **memory_of("max", 1)}),
        (f"0::{UNIT}\n", at("user.slice", {"cpu.max": "1000 100000", **memory_of(1, 1)})),
        ("nonsense\n", {"cpu.max": "nonsense", "memory.max": ""}),
        ("0::/\n", {"cpu.max": "0 0", "memory.max": str(64 * MIB)}),
    ],
    ids=["no tree", "no limit", "somebody else's limit", "nonsense", "a period of nothing"],
)
def test_without_a_limit_the_machine_itself_counts(tmp_path: Path, membership: str, files: dict[str, str]) -> None:
    limits = group(tmp_path, membership, files)
    assert limits.cores() is None
    assert limits.memory_room() is None
    assert usable_cores(limits) == len(psutil.Process().cpu_affinity())
    assert memory_total(limits) == (limits.memory_limit() or psutil.virtual_memory().total)


def test_a_quota_is_rounded_up_to_whole_cores(tmp_path: Path) -> None:
    assert group(tmp_path, "0::/", {"cpu.max": "150000 100000"}).cores() == 1.5
    assert usable_cores(group(tmp_path, "0::/", {"cpu.max": "1000 100000"})) == 1
