"""`python -m deploy roll`: every backend restarted in turn, while the others serve."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from deploy import environment
from deploy.say import aloud


def options(parser: argparse.ArgumentParser) -> None:
    from deploy.operate.which import fleet_options

    parser.add_argument("names", nargs="*", metavar="NAME", help="which backends, in this order (default: all)")
    parser.add_argument("--accept-left", type=int, metavar="N", help="go on where only N would be left (default: half)")
    parser.add_argument("--start-s", type=float, default=120.0, metavar="SECONDS", help="how long one may take to be ready")
    fleet_options(parser, restart=True)


def run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    from deploy.operate.which import absolute

    environment.enter(absolute(options, arguments), aloud)
    from deploy.operate.replica import replicas
    from deploy.operate.roll import roll
    from deploy.operate.site import site

    found = site(options)
    names = options.names or [backend.name for backend in found.fleet.backends]
    with replicas(found.fleet.backends, key=found.key) as all_of_them:
        rolled = roll(found, all_of_them, names, accept_left=options.accept_left, start_s=options.start_s, say=aloud)
    if options.json:
        print(json.dumps({"rolled": [asdict(one) for one in rolled]}))
    else:
        print(f"Rolled {len(rolled)} backends; the longest was away for {max(one.away_s for one in rolled):.1f} s.")
    return 0
