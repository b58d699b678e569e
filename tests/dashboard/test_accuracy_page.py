from __future__ import annotations

import json
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from backend import wire
from tests.dashboard import samples_people as people
from tests.dashboard.conftest import Desktop, html, read, said, switch
from tests.dashboard.stand_in import Asked, problem

CALIBRATION = ("GET", "/v1/calibration")
SIMULATE = ("POST", "/v1/calibration/simulate")
NUMBERS = ("GET", "/v1/duplicates/numbers")


def simulate(asked: Asked) -> wire.Simulation:
    return people.simulation(json.loads(asked.body)["threshold"] or 0.6)


@pytest.fixture
def ledger(desktop: Desktop) -> Desktop:
    desktop.backend.routes = {
        CALIBRATION: lambda _: people.calibration(),
        SIMULATE: simulate,
        NUMBERS: lambda _: people.numbers(),
    }
    return desktop


def asked(ledger: Desktop) -> dict[str, Any]:
    body: dict[str, Any] = json.loads([one for one in ledger.backend.asked if one.method == "POST"][-1].body)
    return body


def test_the_thresholds_stand_with_errors_their_counts_and_their_limits(ledger: Desktop) -> None:
    app = ledger.open("supervisor", "accuracy")
    assert not app.exception
    page = said(app)
    for part in (
        "Duplicates are reviewed from a score of 0.500.",
        "With 120 templates, an enrolment flags a stranger 1 in 38, 0.9 times a day.",
        "Verification (1:1)",
        "none seen in 66: below 4.5 %",
        "6 of 66: 9.1 % (3.4 % to 19 %)",
        "at most 3 of 13,629: below 0.064 %",
        "No target is set",
        "Not on the people enrolled here.",
        "the true limits are wider",
    ):
        assert part in page, part


def test_what_reviewers_decided_is_shown_by_score_with_what_it_cannot_show(ledger: Desktop) -> None:
    page = said(ledger.open("operator", "accuracy"))
    assert "20 pairs of one person, 9 pairs of different people." in page
    assert "the left end is cut off, not empty" in page
    assert "they give no FMR and no FNMR" in page


def test_another_threshold_is_simulated_and_says_what_it_would_have_missed_and_spared(ledger: Desktop) -> None:
    app = ledger.open("operator", "accuracy")
    assert asked(ledger) == {"threshold": 0.5, "target_fpir": None}
    assert "This is the threshold in force" in html(app)
    app.slider(key="accuracy-threshold").set_value(0.6).run()
    assert asked(ledger) == {"threshold": 0.6, "target_fpir": None}
    page = html(app)
    assert "at least 3 duplicates of 20 would have been missed (95 %: 3.2 % to 38 %)" in page
    assert "5 decisions on different people would have been spared" in page
    assert "5 (2 would not have been opened)" in page


def test_a_lower_threshold_says_that_nobody_knows_what_is_below(ledger: Desktop) -> None:
    app = ledger.open("operator", "accuracy")
    app.slider(key="accuracy-threshold").set_value(0.4).run()
    assert "pairs below 0.500 were never looked for" in html(app)


def test_a_target_is_simulated_in_place_of_a_threshold(ledger: Desktop) -> None:
    app = ledger.open("admin", "accuracy")
    app.segmented_control(key="accuracy-by").set_value("A target").run()
    assert asked(ledger) == {"threshold": None, "target_fpir": 0.001}


def test_without_a_calibration_nothing_is_claimed_and_no_target_offered(ledger: Desktop) -> None:
    bare = people.expectation(
        expected_fmr=None,
        expected_fpir=None,
        expected_false_flags_per_day=None,
        reason="No calibration is known for this recogniser.",
    )
    ledger.backend.routes[CALIBRATION] = lambda _: people.calibration(calibration=None, expected=bare)
    app = ledger.open("operator", "accuracy")
    assert "How often it flags strangers is not known." in html(app)
    assert "python -m backend calibrate" in said(app)
    assert list(app.segmented_control(key="accuracy-by").options) == ["A threshold"]


def test_before_the_first_decision_the_page_says_what_would_be_there(ledger: Desktop) -> None:
    nothing = people.simulation().resolved.model_copy(update={"by_score": [], "missed_at_least": None, "same_flagged": 0})
    ledger.backend.routes[SIMULATE] = lambda _: people.simulation(resolved=nothing)
    assert "No pair that a search flagged has been decided yet" in said(ledger.open("operator", "accuracy"))


def test_agreement_is_for_supervisors_and_names_no_reviewer(ledger: Desktop) -> None:
    app = ledger.open("supervisor", "accuracy")
    page = said(app)
    assert "36 of 40 cases judged by two agreed (90 %); Cohen's kappa 0.74, substantial agreement beyond chance." in read(
        page.replace("&#x27;", "'")
    )
    assert "grace" not in page
    app.segmented_control(key="accuracy-days").set_value(7).run()
    assert [one for one in ledger.backend.asked if one.path == NUMBERS[1]][-1].query["days"] == "7"
    before = ledger.backend.count(*NUMBERS)
    assert "Whether reviewers agree" not in said(ledger.open("operator", "accuracy"))
    assert ledger.backend.count(*NUMBERS) == before


def test_reviewers_have_no_such_page(ledger: Desktop) -> None:
    app = ledger.open("reviewer", "duplicates")
    switch(app, "accuracy")
    assert "Accuracy" not in [title.value for title in app.title]
    assert ledger.backend.count(*CALIBRATION) == 0


def test_a_backend_that_dies_leaves_the_last_numbers_and_recovers(ledger: Desktop) -> None:
    app = ledger.open("operator", "accuracy")
    ledger.backend.stop()
    app.run()
    assert "Below is the last calibration" in app.warning[0].value
    assert "6 of 66" in html(app)
    ledger.backend.start()
    app.run()
    assert not app.warning


def test_a_refused_simulation_is_a_sentence_and_the_rest_stays(ledger: Desktop) -> None:
    ledger.backend.routes[SIMULATE] = lambda _: problem(400, "invalid_threshold", "A threshold is between -1 and 1")
    app = ledger.open("operator", "accuracy")
    assert not app.exception
    assert "A threshold is between -1 and 1." in read(app.error[0].value)
    assert "6 of 66" in html(app)


def test_a_chart_is_built_again_where_what_it_shows_has_changed_and_only_there(ledger: Desktop) -> None:
    def charts(app: AppTest) -> list[str]:
        return [element.proto.json for element in app.get("bidi_component")]

    app = ledger.open("operator", "accuracy")
    first = charts(app)
    assert len(first) == 2
    assert charts(app.run()) == first
    points = [point.model_copy(update={"fmr": point.fmr / 2}) for point in people.CURVE.points]
    halved = people.CURVE.model_copy(update={"points": points})
    ledger.backend.routes[CALIBRATION] = lambda _: people.calibration(calibration=halved)
    changed = charts(app.run())
    assert [new == old for new, old in zip(changed, first, strict=True)].count(False) == 1, "the curves; not what was decided"
