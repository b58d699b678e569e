"""`python -m deploy drain NAME`: one backend out of service on this machine's balancer, or back with `--return`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from deploy import environment
from deploy.say import aloud


def options(parser: argparse.ArgumentParser) -> None:
    from deploy.operate.which import fleet_options

    parser.add_argument("name", help="the backend, as the fleet file calls it")
    parser.add_argument("--return", dest="back", action="store_true", help="put it back into service")
    parser.add_argument("--accept-left", type=int, metavar="N", help="go on where only N would be left (default: half)")
    fleet_options(parser)


def run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    from deploy.operate.which import absolute

    environment.enter(absolute(options, arguments), aloud)
    from deploy.operate.drain import put_back, take_out
    from deploy.operate.replica import replicas
    from deploy.operate.site import site

    found = site(options)
    with replicas(found.fleet.backends, key=found.key) as all_of_them:
        if options.back:
            out = put_back(found, all_of_them, options.name, say=aloud)
        else:
            out = take_out(found, all_of_them, options.name, accept_left=options.accept_left, say=aloud)
    if options.json:
        print(json.dumps(asdict(out)))
    elif options.back:
        print(f"{out.name} serves again.")
    else:
        print(f"{out.name} is out of service. {_idle(out.idle)} `python -m deploy drain {out.name} --return` puts it back.")
    return 0


def _idle(seconds: float | None) -> str:
    return "It still answers requests." if seconds is None else f"It had answered what it held after {seconds:.1f} s."
