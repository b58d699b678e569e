from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledger.invariants import assert_ledger_is_whole
from tests.ledger.world import Node, People, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Torn down with a look at the whole ledger: every test also proves the invariants."""
    made = World(tmp_path).create()
    yield made
    if (tmp_path / "ledger.db").exists():
        assert_ledger_is_whole(made)
    made.close()


@pytest.fixture
def node(world: World) -> Node:
    return world.node()


@pytest.fixture
def people() -> People:
    return People()
