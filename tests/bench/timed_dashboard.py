"""The dashboard as it is served, with a line for each run of a script: `python -m tests.bench.timed_dashboard FILE serve …`.

A line of FILE (JSON): when the run began (seconds since the epoch), how long it took (milliseconds, callbacks included) and
whether it was a fragment's.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from streamlit.runtime.scriptrunner.script_runner import ScriptRunner

from dashboard.__main__ import main


def time_scripts(file: Path) -> None:
    run = ScriptRunner._run_script

    def timed(self: ScriptRunner, rerun_data: Any) -> None:
        began, start = time.time(), time.perf_counter()
        run(self, rerun_data)
        took = 1000 * (time.perf_counter() - start)
        with file.open("a") as lines:
            lines.write(json.dumps({"at": began, "ms": took, "fragment": bool(rerun_data.fragment_id_queue)}) + "\n")

    ScriptRunner._run_script = timed  # type: ignore[method-assign]


if __name__ == "__main__":
    time_scripts(Path(sys.argv[1]))
    sys.argv = ["dashboard", *sys.argv[2:]]
    sys.exit(main())
