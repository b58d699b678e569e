"""`python -m deploy render`: the fleet file becomes the configuration of its balancer."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from deploy import environment
from deploy.say import aloud
from deploy.sentence import Sentence

WRONG_FLEET = 2


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fleet", type=Path, required=True, help="the fleet file")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write into")
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 when the folder differs")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    fleet_file, out = options.fleet.absolute(), options.out.absolute()
    environment.enter(_absolute(arguments, options), aloud)
    from deploy.render import documents, folder, taken_out
    from monitor.fleet_file import FleetFileError, read

    try:
        fleet = read(fleet_file)
        down = taken_out.read(out / fleet.balancer.kind)
        rendered = documents.documents(fleet, down=down)
    except FleetFileError as error:
        raise Sentence(str(error), status=WRONG_FLEET) from None
    except Sentence as error:
        raise Sentence("\n".join(f"{fleet_file.name}: {line}" for line in str(error).splitlines()), status=error.status) from None
    changed = [str(name) for name in folder.drift(out, rendered)]
    if not options.check:
        folder.write_all(out, rendered)
    if down:
        aloud(f"still taken out: {', '.join(sorted(down))} (`python -m deploy drain NAME --return` puts one back)")
    _report(options, [str(name) for name in rendered], changed)
    return 1 if options.check and changed else 0


def _absolute(arguments: Sequence[str], options: argparse.Namespace) -> list[str]:
    """The same command for another working folder: `enter` may start it again in the repository."""
    flags = [flag for flag in ("--check", "--json") if flag in arguments]
    return ["render", "--fleet", str(options.fleet.absolute()), "--out", str(options.out.absolute()), *flags]


def _report(options: argparse.Namespace, files: list[str], changed: list[str]) -> None:
    if options.json:
        print(json.dumps({"out": str(options.out), "files": files, "changed": changed}))
        return
    verb = "differs" if options.check else "written"
    for name in files:
        print(f"{options.out / name}: {verb if name in changed else 'as it should be'}")
