"""A first decision is told by nothing before the second: not by an answer, a header, a length, a number, a log."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.blindness import FIRSTS, differences, report, run
from tests.system.crawl import Answer
from tests.system.sameness import Sameness

PARTED_MS = 0x01A2_0000_0000
OLD, NEW, NEWER = ("sub_01a1ffffffff" + "0" * 20, "dec_01a200000001" + "0" * 20, "dec_01a200000001" + "f" * 20)


@pytest.mark.timeout(900)
def test_nothing_tells_the_first_decision_before_the_second(tmp_path: Path) -> None:
    outcome = run(tmp_path, FIRSTS[:2])
    print(f"\n{report(outcome)} told_in_the_end={outcome.told_in_the_end}")
    assert outcome.leaks == []
    assert all(outcome.told_in_the_end), "the second decision tells nothing either: nothing was looked at"
    assert outcome.endpoints >= 18


# --- what the comparison itself notices ---------------------------------------------------------------------------


def alike(one: str, other: str) -> bool:
    return Sameness(PARTED_MS).text(one) == Sameness(PARTED_MS).text(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"verdict":"same"}', '{"verdict":"different"}'),
        ('{"verdict":"same"}', '{"verdict":null}'),
        (f'{{"survivor_id":"{OLD}"}}', f'{{"survivor_id":"{OLD[:-1]}1"}}'),
        (f'{{"survivor_id":"{OLD}"}}', '{"survivor_id":null}'),
        ('{"note":"a"}', '{"note":"aa"}'),
        ('{"has_note":true}', '{"has_note":false}'),
        ('{"version":2}', '{"version":3}'),
        ('{"median_s":1.5}', '{"median_s":null}'),
        ('{"at":"2026-01-31T12:00:00.123Z"}', '{"at":null}'),
        (f'["{NEW}","{NEW}"]', f'["{NEW}","{NEWER}"]'),
        ('face_auth_decisions_total{decision="same",operation="adjudicate"} 1.0', ""),
        ('face_auth_cases{state="open"} 5.0', 'face_auth_cases{state="open"} 4.0'),
        ('http_requests_total{route="/v1/stats"} 5.0', 'http_requests_total{route="/v1/stats"} 4.0'),
        ("Request completed status=200 duration_ms=1.5", "Request completed status=409 duration_ms=1.5"),
    ],
)
def test_what_may_not_differ_is_left_as_it_was_sent(one: str, other: str) -> None:
    assert not alike(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"at":"2026-01-31T12:00:00.123000Z"}', '{"at":"2026-02-01T00:00:00Z"}'),
        (f'["{NEW}","{OLD}"]', f'["{NEWER}","{OLD}"]'),
        ('{"median_s":1.5,"lag_s":0.0}', '{"median_s":12,"lag_s":1e-05}'),
        ("a" * 64, "b" * 64),
        ("Request completed status=200 duration_ms=1.5", "Request completed status=200 duration_ms=12.0"),
        ('health_requests_total{route="/ready"} 5.0', 'health_requests_total{route="/ready"} 4.0'),
    ],
)
def test_times_durations_new_ids_and_hashes_may_differ(one: str, other: str) -> None:
    assert alike(one, other)


def test_answers_that_differ_are_told_and_so_is_one_more() -> None:
    def answer(body: str, *headers: str) -> Answer:
        return Answer("bea GET /v1/duplicates", 200, headers, body)

    assert differences([answer("a")], [answer("a")]) == []
    assert len(differences([answer("a")], [answer("b")])) == 1
    assert len(differences([answer("a", "etag: 1")], [answer("a", "etag: 2")])) == 1
    assert len(differences([answer("a")], [answer("a"), answer("b")])) == 1
