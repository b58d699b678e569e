"""`make bench`: measure, and write docs/benchmarks.json and docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.bench.gallery import search
from tests.bench.health import health
from tests.bench.measure import as_markdown
from tests.bench.recognition import probes
from tests.system.running_fleet import ROOT


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--testdata", type=Path, default=ROOT.parent / "shared" / "testdata")
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for measure in (search, lambda: probes(options.testdata), lambda: health(Path(folder))):
            found.append(measure())
            print(f"{found[-1].name}: {found[-1].ratio:g} × {found[-1].peer} (aim {found[-1].aim})", flush=True)
    rows = json.dumps([benchmark.row() for benchmark in found], indent=2, ensure_ascii=False)
    (options.out / "benchmarks.json").write_text(rows + "\n")
    (options.out / "benchmarks.md").write_text(as_markdown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
