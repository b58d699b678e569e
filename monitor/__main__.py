"""`python -m monitor run --fleet FILE`, `check` a target or a fleet file, `discover` the pods of a cluster, `codes`."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from threading import Event

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from monitor import app, discovery, reason_codes, settings
from monitor.commands import check
from monitor.fleet_file import FleetFileError
from monitor.store.database import StoreBusy


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 only on success; what is wrong stands in one sentence on standard error."""
    given = _parser().parse_args(arguments)
    try:
        if given.command == "check":
            return check.run(given)
        if given.command == "discover":
            stop = _told_to_stop()
            discovery.follow(
                given.fleet,
                given.out,
                every_s=given.every_s,
                stop=stop,
                say=lambda text: print(f"monitor: {text}", file=sys.stderr),
            )
            return 0
        if given.command == "codes":
            print(reason_codes.document(), end="")
            return 0
        if given.command == "simulate":
            from monitor.simulate.command import simulate  # numpy stays out of the monitor that watches

            return simulate(given.windows, seed=given.seed, as_json=given.json)
        app.run(settings.load(host=given.host, port=given.port), given.fleet)
    except (FleetFileError, StoreBusy, ValidationError, OSError, ValueError, SQLAlchemyError) as error:
        print(f"monitor: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _told_to_stop() -> Event:
    """Set by SIGTERM, which the first process of a container would otherwise not hear."""
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    return stop


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m monitor", description="Watches the fleet that fleet.yaml describes.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="watch the fleet and serve the monitor's API")
    run.add_argument("--fleet", type=Path, required=True, metavar="FILE", help="fleet.yaml; watched for changes")
    run.add_argument("--host", help="address to listen on (MONITOR_HOST)")
    run.add_argument("--port", type=int, help="port to listen on (MONITOR_PORT)")
    check.add_parser(commands)
    found = commands.add_parser("discover", help="keep a fleet file with one backend for each address of a name (Kubernetes)")
    found.add_argument("--fleet", type=Path, required=True, metavar="FILE", help="fleet.yaml, whose backends may be names")
    found.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the fleet file for `run`; replaced when it changes"
    )
    found.add_argument("--every-s", type=float, default=5.0, help="how often the names are looked up")
    commands.add_parser("codes", help="print every reason code with what to look at next (docs/reason-codes.md)")
    simulated = commands.add_parser("simulate", help="measure the detectors of the load distribution over simulated fleets")
    simulated.add_argument("--windows", type=int, default=10_000, help="healthy windows of 60 s, and a tenth as many faults")
    simulated.add_argument("--seed", type=int, default=1, help="the same seed gives the same figures")
    simulated.add_argument("--json", action="store_true", help="the figures as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
