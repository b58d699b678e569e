"""`python -m deploy render`: the fleet file becomes configuration: balancers, and what else `deploy.render.targets` lists."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy import environment
from deploy.say import aloud
from deploy.sentence import Sentence

WRONG_FLEET = 2


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fleet", type=Path, required=True, help="the fleet file")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write into")
    parser.add_argument(
        "--only", default="", metavar="TARGET,…", help="what to render, or `all`; default: what the fleet file asks for"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; show what differs, exit status 1 when anything does")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    fleet_file, out = options.fleet.absolute(), options.out.absolute()
    environment.enter(_absolute(arguments, options), aloud)
    from deploy.render import folder

    rendered = _rendered(fleet_file, [word.strip() for word in options.only.split(",") if word.strip()])
    differences = {str(name): folder.difference(out, name, rendered[name]) for name in folder.drift(out, rendered)}
    if not options.check:
        folder.write_all(out, rendered)
    _report(options, [str(name) for name in rendered], differences)
    return 1 if options.check and differences else 0


def _rendered(fleet_file: Path, only: Sequence[str]) -> dict[Path, str]:
    from deploy.render import locate, targets
    from monitor.fleet_file import FleetFileError, read

    try:
        fleet = read(fleet_file)
    except FleetFileError as error:
        raise Sentence(str(error), status=WRONG_FLEET) from None
    try:
        return targets.rendered(fleet, only)
    except Sentence as error:
        said = str(error) if str(error).startswith("--only") else locate.with_lines(str(error), fleet_file, fleet)
        raise Sentence(said, status=error.status) from None


def _absolute(arguments: Sequence[str], options: argparse.Namespace) -> list[str]:
    """The same command for another working folder: `enter` may start it again in the repository."""
    flags = [flag for flag in ("--check", "--json") if flag in arguments]
    only = ["--only", options.only] if options.only else []
    return ["render", "--fleet", str(options.fleet.absolute()), "--out", str(options.out.absolute()), *only, *flags]


def _report(options: argparse.Namespace, files: list[str], differences: Mapping[str, str]) -> None:
    if options.json:
        shown = {"diffs": dict(differences)} if options.check else {}
        print(json.dumps({"out": str(options.out), "files": files, "changed": list(differences), **shown}))
        return
    verb = "differs" if options.check else "written"
    for name in files:
        print(f"{options.out / name}: {verb if name in differences else 'as it should be'}")
    if options.check:
        for difference in differences.values():
            print(difference, end="")
