"""A monitor that watches nothing but servers made to do harm: does each get its own reason code, and does none disturb it?

    python -m tests.monitor.hostile_targets --seconds 60

All servers of `tests.monitor.faults` run at once in a process of their own, and a real monitor watches them. As root it happens
in a network namespace of its own, with what only a kernel can do to a packet: a DROP rule, a REJECT rule, no route, a name that
resolves to a metadata address. Prints `fault expected given` for each, and at the end how late any duty of the monitor began and
how its memory grew after the first third; exit status 1 where a code is wrong or a bound is passed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from monitor import wire
from tests.monitor.certs import NAME
from tests.monitor.processes import ROOT, MonitorProcess, free_port

INSIDE = "HOSTILE_TARGETS_NAMESPACE"
PROBES = {"interval_s": 2, "fast_interval_s": 1, "down_interval_s": 2, "deadline_s": 2, "fall": 2, "rise": 2}
METADATA_HOST, TWO_ADDRESSES, NOWHERE = "cloud.face-auth.test", "two.face-auth.test", "10.99.0.1"
RIGHT = "a right server"
RULES = """
table inet hostile {
  chain arriving {
    type filter hook input priority 0;
    tcp dport %d drop
    tcp dport %d reject with icmp type admin-prohibited
  }
}
"""


@dataclass
class Seen:
    """What was read off the monitor over the whole run."""

    given: dict[str, str | None] = field(default_factory=dict)
    lateness_ms: list[float] = field(default_factory=list)
    rss: list[int] = field(default_factory=list)

    def growth(self) -> float:
        """Memory at the end over memory once everything had been met: medians of the last and of the middle third."""
        third = len(self.rss) // 3
        return statistics.median(self.rss[-third:]) / statistics.median(self.rss[third : 2 * third])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--most-lateness-ms", type=float, default=1000.0)
    parser.add_argument("--most-growth", type=float, default=1.1)
    given = parser.parse_args()
    missing = namespace_missing()
    if missing is None and INSIDE not in os.environ:
        command = ["unshare", "--net", "--mount", sys.executable, "-m", "tests.monitor.hostile_targets", *sys.argv[1:]]
        return subprocess.run(command, cwd=ROOT, env=os.environ | {INSIDE: "1"}, check=False).returncode
    if missing is not None:
        print(f"without a network namespace: {missing}; a DROP rule, a REJECT rule, no route and a metadata name are left out")
    with tempfile.TemporaryDirectory() as folder:
        expected, seen = _watch(Path(folder), seconds=given.seconds, namespace=missing is None)
    wrong = [fault for fault, code in expected.items() if seen.given.get(fault) != code]
    for fault, code in expected.items():
        verdict = "WRONG" if fault in wrong else "ok"
        print(f"fault={fault!r:50} expected={code or 'UP':22} given={seen.given.get(fault) or 'UP':22} {verdict}")
    faults, late, growth = sum(code is not None for code in expected.values()), max(seen.lateness_ms), seen.growth()
    print(f"faults={faults} wrong={len(wrong)} worst_lateness_ms={late:.0f} rss_ratio={growth:.3f}")
    lacking = missing is not None and os.environ.get("CI") == "true"
    return int(bool(wrong) or late > given.most_lateness_ms or growth > given.most_growth or lacking)


def namespace_missing() -> str | None:
    """Why none can be made here; None where one can."""
    if os.geteuid() != 0:
        return "needs root"
    absent = [program for program in ("unshare", "ip", "nft", "mount") if shutil.which(program) is None]
    if absent:
        return f"{', '.join(absent)} is not installed (make system)"
    tried = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() or None if tried.returncode else None


def _watch(folder: Path, *, seconds: float, namespace: bool) -> tuple[dict[str, str | None], Seen]:
    """Expected codes by fault, and what was seen."""
    targets: list[tuple[str, dict[str, Any], str, str | None]] = []
    if namespace:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        targets += _of_the_kernel(folder)
    servers = subprocess.Popen(
        [sys.executable, "-m", "tests.monitor.hostile_servers", str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    monitor = MonitorProcess(folder)
    try:
        assert servers.stdout is not None
        for fault, one in json.loads(servers.stdout.readline()).items():
            ca = {"ca_file": str(folder / "ca.pem")} if one["tls"] else {}
            target = _target(f"127.0.0.1:{one['port']}", tls=one["tls"]) | ca
            targets.append((fault, target, one["kind"], one["code"]))
            if fault == RIGHT and namespace:
                right = target | {"address": f"{TWO_ADDRESSES}:{one['port']}"}
                targets.append((f"{RIGHT}, at the second address of its name", right, "live", None))
        targets += _of_the_monitor()
        backends = [target | {"name": f"b{number}"} for number, (_, target, _, _) in enumerate(targets)]
        monitor.describe({"probes": PROBES, "certificates": {"check_interval_s": 5}, "backends": backends})
        monitor.start()
        seen = _look(monitor, [(fault, kind) for fault, _, kind, _ in targets], seconds)
        return {fault: code for fault, _, _, code in targets}, seen
    finally:
        monitor.kill()
        servers.communicate("", timeout=20)


def _look(monitor: MonitorProcess, faults: list[tuple[str, str]], seconds: float) -> Seen:
    assert monitor.process is not None
    process, seen = psutil.Process(monitor.process.pid), Seen()
    end = time.monotonic() + seconds
    with monitor.client() as client:
        while time.monotonic() < end:
            view = client.fleet()
            seen.lateness_ms.append(view.lateness_ms or 0.0)
            seen.rss.append(process.memory_info().rss)
            seen.given = {fault: _code(view.items[number], kind) for number, (fault, kind) in enumerate(faults)}
            time.sleep(0.2)
    return seen


def _code(backend: wire.Backend, kind: str) -> str | None:
    if backend.monitor_fault is not None:
        return backend.monitor_fault
    probe = next(one for one in backend.probes if one.kind == kind)
    return "not probed" if probe.up is None and probe.reason is None else probe.reason


def _target(address: str, *, tls: bool = False) -> dict[str, Any]:
    return {"url": f"http{'s' if tls else ''}://{address}", "address": address, "server_name": NAME}


def _of_the_kernel(folder: Path) -> list[tuple[str, dict[str, Any], str, str | None]]:
    """In this namespace: two rules of the packet filter, a network without a route, and a name of our own in `/etc/hosts`."""
    dropped, rejected = free_port(), free_port()
    subprocess.run(["nft", "-f", "-"], input=RULES % (dropped, rejected), text=True, check=True)
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n169.254.169.254 {METADATA_HOST}\n::1 {TWO_ADDRESSES}\n127.0.0.1 {TWO_ADDRESSES}\n")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    return [
        ("DROP rule", _target(f"127.0.0.1:{dropped}"), "live", "NET.TIMEOUT.CONNECT"),
        ("REJECT rule", _target(f"127.0.0.1:{rejected}"), "live", "NET.UNREACHABLE"),
        ("no route", _target(f"{NOWHERE}:80"), "live", "NET.UNREACHABLE"),
        ("a name that resolves to a metadata address", _target(f"{METADATA_HOST}:80"), "live", "MON.ADDRESS"),
    ]


def _of_the_monitor() -> list[tuple[str, dict[str, Any], str, str | None]]:
    nobody = _target(f"127.0.0.1:{free_port()}", tls=True)
    return [
        ("a name that does not resolve", _target(f"{'x' * 64}.face-auth.test:80"), "live", "NET.DNS"),
        ("the monitor's CA file is missing", nobody | {"ca_file": "/nowhere/ca.pem"}, "live", "MON.TRUST"),
    ]


if __name__ == "__main__":
    sys.exit(main())
