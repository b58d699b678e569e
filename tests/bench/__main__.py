"""`make bench`, `make bench-monitor`, `make bench-review`: measure, and write docs/benchmarks.json and docs/benchmarks.md.

Exit status 1 where an aim is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from backend.commands.serve import SWITCH_S
from tests.bench.end_to_end import end_to_end
from tests.bench.gallery import search
from tests.bench.health import health
from tests.bench.ledger import ledger
from tests.bench.measure import Benchmark, Setting, save
from tests.bench.monitor_history import monitor_history
from tests.bench.probing import probing
from tests.bench.recognition import probes
from tests.bench.review import review
from tests.bench.stages import stages
from tests.bench.start import start
from tests.system.running_fleet import ROOT

MEASURES: Mapping[str, Callable[[Setting], Iterable[Benchmark]]] = {
    "search": search,
    "start": start,
    "probe": probes,
    "stages": stages,
    "health": health,
    "end-to-end": end_to_end,
    "ledger": ledger,
}
"""Each yields its figures as it gets them; they are run in this order, one at a time."""
OF_MONITOR: Mapping[str, Callable[[Setting], Iterable[Benchmark]]] = {
    "monitor-history": monitor_history,
    "monitor-probing": probing,
}
OF_REVIEW: Mapping[str, Callable[[Setting], Iterable[Benchmark]]] = {"review": review}
PARTS = {"system": MEASURES, "monitor": OF_MONITOR, "review": OF_REVIEW}
ALL = {name: measure for part in PARTS.values() for name, measure in part.items()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--testdata", type=Path, default=ROOT.parent / "shared" / "testdata")
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    parser.add_argument("--monitor", action="store_true", help="the monitor's instead of the system's")
    parser.add_argument("--review", action="store_true", help="the dashboard's: reviewing by keyboard, and what its pages cost")
    parser.add_argument("--quick", action="store_true", help="smaller galleries, fewer rounds; writes nothing")
    parser.add_argument("--only", choices=ALL, action="append", help="just this one (repeatable); writes nothing")
    options = parser.parse_args()
    sys.setswitchinterval(SWITCH_S)  # as the service sets it, for the peers in this process as well
    part = "monitor" if options.monitor else "review" if options.review else "system"
    found: list[Benchmark] = []
    for name in options.only or PARTS[part]:
        with tempfile.TemporaryDirectory(prefix="face-auth-bench-") as folder:
            for benchmark in ALL[name](Setting(options.testdata, Path(folder), quick=options.quick)):
                found.append(benchmark)
                print(benchmark.line(), flush=True)
    if not options.quick and not options.only:
        save(options.out, found, part=part)
    aimed = [benchmark for benchmark in found if benchmark.holds is not None]
    missed = [benchmark.name for benchmark in aimed if not benchmark.holds]
    print(f"benchmarks={len(found)} aims={len(aimed)} missed={len(missed)}", *missed, sep="\n  ")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
