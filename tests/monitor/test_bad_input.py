"""`make monitor-input-test`: each field of the fleet file and of the API, given wrongly, is refused for what it is."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.monitor.processes import ROOT


def test_every_field_given_wrongly_is_refused_by_name_and_the_old_fleet_stays() -> None:
    command = [sys.executable, "-m", "tests.monitor.input_check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    print(done.stdout, done.stderr)
    last = re.search(r"^fields=(\d+) tried=(\d+) wrong=0$", done.stdout, re.MULTILINE)
    assert last is not None
    assert int(last[1]) > 60
    assert int(last[2]) > 500
    assert done.returncode == 0
