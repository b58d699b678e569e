"""Ours and a peer's, interleaved in the same run, so that a busy machine slows both: what is kept is the ratio."""

from __future__ import annotations

import json
import operator
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROUNDS = 7
QUICK_ROUNDS = 3
AIM = re.compile(r"(?P<relation>[≤≥<]) (?P<bound>[\d.]+)(?P<unit> \w+)?")
RELATIONS = {"≤": operator.le, "≥": operator.ge, "<": operator.lt}


@dataclass(frozen=True)
class Setting:
    """What a measure is given: photographs and models, an empty folder, and whether a glance will do."""

    testdata: Path
    folder: Path
    quick: bool

    @property
    def rounds(self) -> int:
        return QUICK_ROUNDS if self.quick else ROUNDS


@dataclass(frozen=True)
class Benchmark:
    name: str
    value: float
    """ours, median"""
    unit: str
    peer: str
    peer_value: float
    ratio: float
    """median of the rounds' ratios, ours over the peer's"""
    spread: float
    """largest less smallest ratio of the middle half of the rounds"""
    aim: str
    machine: str
    part: str = "system"
    """which command measures it: `make bench` (system), `make bench-monitor` (monitor) or `make bench-review` (review)"""

    @property
    def holds(self) -> bool | None:
        """Whether the aim is met: of the ratio, or of our own figure where the aim has a unit; None where there is no aim."""
        told = AIM.fullmatch(self.aim)
        if told is None:
            return None
        figure = self.value if told["unit"] else self.ratio
        return RELATIONS[told["relation"]](figure, float(told["bound"]))

    def line(self) -> str:
        return (
            f"{self.name}: {self.value:g} {self.unit}, {self.ratio:g} ± {self.spread:g} × {self.peer}"
            f" ({self.peer_value:g} {self.unit}); aim {self.aim}{'' if self.holds is not False else ' MISSED'}"
        )

    def row(self) -> dict[str, object]:
        return asdict(self)


def machine() -> str:
    return f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compared(
    name: str,
    ours: Callable[[], float],
    peers: Callable[[], float],
    *,
    unit: str,
    peer: str,
    aim: str,
    rounds: int = ROUNDS,
    part: str = "system",
) -> Benchmark:
    """`ours` and `peers` each measure themselves once and give a figure in `unit`; they take turns."""
    ours(), peers()  # once to warm up
    pairs = [(ours(), peers()) for _ in range(rounds)]
    ratios = sorted(mine / theirs for mine, theirs in pairs)
    quarter = len(ratios) // 4
    return Benchmark(
        name=name,
        value=_round(statistics.median(mine for mine, _ in pairs)),
        unit=unit,
        peer=peer,
        peer_value=_round(statistics.median(theirs for _, theirs in pairs)),
        ratio=_round(statistics.median(ratios)),
        spread=_round(ratios[-1 - quarter] - ratios[quarter]),
        aim=aim,
        machine=machine(),
        part=part,
    )


def _round(value: float) -> float:
    return float(f"{value:.4g}")


def _aim(benchmark: Benchmark) -> str:
    return {True: f"{benchmark.aim} ✓", False: f"{benchmark.aim}: **missed**", None: benchmark.aim}[benchmark.holds]


def save(folder: Path, found: Sequence[Benchmark], *, part: str) -> None:
    """`benchmarks.json` and the page made of it; what the other command measured stays."""
    path = folder / "benchmarks.json"
    old = [Benchmark(**row) for row in json.loads(path.read_text())] if path.exists() else []
    others = [one for one in old if one.part != part]
    rows = [*found, *others] if part == "system" else [*others, *found]
    path.write_text(json.dumps([one.row() for one in rows], indent=2, ensure_ascii=False) + "\n")
    (folder / "benchmarks.md").write_text(as_markdown(rows))


def as_markdown(benchmarks: Sequence[Benchmark]) -> str:
    """The page of `docs/benchmarks.md`."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`, `make bench-monitor` and `make bench-review`. Ours and the peer take turns in one run; the "
        "ratio is what travels: "
        f"absolute figures are of this machine ({machine()}).",
        "",
        "| what | ours | peer | ratio ± spread | aim |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {b.name} | {b.value:g} {b.unit} | {b.peer_value:g} {b.unit} ({b.peer}) | {b.ratio:g} ± {b.spread:g} | {_aim(b)} |"
        for b in benchmarks
    ]
    return "\n".join(lines) + "\n"
