"""`kill -9` of one backend under load: `python -m tests.system.load.kill --lb nginx`.

What may fail is what the killed process was answering at that moment; within three seconds the rate is what it was.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time

import psutil

from tests.system.load.callers import CALLERS, Callers, rate
from tests.system.load.fleet import balancer_option, fleet_behind, photographs, somebody
from tests.system.running_fleet import Fleet

BEFORE_S = 10.0
BACK_S = 3.0
AFTER_S = 8.0
"""Shorter than the supervisor waits before it starts the dead one again: two serve alone."""
KILLED = "b2"
WANTED = 0.95


def killed_under_load(balancer: str) -> dict[str, object]:
    with fleet_behind(balancer) as (fleet, _):
        with Callers(fleet, somebody(fleet), photographs()[0].read_bytes()) as callers:
            time.sleep(BEFORE_S)
            in_flight, at = _kill(fleet)
            time.sleep(BACK_S + AFTER_S)
        calls = callers.calls
        failed = [call for call in calls if call.failed]
        before = rate(calls, at - BEFORE_S + 2, at)
        after = rate(calls, at + BACK_S, at + BACK_S + AFTER_S)
        return {
            "lb": balancer, "calls": len(calls), "in_flight_at_most": in_flight,
            "failed": len(failed), "failed_that_began_later": sum(call.began > at for call in failed),
            "before_per_s": round(before, 1), "after_per_s": round(after, 1), "rate_ratio": round(after / before, 3),
        }  # fmt: skip


def _kill(fleet: Fleet) -> tuple[int, float]:
    """Requests that the balancer had sent it and that were open when it died (its established connections, at most one each)."""
    pid = fleet.pid_of(KILLED)
    os.kill(pid, signal.SIGSTOP)  # so that nothing is finished between the count and the kill
    open_now = _established(pid)
    at = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    return min(open_now, CALLERS), at


def _established(pid: int) -> int:
    return sum(c.status == psutil.CONN_ESTABLISHED for c in psutil.Process(pid).net_connections("tcp"))


def holds(figures: dict[str, object]) -> bool:
    in_flight, failed, ratio = figures["in_flight_at_most"], figures["failed"], figures["rate_ratio"]
    assert isinstance(in_flight, int)
    assert isinstance(failed, int)
    assert isinstance(ratio, float)
    return failed <= in_flight and figures["failed_that_began_later"] == 0 and ratio >= WANTED


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    balancer_option(parser)
    figures = killed_under_load(parser.parse_args().lb)
    print(*(f"{name}={value}" for name, value in figures.items()))
    return 0 if holds(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
