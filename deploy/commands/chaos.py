"""`python -m deploy chaos KIND NAME`: one fault in the fleet that `make run` started, for a while, to rehearse with."""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Sequence
from dataclasses import asdict

from deploy import environment
from deploy.say import aloud

KINDS = {
    "kill": "kill -9; the supervisor starts it again",
    "freeze": "SIGSTOP: it accepts connections and answers nothing",
    "slow": "each piece of an answer comes --delay-ms later",
    "cut": "connections are accepted, and nothing is ever answered",
    "reset": "every connection is reset",
    "half_open": "requests arrive, answers are lost",
}
LONGEST_S = 600


def options(parser: argparse.ArgumentParser) -> None:
    parser.epilog = " ".join(f"{kind}: {what}." for kind, what in KINDS.items())
    parser.add_argument("kind", choices=list(KINDS))
    parser.add_argument("name", help="the backend")
    parser.add_argument("--seconds", type=_seconds, default=20.0, help=f"how long, at most {LONGEST_S} (default: 20)")
    parser.add_argument("--delay-ms", type=int, default=500, help="of slow (default: 500)")
    parser.add_argument("--json", action="store_true", help="print what the monitor said as JSON")


def run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    environment.enter(arguments, aloud)
    from deploy.faults.rehearsal import Kind, Rehearsal
    from deploy.layout import run_folder
    from deploy.operate.site import local

    where = run_folder()
    rehearsal = Rehearsal(
        where, local(where), options.name, Kind(options.kind), options.seconds, options.delay_ms / 1000, aloud
    )  # fmt: skip
    aloud(f"{options.name}: {KINDS[options.kind]}, for {options.seconds:g} s")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends it early finds everything as it was
    changes = rehearsal.play()
    if options.json:
        print(json.dumps({"name": options.name, "kind": options.kind, "changes": [asdict(change) for change in changes]}))
    else:
        print(f"Over: {options.name} is {changes[-1].state}, {changes[-1].after_s:.1f} s after the fault began.")
    return 0


def _seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value <= LONGEST_S:
        raise argparse.ArgumentTypeError(f"between 1 and {LONGEST_S}")
    return value
