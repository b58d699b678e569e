"""Every test of the ledger runs on SQLite and on PostgreSQL, but those marked `ON_SQLITE`: they look into its file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backend import wire
from tests.ledger.invariants import assert_ledger_is_whole
from tests.ledger.world import Node, People, World

DATABASES = ("sqlite", "postgresql")


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """A new, empty database; None: a SQLite file wherever the test makes it."""
    if request.param == "sqlite":
        yield None
        return
    server = request.getfixturevalue("postgres")
    url = server.new_database()
    yield url
    server.drop(url)


@pytest.fixture
def world(tmp_path: Path, database_url: str | None) -> Iterator[World]:
    with whole(World(tmp_path, database_url=database_url).create()) as made:
        yield made


@contextmanager
def whole(made: World) -> Iterator[World]:
    """Torn down with a look at the whole ledger: every test also proves the invariants."""
    try:
        yield made
        if not made.is_sqlite or (made.folder / "ledger.db").exists():
            assert_ledger_is_whole(made)
    finally:
        made.close()


@pytest.fixture
def node(world: World) -> Node:
    return world.node()


@pytest.fixture
def people() -> People:
    return People()


@pytest.fixture
def pair(node: Node, people: People) -> tuple[wire.Enrolment, wire.Enrolment]:
    """Two records that look like one person, and so stand in a case."""
    person = people.stranger()
    return node.enrol(person), node.enrol(people.like(person, 0.8))


@pytest.fixture
def case_id(pair: tuple[wire.Enrolment, wire.Enrolment]) -> str:
    return pair[1].case_id or ""
