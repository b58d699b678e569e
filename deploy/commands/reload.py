"""`python -m deploy reload`: the fleet file becomes the balancer's running configuration, or nothing changes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from deploy import environment
from deploy.say import aloud
from deploy.sentence import Sentence


def options(parser: argparse.ArgumentParser) -> None:
    from deploy.operate.which import fleet_options

    fleet_options(parser)


def run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    from deploy.operate.which import absolute

    environment.enter(absolute(options, arguments), aloud)
    from deploy.operate.balancing import apply
    from deploy.operate.site import site
    from deploy.render import folder, taken_out

    found = site(options, needs_key=False)
    if found.balancing is None:
        raise Sentence("this fleet has no balancer of its own to reload")
    down = taken_out.read(found.balancing.folder)
    changed = [str(name) for name in folder.drift(found.balancing.folder, found.balancing.render(found.fleet, down))]
    apply(found.balancing, found.fleet, down)
    if options.json:
        print(json.dumps({"changed": changed, "taken_out": sorted(down)}))
    else:
        print(f"{found.fleet.balancer.kind} runs with the fleet file's configuration ({len(changed)} files changed).")
    return 0
