"""Examples of the fleet file in docs/operations.md: as they stand there they belong to a fleet file that is right."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from monitor.fleet import Fleet
from tests.docs.blocks import ROOT, Block, blocks

EXAMPLES = [block for block in blocks() if block.language == "yaml" and block.document == ROOT / "docs" / "operations.md"]


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: block.name)
def test_an_example_of_the_fleet_file_is_one(block: Block) -> None:
    example = yaml.safe_load((ROOT / "deploy" / "fleet.example.yaml").read_text("utf-8"))
    fleet = Fleet.from_data(example | yaml.safe_load(block.text), base=Path("/etc/face-auth"))
    assert fleet.backends


def test_there_is_one() -> None:
    assert EXAMPLES
