"""Full rolls under load: `python -m tests.system.load.roll --lb nginx --strategy least_connections`.

wrk sends a photograph (POST) and reads a record (GET) in turn, somebody enrols; meanwhile `python -m deploy roll` restarts every
backend, twice. No request may fail, and nobody may be enrolled twice by an attempt that was repeated.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from tests.system.load.enroller import Enroller
from tests.system.load.fleet import balancer_option, client, fleet_behind, photographs, somebody, subjects
from tests.system.load.wrk import Wrk
from tests.system.running_fleet import Fleet

STRATEGIES = ("round_robin", "least_connections", "ip_hash")
ROLL_S = 300
BEFORE_S = 3.0


def rolled_under_load(balancer: str, strategy: str, *, rolls: int, seed: int) -> dict[str, object]:
    with fleet_behind(balancer, strategy) as (fleet, folder):
        before = subjects(fleet)
        load = Wrk(
            fleet.access["balancer"], folder=folder, key=fleet.access["keys"]["client"], subject_id=somebody(fleet),
            photograph=photographs()[0].read_bytes(),
        )  # fmt: skip
        with client(fleet) as http, Enroller(http, photographs(), seed=seed) as enroller, load:
            time.sleep(BEFORE_S)
            away = [one["away_s"] for _ in range(rolls) for one in _roll(fleet)]
            result = load.stop()
        created = subjects(fleet) - before
        return {
            "lb": balancer, "strategy": strategy, "rolls": rolls, "restarts": len(away), "longest_away_s": max(away),
            "requests": result.requests, "seconds": round(result.seconds), "enrolled": enroller.enrolled,
            "enrolments_failed": sum(enroller.failed.values()), "p99_ms": result.p99_ms, "non_2xx": result.non_2xx,
            "socket_errors": result.socket_errors, "duplicates_created": created - enroller.enrolled,
        }  # fmt: skip


def holds(figures: dict[str, object]) -> bool:
    wanted = ("non_2xx", "socket_errors", "duplicates_created", "enrolments_failed")
    return all(figures[name] == 0 for name in wanted) and bool(figures["requests"]) and bool(figures["enrolled"])


def _roll(fleet: Fleet) -> list[dict[str, float]]:
    done = fleet.deploy("roll", "--json", timeout=ROLL_S)
    assert done.returncode == 0, f"the roll ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    rolled: list[dict[str, float]] = json.loads(done.stdout)["rolled"]
    return rolled


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    balancer_option(parser)
    parser.add_argument("--strategy", choices=STRATEGIES, default="least_connections")
    parser.add_argument("--rolls", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    figures = rolled_under_load(options.lb, options.strategy, rolls=options.rolls, seed=options.seed)
    print(*(f"{name}={value}" for name, value in figures.items()))
    return 0 if holds(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
