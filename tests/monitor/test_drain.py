"""The guard of a drain, and what is remembered of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from monitor.drain import Intent, after_return, left_without, next_step, refused
from monitor.fleet import BalancerKind


@pytest.mark.parametrize(
    ("eligible", "total", "accept_left", "no"),
    [
        ("b1 b2 b3", 3, None, False),
        ("b1 b2", 3, None, True),
        ("b1 b2", 3, 1, False),
        ("b1", 1, None, True),
        ("b1", 1, 0, False),
        ("b1 b2", 2, None, False),
        ("b1 b2", 2, 2, True),
        ("b2 b3", 4, None, False),
        ("b1 b2", 4, None, True),
        ("", 2, 0, False),
    ],
)
def test_the_guard_counts_who_would_serve(eligible: str, total: int, accept_left: int | None, no: bool) -> None:
    left = left_without("b1", eligible.split(), total=total)
    assert "b1" not in left.names
    assert refused(left, accept_left=accept_left) is no


def test_the_sentence_names_how_many_of_how_many() -> None:
    assert left_without("b1", ["b2", "b1"], total=4).sentence == "1 of 4 would be left: b2."
    assert left_without("b1", ["b1"], total=4).sentence == "None of 4 would be left."


def test_what_is_remembered_comes_back_and_what_is_damaged_is_nothing() -> None:
    intent = Intent(datetime(2026, 1, 1, tzinfo=UTC), "usr_ann")
    assert Intent.from_row(intent.to_row()) == intent
    for damaged in (None, {}, {"since": "x", "by": "y"}, {"since": 5}, "text"):
        assert Intent.from_row(damaged) is None


def test_open_source_nginx_must_be_told_by_hand() -> None:
    assert "python -m deploy drain b1" in next_step("b1", BalancerKind.nginx)
    assert "deploy" not in next_step("b1", BalancerKind.haproxy)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (None, "serves again as soon as its /ready passes"),
        ("APP.STATUS.409", "was told to end"),
        ("APP.STATUS.404", "once it is restarted"),
        ("APP.STATUS.403", "with an operator's key"),
        ("MON.KEY", "with an operator's key"),
        ("NET.REFUSED", "return it once more"),
    ],
)
def test_what_follows_a_return_is_told_as_it_is(failure: str | None, said: str) -> None:
    assert said in after_return(failure, "it says no", BalancerKind.haproxy)
    assert "Undo in nginx" in after_return(failure, "it says no", BalancerKind.nginx)
