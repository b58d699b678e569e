"""`python3 -m deploy up`: the whole system on this machine, in the foreground or detached."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy import environment
from deploy.layout import ports, run_folder
from deploy.say import aloud

WAIT_S = 400.0
LEAST_WAIT_S = 60.0
"""However long the installation took, the start itself gets this."""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detach", action="store_true", help="return when all is up; `down` stops it")
    parser.add_argument("--wait", type=float, default=WAIT_S, metavar="SECONDS", help="give up after that (default: 400)")
    parser.add_argument("--json", action="store_true", help="print one JSON object when all is up")
    parser.add_argument("--no-demo", action="store_true", help="enrol no demo faces")
    parser.add_argument("--no-traffic", action="store_true", help="send no demo traffic")
    parser.add_argument("--balancer", choices=("auto", "nginx", "haproxy", "none"), default="auto", help="what stands in front")
    strategies = ("least_connections", "round_robin", "ip_hash")
    parser.add_argument("--strategy", choices=strategies, default=strategies[0], help="how the balancer spreads requests")
    parser.add_argument("--engine", choices=("offline", "insightface"), help="face engine; kept from the first run on")
    parser.add_argument("--pack", type=Path, metavar="FOLDER", help="an installed insightface pack (engine insightface)")


def run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    began = time.monotonic()
    if options.pack is not None:
        arguments = [*arguments, "--pack", str(options.pack.absolute())]  # `enter` may change the working folder
    install_s = environment.enter(arguments, aloud)
    return (_detached if options.detach else _foreground)(options, arguments, began, install_s)


def _detached(options: argparse.Namespace, arguments: Sequence[str], began: float, install_s: float) -> int:
    from deploy.local import detached

    wait_s = max(LEAST_WAIT_S, options.wait - install_s) if install_s else options.wait
    inner = [argument for argument in arguments if argument not in ("--detach", "--json")]
    report = detached.start([*inner, "--wait", str(wait_s)], run=run_folder(), wait_s=wait_s + 5, install_s=install_s, say=aloud)
    summary = report["summary"] | {"start_s": round(time.monotonic() - began, 1)}
    _print(options, summary, report["for_people"])
    return 0


def _foreground(options: argparse.Namespace, arguments: Sequence[str], began: float, install_s: float) -> int:
    from deploy.local import detached
    from deploy.local.foreground import Foreground, Wishes

    report = detached.reporter()
    wishes = Wishes(
        balancer=options.balancer, strategy=options.strategy, engine=options.engine, pack=options.pack, demo=not options.no_demo,
        traffic=not options.no_traffic, wait_s=options.wait,
    )  # fmt: skip

    def announce(summary: dict[str, Any], for_people: str) -> None:
        if report is None:
            _print(options, summary, for_people if options.json else f"{for_people}\n\nCtrl-C stops everything.")
        else:
            report({"summary": summary, "for_people": for_people})

    def say(text: str) -> None:
        aloud(text)
        if report is not None:
            report({"say": text})

    fleet = Foreground(run_folder(), ports(), wishes, say=say, announce=announce, began=began, install_s=install_s)
    try:
        fleet.run()
    except Exception as error:
        if report is not None:
            report({"failed": str(error) or type(error).__name__})
        raise
    return 0


def _print(options: argparse.Namespace, summary: dict[str, Any], for_people: str) -> None:
    print(json.dumps(summary, indent=2) if options.json else for_people, flush=True)
