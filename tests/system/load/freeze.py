"""One backend stopped (SIGSTOP) under load: `python -m tests.system.load.freeze --lb haproxy`.

HAProxy's checks take it out within fall × interval and one deadline; from then on nobody waits for it. Open-source nginx has no
checks: each request is answered within one read timeout and one other attempt, and the monitor says whom to take out, and how.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time

from tests.system.load.callers import Callers
from tests.system.load.fleet import balancer_option, fleet_behind, photographs, somebody
from tests.system.running_fleet import Fleet, eventually

BEFORE_S = 5.0
FROZEN_S = 30.0
FROZEN = "b2"
READ_TIMEOUT_S = 15.0
"""`proxy_read_timeout` and `timeout server` of the rendered files."""
OWN_S = 5.0
"""What a request itself takes on a busy machine."""
PROBES = {"interval_s": 2.0, "deadline_s": 1.0, "fall": 3}
"""Of the local fleet's file."""


def frozen_under_load(balancer: str) -> dict[str, object]:
    with fleet_behind(balancer) as (fleet, _):
        with Callers(fleet, somebody(fleet), photographs()[0].read_bytes()) as callers:
            time.sleep(BEFORE_S)
            pid = fleet.pid_of(FROZEN)
            at = time.monotonic()
            os.kill(pid, signal.SIGSTOP)
            try:
                named, seconds = _named_by_the_monitor(fleet)
                time.sleep(max(0.0, FROZEN_S - (time.monotonic() - at)))
            finally:
                os.kill(pid, signal.SIGCONT)
            thawed = time.monotonic()
        calls = callers.calls
        noticed = at + PROBES["fall"] * PROBES["interval_s"] + PROBES["deadline_s"] + OWN_S
        waited = [call for call in calls if noticed <= call.began < thawed and call.seconds > OWN_S]
        return {
            "lb": balancer, "calls": len(calls), "failed": sum(call.failed for call in calls),
            "slowest_s": round(max(call.seconds for call in calls), 1), "waited_after_it_was_noticed": len(waited),
            "monitor_says_after_s": round(seconds, 1), "monitor_says": f'"{named}"',
        }  # fmt: skip


def _named_by_the_monitor(fleet: Fleet) -> tuple[str, float]:
    """What it says of the frozen one: its own state for HAProxy, the command to run for nginx."""
    kind = "nginx" if fleet.summary["balancer"] == "nginx" else "haproxy"
    with fleet.monitor() as monitor:

        def said() -> str | None:
            backend = monitor.backend(FROZEN)
            if kind == "nginx":
                return backend.disagreement if "python -m deploy drain b2" in (backend.disagreement or "") else None
            return f"{backend.name} is {backend.state}: {backend.reason}" if backend.state == "DOWN" else None

        sentence, seconds = eventually(said, within_s=FROZEN_S)
        assert sentence is not None
        return sentence, seconds


def holds(figures: dict[str, object]) -> bool:
    slowest, waited = figures["slowest_s"], figures["waited_after_it_was_noticed"]
    assert isinstance(slowest, float)
    in_time = slowest <= READ_TIMEOUT_S + OWN_S
    return in_time and (figures["lb"] == "nginx" or waited == 0) and (figures["lb"] != "nginx" or figures["failed"] == 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    balancer_option(parser)
    figures = frozen_under_load(parser.parse_args().lb)
    print(*(f"{name}={value}" for name, value in figures.items()))
    return 0 if holds(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
