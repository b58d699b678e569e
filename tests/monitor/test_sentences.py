"""What a person reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitor.sentences import Identified, Seen, behind, disagreement, of_fleet, waited_for
from monitor.wire import State

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UP, DOWN = State.up, State.down


@pytest.mark.parametrize(
    ("states", "sentence"),
    [
        ([UP, UP, UP], "All 3 backends are up."),
        ([UP, DOWN, UP], "2 of 3 backends are up: b2 is DOWN (NET.REFUSED)."),
        ([UP, DOWN], "1 of 2 backends is up: b2 is DOWN (NET.REFUSED)."),
        ([DOWN], "None of 1 backends are up: b1 is DOWN (NET.REFUSED)."),
        ([UP, State.unknown], "1 of 2 backends is up: b2 has no fresh sample."),
        (
            [State.unknown, State.unknown, DOWN],
            "None of 3 backends are up: b3 is DOWN (NET.REFUSED); b1 and b2 have no fresh sample.",
        ),
    ],
)
def test_the_fleet_in_one_sentence(states: list[State], sentence: str) -> None:
    seen = [Seen(f"b{i}", state, False, "NET.REFUSED" if state is DOWN else None) for i, state in enumerate(states, 1)]
    assert of_fleet(seen) == sentence


def test_a_stale_up_is_not_up() -> None:
    assert "b1 has no fresh sample" in of_fleet([Seen("b1", UP, True, None)])


@pytest.mark.parametrize(
    ("probes", "balancer", "readiness", "traffic", "word"),
    [
        ("up", "down", "up", "no traffic", "the balancer holds it for down"),
        ("up", "maint", "up", "no traffic", "the balancer holds it for maint"),
        ("down", "up", "down", None, "still sends it traffic"),
        ("down", None, None, "up", "served requests"),
        ("up", None, "up", "down", "most of its clients' requests fail"),
        ("up", None, "up", "starved", "no request reaches it"),
        ("up", "up", "down", "up", "not ready"),
    ],
)
def test_a_disagreement_is_said(probes: str, balancer: str | None, readiness: str | None, traffic: str | None, word: str) -> None:
    verdicts = {"probes": probes, "balancer": balancer, "readiness": readiness, "traffic": traffic}
    assert word in (disagreement("b1", verdicts) or "")


@pytest.mark.parametrize(
    "verdicts",
    [("up", "up", "up", "up"), ("up", None, "up", "no traffic"), ("down", "down", "down", None), (None, None, None, None)],
)
def test_where_all_agree_nothing_is_said(verdicts: tuple[str | None, ...]) -> None:
    assert disagreement("b1", dict(zip(("probes", "balancer", "readiness", "traffic"), verdicts, strict=True))) is None


def at(seconds: float, seq: int) -> tuple[datetime, int]:
    return NOW + timedelta(seconds=seconds), seq


def test_a_gallery_is_behind_only_if_it_lacks_what_another_had_well_before() -> None:
    ahead = Identified("b1", [at(0, 50), at(4, 60)])
    near, far = Identified("b2", [at(1, 50), at(5, 58)]), Identified("b2", [at(1, 10), at(5, 10)])
    assert behind(near, [ahead, near]) is None, "58 of 60 a second later is no lag"
    assert behind(ahead, [ahead, far]) is None
    assert behind(far, [ahead, far]) == "The gallery of b2 is behind: it stands at change 10, b1 was at 50 before that."


def test_one_that_hangs_behind_nginx_is_named_with_the_command_that_takes_it_out() -> None:
    said = waited_for("b2", "down", "NET.TIMEOUT.TLS", behind_nginx=True)
    assert said is not None
    assert "`python -m deploy drain b2`" in said
    assert waited_for("b2", "down", "NET.TIMEOUT.TLS", behind_nginx=False) is None
    assert waited_for("b2", "down", "NET.REFUSED", behind_nginx=True) is None
    assert waited_for("b2", "up", "NET.TIMEOUT.TLS", behind_nginx=True) is None
