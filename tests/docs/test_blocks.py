"""No block of the documents goes untested without saying why; the guide's headings all have their sections."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

from tests.docs.blocks import ROOT, Block, blocks

AT_MOST_NOT_RUN = 15
BLOCKS = blocks()
GUIDE = """Overview|Health Check Endpoints
1. `/health` - Basic Health Check|2. `/live` - Liveness Probe|3. `/ready` - Readiness Probe
Load Balancing Strategies|1. Round Robin|2. Least Connections|3. IP Hash|Nginx Configuration|Installation|Configuration
Update Backend Servers|SSL Certificates|Test and Reload|Monitoring|HAProxy Configuration|Installation|Configuration
Update Backend Servers|SSL Certificate|Test and Restart|Monitoring|Kubernetes Configuration|Service and Ingress|Health Checks
AWS Application Load Balancer|Target Group Configuration|Load Balancer Configuration|Testing Load Balancer|Basic Connectivity
Load Testing|Verify Load Distribution|Troubleshooting|Backend Server Not Receiving Traffic|High Response Times|SSL/TLS Issues
Best Practices|Monitoring and Alerts|Key Metrics to Monitor|Example Prometheus Queries|Conclusion"""
"""The headings of the load-balancing guide, in its order."""


def of(how: str) -> list[Block]:
    return [block for block in BLOCKS if block.how == how]


def test_every_block_says_how_it_is_tested() -> None:
    silent = [block.name for block in BLOCKS if block.how is None]
    assert silent == [], "put one of the comments of tests/docs/blocks.py before these"


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    not_run = of("not run")
    assert len(not_run) <= AT_MOST_NOT_RUN, [block.name for block in not_run]
    assert all(len(block.what) > 20 for block in not_run)


@pytest.mark.parametrize("block", of("run by"), ids=lambda block: block.name)
def test_who_is_said_to_run_a_block_names_its_document(block: Block) -> None:
    file = ROOT / block.what
    assert file.is_file(), block.what
    assert block.document.name in file.read_text("utf-8"), f"{block.what} does not name {block.document.name}"


@pytest.mark.parametrize("block", [one for one in of("run") if one.what == "options"], ids=lambda block: block.name)
def test_every_command_and_option_that_is_shown_exists(block: Block) -> None:
    commands = re.findall(r"python -m (\S+(?: [a-z][a-z_-]*)*)(.*)", block.text)
    assert commands
    for command, rest in commands:
        words = command.split()
        said = _help(words)
        options = set(re.findall(r"(?<!\S)\[?(--[a-z][a-z-]*)", rest.split("#")[0]))
        assert not {option for option in options if option not in said}, (command, options, said)


def _help(words: list[str]) -> str:
    """Of the longest beginning that is a command: the rest are its arguments."""
    for length in range(len(words), 0, -1):
        done = subprocess.run(
            [sys.executable, "-m", *words[:length], "--help"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode == 0:
            return done.stdout
    raise AssertionError(f"{shlex.join(words)} is no command")


def test_the_guides_headings_stand_in_its_order() -> None:
    text = (ROOT / "docs" / "load-balancing.md").read_text("utf-8")
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    assert re.findall(r"^#{2,3} (.+)$", outside, re.MULTILINE) == GUIDE.replace("\n", "|").split("|")
