"""`python -m deploy verify-distribution`: who serves, against what the balancer's strategy promises."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from deploy import environment
from deploy.say import aloud
from deploy.sentence import Sentence

LEAST, MOST = 10, 500


def options(parser: argparse.ArgumentParser) -> None:
    from deploy.operate.which import fleet_options

    parser.add_argument("--requests", type=_requests, default=100, help=f"{LEAST} to {MOST} through the balancer (default: 100)")
    parser.add_argument("--monitor", metavar="URL", help="the monitor that sends them (default: that of `make run`)")
    parser.add_argument("--from-logs", action="store_true", help="send nothing: count `Request completed` in the backends' logs")
    parser.add_argument("--minutes", type=float, default=15.0, help="with --from-logs: how far back (default: 15)")
    parser.add_argument("--logs", action="append", default=[], metavar="NAME=FILE", help="a backend's access.log; repeat it")
    fleet_options(parser)


def run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    from deploy.operate.which import absolute

    environment.enter(absolute(options, arguments), aloud)
    return _from_logs(options) if options.from_logs else _through(options)


def _through(options: argparse.Namespace) -> int:
    from deploy.layout import run_folder
    from deploy.operate.distribution import FINE, through_the_balancer
    from deploy.operate.site import monitor_of

    url, key = monitor_of(run_folder(), options)
    check = through_the_balancer(url, key=key, requests=options.requests, say=aloud)
    if options.json:
        print(json.dumps(check))
    else:
        for share in check["shares"]:
            print(f"{share['backend']:20} {share['requests']:6}  {share['verdict'].replace('_', ' ')}")
        print(check["sentence"] or f"stopped: {check['sent']} of {check['requests']} sent")
    return 0 if check["verdict"] in FINE else 1


def _from_logs(options: argparse.Namespace) -> int:
    from deploy.layout import run_folder
    from deploy.operate.distribution import ago, in_the_logs, judge
    from deploy.operate.site import fleet_of

    fleet = fleet_of(run_folder(), options)
    given = dict(_pair(one) for one in options.logs)
    local = {backend.name: run_folder().logs / backend.name / "access.log" for backend in fleet.backends}
    files = given if options.fleet is not None or given else local
    missing = [backend.name for backend in fleet.backends if backend.name not in files]
    if missing:
        raise Sentence(f"name the log of {', '.join(missing)} with --logs NAME=FILE")
    judged = judge(in_the_logs(files, since=ago(options.minutes, datetime.now(UTC))), fleet)
    if options.json:
        print(json.dumps(asdict(judged)))
    else:
        for share in judged.shares:
            print(f"{share.backend:20} {share.requests:6}  {100 * share.share:5.1f} % of {100 * share.expected:5.1f} % expected")
        print(judged.sentence)
    return 0 if judged.fine else 1


def _pair(text: str) -> tuple[str, Path]:
    name, _, file = text.partition("=")
    if not name or not file:
        raise Sentence(f"--logs {text}: give NAME=FILE", status=2)
    return name, Path(file).absolute()


def _requests(text: str) -> int:
    value = int(text)
    if not LEAST <= value <= MOST:
        raise argparse.ArgumentTypeError(f"between {LEAST} and {MOST}")
    return value
