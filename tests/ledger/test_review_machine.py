"""A glance at `review_machine`, on both databases; `make review-test` plays it 2,000 times."""

from __future__ import annotations

import pytest

from tests.ledger.conftest import DATABASES
from tests.ledger.review_machine import Places, play


@pytest.mark.parametrize("database", DATABASES)
def test_several_people_at_one_queue_in_any_order(database: str, request: pytest.FixtureRequest) -> None:
    places = Places(request.getfixturevalue("postgres") if database == "postgresql" else None)
    try:
        taken = play(places, examples=12, steps=20, derandomize=True, shrink=False)
    finally:
        places.close()
    assert sum(taken.values()) >= 100
