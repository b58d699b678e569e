"""Before the monitor says that the fleet is gone it looks at its own way out: gateway and reference URL."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from monitor.probe.way_out import default_gateway, is_neighbour
from tests.monitor.hostile_targets import namespace_missing
from tests.monitor.processes import ROOT

ROUTES = """\
Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
"""
NEIGHBOURS = """\
IP address       HW type     Flags       HW address            Mask     Device
192.0.2.1        0x1         0x2         02:fc:00:00:00:05     *        eth0
192.0.2.7        0x1         0x0         00:00:00:00:00:00     *        eth0
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="/proc/net/route is in the machine's byte order")
def test_the_default_gateway_is_read_and_a_direct_route_is_none() -> None:
    assert default_gateway(ROUTES) == "192.0.2.1"
    assert default_gateway("\n".join(ROUTES.splitlines()[:2])) is None
    assert default_gateway("") is None


def test_a_neighbour_answers_or_does_not_or_is_not_known() -> None:
    assert is_neighbour("192.0.2.1", NEIGHBOURS) is True
    assert is_neighbour("192.0.2.7", NEIGHBOURS) is False
    assert is_neighbour("192.0.2.8", NEIGHBOURS) is None
    assert is_neighbour("192.0.2.8", "") is None


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("gateway", "state=UNKNOWN fault=MON.GATEWAY reason=None"),
        ("reference", "state=UNKNOWN fault=MON.REFERENCE reason=None"),
        ("fine", "state=DOWN fault=None reason=NET."),
    ],
)
def test_a_monitor_without_a_way_out_gives_no_verdict(what: str, said: str) -> None:
    missing = namespace_missing()
    if missing is not None and os.environ.get("CI") != "true":
        pytest.skip(f"no network namespace: {missing}")
    command = ["unshare", "--net", sys.executable, "-m", "tests.monitor.own_way_out", what]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    print(done.stdout, done.stderr)
    assert done.stdout.startswith(said)
