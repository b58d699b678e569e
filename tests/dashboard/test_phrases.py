from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from backend import client as backend_client
from dashboard import failures, phrases
from monitor import client as monitor_client


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (86_400, "1 d"),
        (270_000, "3 d 3 h"),
        (8_640_000, "100 d"),
    ],
)
def test_a_length_of_time_is_said_in_its_largest_units(seconds: float, said: str) -> None:
    assert phrases.span(seconds) == said


def test_an_age_below_a_second_or_from_a_fast_clock_is_just_now() -> None:
    assert phrases.ago(0.4) == phrases.ago(-3) == "just now"
    assert phrases.ago(5) == "5 s ago"


def test_a_moment_carries_its_distance_before_or_ahead() -> None:
    at = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    zone = ZoneInfo("Europe/Berlin")
    assert phrases.when(at, at.timestamp() + 180, zone) == "01 Mar 2026, 13:00 (3 min ago)"
    assert phrases.when(at, at.timestamp() - 7200, zone) == "01 Mar 2026, 13:00 (in 2 h)"
    assert phrases.when(at, at.timestamp() + 0.5, zone) == "01 Mar 2026, 13:00 (just now)"
    assert phrases.when(None, 0.0, zone) == "–"


def test_moments_are_in_the_readers_zone() -> None:
    at = datetime(2026, 7, 1, 23, 30, tzinfo=UTC)
    assert phrases.moment(at, ZoneInfo("Europe/Berlin")) == "02 Jul 2026, 01:30"
    assert phrases.moment(None, UTC) == "–"


def test_numbers_carry_their_units_and_nothing_is_a_dash() -> None:
    assert phrases.percent(0.3333, 1) == "33.3 %"
    assert phrases.milliseconds(3.21) == "3.2 ms"
    assert phrases.milliseconds(1234) == "1.2 s"
    assert phrases.number(12345.6, 1, "MiB") == "12,345.6 MiB"
    assert phrases.days(0.5) == "12 h"
    assert phrases.days(-2) == "expired 2 d ago"
    assert {
        phrases.percent(None),
        phrases.milliseconds(None),
        phrases.number(None),
        phrases.days(None),
        phrases.one_in(None),
    } == {"–"}


def test_counts_and_chances_read_as_words() -> None:
    assert phrases.counted(1, "case") == "1 case"
    assert phrases.counted(1200, "case") == "1,200 cases"
    assert phrases.one_in(0.0001) == "1 in 10,000"
    assert phrases.one_in(0) == "none expected"
    assert phrases.one_in(0.9) == "nearly always"


def test_ids_are_shortened_at_the_end_that_differs() -> None:
    assert phrases.short_id("sub_01a20b752722744cb80d2691b8e06dac") == "sub…e06dac"
    assert phrases.short_id("sub_1") == "sub_1"


def test_each_failure_of_an_api_is_a_sentence_and_nothing_else_is_taken_for_one() -> None:
    refused = backend_client.ProblemError(409, "lease_held", "Somebody else holds this case")
    away = backend_client.Unreachable({"https://b1": "ConnectError"})
    silent = monitor_client.Unreachable("http://m", "refused")
    assert [failures.sentence(error) for error in (refused, away, silent)] == [
        "Somebody else holds this case.",
        "No backend can be reached (https://b1).",
        "The monitor cannot be reached (http://m).",
    ]
    assert failures.is_conflict(refused)
    assert not failures.is_away(refused)
    assert failures.is_away(away)
    assert failures.is_away(backend_client.ProblemError(503, "database_away", "The database does not answer"))
    with pytest.raises(TypeError):
        failures.sentence(ValueError("x"))


def test_a_text_from_afar_stays_text_where_markdown_is_read() -> None:
    assert phrases.plain("![x](https://e.example) :red[a] $x$ *b*") == r"\!\[x\]\(https\://e\.example\) \:red\[a\] \$x\$ \*b\*"
    assert phrases.plain("Grace\n# Hopper") == r"Grace \# Hopper"
