"""The short form of `make hostile-targets-test`: a monitor among servers made to do harm."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.monitor.processes import ROOT


@pytest.mark.timeout(180)
def test_each_harmful_server_gets_its_code_and_none_disturbs_the_monitor() -> None:
    # The bound on lateness is that of a machine with other tests on it; the whole form holds one second.
    command = [sys.executable, "-m", "tests.monitor.hostile_targets", "--seconds", "25", "--most-lateness-ms", "3000"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=150, check=False)
    print(done.stdout, done.stderr)
    last = re.search(r"^faults=(\d+) wrong=(\d+) worst_lateness_ms=\d+ rss_ratio=[\d.]+$", done.stdout, re.MULTILINE)
    assert last is not None
    assert int(last[1]) >= 20
    assert int(last[2]) == 0
    assert done.returncode == 0
