"""Run in a network namespace of its own (`unshare --net`): a monitor whose own way out is broken gives no verdict on its fleet.

    unshare --net python -m tests.monitor.own_way_out gateway|reference|fine

Prints what it says of the backend: its state and the fault. `gateway`: the default route leads to nobody. `reference`: there
is no gateway to ask, and the reference URL cannot be reached. `fine`: the reference answers, so the backend is down.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from monitor import wire
from tests.monitor.processes import MonitorProcess, until

BACKEND, GATEWAY, ELSEWHERE = "10.9.0.9:80", "10.9.0.1", "http://10.99.0.1"
PROBES = {"interval_s": 0.5, "fast_interval_s": 0.5, "down_interval_s": 0.5, "deadline_s": 0.5, "fall": 2, "rise": 1}


def main(what: str) -> None:
    ip("link set lo up")
    ip("link add v0 type veth peer name v1")
    ip("addr add 10.9.0.2/24 dev v0")
    ip("link set v0 up")
    ip("link set v1 up")
    probes = dict(PROBES) | ({} if what == "gateway" else {"reference_url": ELSEWHERE})
    if what == "gateway":
        ip(f"route add default via {GATEWAY}")
    reference = None
    if what == "fine":
        ip("addr add 10.99.0.1/32 dev lo")
        server = [sys.executable, "-m", "http.server", "80", "--bind", "10.99.0.1"]
        reference = subprocess.Popen(server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as folder:
        monitor = MonitorProcess(Path(folder))
        backend = {"name": "b1", "url": f"http://{BACKEND}", "address": BACKEND, "server_name": "b1"}
        monitor.describe({"probes": probes, "backends": [backend]})
        try:
            monitor.start()
            print(until(lambda: told(monitor), within_s=40, what="the monitor says anything"))
        finally:
            monitor.kill()
            if reference is not None:
                reference.kill()
                reference.wait()


def told(monitor: MonitorProcess) -> str | None:
    with monitor.client() as client:
        found = client.backend("b1")
    if found.monitor_fault is None and found.state is wire.State.unknown:
        return None
    return f"state={found.state} fault={found.monitor_fault} reason={found.reason}"


def ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)


if __name__ == "__main__":
    main(sys.argv[1])
