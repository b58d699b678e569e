"""Eight reviewers at one queue while replicas are killed: no case is ever two people's, and no decision is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.store.tables import Decision
from tests.system.kills import database
from tests.system.review_log import Hold, ReviewLog, Said, Takeover, claimed_twice, decided_over_somebody
from tests.system.review_replay import Replay
from tests.system.reviewers import Plan, report, run

SUPERVISORS = {"usr_gus"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_queue_is_cleared_and_every_decision_is_its_reviewers(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    if kind == "postgresql":
        request.getfixturevalue("postgres")  # skips, or under CI fails, where none is installed
    with database(kind, tmp_path) as url:
        outcome = run(Plan(cases=40, seed=20_240_229, folder=tmp_path, kills=2, limit_s=300), url)
    print("", *outcome.complaints(), f"db={kind} {report(outcome)}", sep="\n")
    assert outcome.kills == 2
    assert outcome.unresolved == 0
    assert list(outcome.complaints()) == []
    assert outcome.chain == "verified"
    assert outcome.found.decisions >= 60, "hardly any case was judged twice"
    assert outcome.holds


# --- what the check itself notices --------------------------------------------------------------------------------


def hold(person: str, begin: float, until: float, ended: float | None = None) -> Hold:
    return Hold(person, "case_1", asked=begin - 0.1, answered=begin, until=until, ended=ended)


@pytest.mark.parametrize(
    ("other", "twice"),
    [
        (hold("usr_bea", 5, 15), True),
        (hold("usr_bea", 2, 3), True),
        (hold("usr_bea", 10, 20), False),
        (hold("usr_ada", 5, 15), False),
        (hold("usr_bea", 9, 20, ended=9), False),
    ],
)
def test_two_who_held_one_case_at_one_moment_are_noticed(other: Hold, twice: bool) -> None:
    assert bool(claimed_twice([hold("usr_ada", 1, 10), other])) is twice


def test_what_was_given_back_or_taken_over_is_held_no_longer() -> None:
    log = ReviewLog(holds=[hold("usr_ada", 1, 10, ended=4), hold("usr_bea", 5, 15), hold("usr_gus", 8, 18)])
    assert len(claimed_twice(log.holds)) == 1
    log.takeovers.append(Takeover("usr_gus", "case_1", sent=7.8, answered=8))
    log.end_what_was_taken_over()
    assert claimed_twice(log.holds) == []


def test_a_decision_while_somebody_else_held_the_case_is_noticed() -> None:
    said = Said("usr_bea", "case_1", 1, "same", "sub_1", sent=5, answered=6)
    assert decided_over_somebody([hold("usr_ada", 1, 10)], [said])
    assert not decided_over_somebody([hold("usr_ada", 1, 5.5)], [said])
    assert not decided_over_somebody([hold("usr_bea", 1, 10)], [said])


def row(number: int, actor: str, verdict: str, round_: str = "first", *, applied: bool = False, **more: str) -> Decision:
    return Decision(
        id=f"dec_{number}",
        case_id="case_1",
        version=number,
        round=round_,
        verdict=verdict,
        applied=applied,
        actor=f"usr_{actor}",
        **more,
    )


AGREED = (row(1, "ada", "different"), row(2, "bea", "different", "second", applied=True))
ARBITRATED = (
    row(1, "ada", "same", survivor_id="sub_1"),
    row(2, "bea", "same", "second", survivor_id="sub_2"),
    row(3, "gus", "different", "arbitration", applied=True),
)
TAKEN_BACK = (
    row(1, "ada", "different", undone_by="dec_3"),
    row(2, "bea", "different", "second", applied=True, undone_by="dec_3"),
    row(3, "cyd", "undo", undoes="dec_2"),
    row(4, "cyd", "poor_image"),
    row(5, "ada", "poor_image", "second", applied=True),
)


@pytest.mark.parametrize("rows", [AGREED, ARBITRATED, TAKEN_BACK])
def test_a_review_by_the_rules_is_found_right(rows: tuple[Decision, ...]) -> None:
    assert Replay(two=True, supervisors=SUPERVISORS).play(rows) == []


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([row(1, "ada", "different", applied=True)], "applied too early"),
        ([AGREED[0], row(2, "ada", "different", "second", applied=True)], "by somebody who had decided it already"),
        ([*AGREED, row(3, "cyd", "same")], "in the first round while resolved"),
        ([AGREED[0]], "ends second_review, settled 0 times"),
        ([*ARBITRATED[:2], row(3, "cyd", "different", "arbitration", applied=True)], "an arbitration by no supervisor"),
        ([*ARBITRATED[:2], row(3, "gus", "different", "arbitration")], "never applied"),
        ([*TAKEN_BACK[:2], row(3, "cyd", "undo", undoes="dec_1")], "takes back what was not the last"),
        ([AGREED[0], row(2, "bea", "undo", undoes="dec_1")], "by somebody who may not take it back"),
        ([AGREED[0], row(1, "bea", "different", "second", applied=True)], "two at one version"),
    ],
)
def test_a_review_against_the_rules_is_noticed(rows: list[Decision], why: str) -> None:
    assert any(why in wrong for wrong in Replay(two=True, supervisors=SUPERVISORS).play(rows))
