"""The detectors over real nginx and HAProxy, in short; `make traffic-test` is the long form."""

from __future__ import annotations

import asyncio

import pytest

from deploy.local import balancers
from monitor.fleet import BalancerKind
from tests.monitor import traffic


@pytest.mark.parametrize("kind", [BalancerKind.nginx, BalancerKind.haproxy])
def test_real_traffic_raises_no_alarm_and_a_real_fault_does(kind: BalancerKind) -> None:
    if balancers.installed(kind) is None:
        pytest.skip(f"{kind} is not installed: `make system`")
    recorded = asyncio.run(traffic.short(kind))
    print(recorded.line())
    assert recorded.notes == []
    assert (recorded.false_alarms, recorded.found, recorded.planted) == (0, 2, 2)
    assert not recorded.disagrees
    assert len(recorded.usage) == 1
    assert "MiB" in recorded.usage[0]
