"""The case page and the queue's links, as roles see them."""

from __future__ import annotations

import pytest

from backend import wire
from tests.dashboard import samples
from tests.dashboard import samples_review as sr
from tests.dashboard.conftest import Desktop, html, read, said
from tests.dashboard.queue import ReviewQueue
from tests.dashboard.stand_in import Asked, Reply, problem
from tests.dashboard.test_duplicates_page import button, press, shown_case


@pytest.fixture
def queue(desktop: Desktop) -> ReviewQueue:
    two = [sr.seen(samples.subject(1)), sr.seen(samples.subject(2))]
    queue = ReviewQueue(samples.case(1, subjects=two, pairs=[sr.weighed(samples.pair())]), samples.case(2))
    desktop.backend.routes = queue.routes()  # type: ignore[assignment]
    desktop.backend.routes[("GET", "/v1/subjects/{}/samples/{}/image")] = lambda _: Reply(200, sr.face(), "image/jpeg")
    return queue


def asked(desktop: Desktop) -> list[Asked]:
    """Questions for the list of cases."""
    return [one for one in desktop.backend.asked if one.path == "/v1/duplicates"]


# --- links ------------------------------------------------------------------------------------------------------------


def test_a_link_opens_the_queue_narrowed_as_it_says(desktop: Desktop, queue: ReviewQueue) -> None:
    app = desktop.open("reviewer", "duplicates", source="scan", state="claimed", holder="nobody")
    assert not app.exception
    assert dict(asked(desktop)[-1].query) == {"source": "scan", "state": "claimed", "held": "false", "limit": "20"}
    assert app.selectbox(key="queue-source").value == "scan"
    assert app.segmented_control(key="queue-state").value == "claimed"


def test_what_is_chosen_is_asked_of_the_server_and_stands_in_the_address(desktop: Desktop, queue: ReviewQueue) -> None:
    app = desktop.open("reviewer", "duplicates")
    app.selectbox(key="queue-holder").set_value("me").run()
    app.selectbox(key="queue-band").set_value("certain").run()
    app.number_input(key="queue-to").set_value(0.6).run()
    assert dict(asked(desktop)[-1].query) == {
        "state": "open", "assignee": "usr_a-reviewer", "band": "certain", "max_score": "0.6", "limit": "20",
    }  # fmt: skip
    assert {name: app.query_params[name] for name in ("holder", "band", "to")} == {
        "holder": "me", "band": "certain", "to": "0.6",
    }  # fmt: skip
    app.selectbox(key="queue-band").set_value("any").run()
    assert "band" not in app.query_params


def test_the_filters_are_there_again_after_a_case(desktop: Desktop, queue: ReviewQueue) -> None:
    app = press(desktop.open("reviewer", "duplicates", source="enrolment"), "Claim next")
    press(app, "Back to the queue")
    assert app.selectbox(key="queue-source").value == "enrolment"
    assert asked(desktop)[-1].query["source"] == "enrolment"


def test_a_link_to_a_case_opens_and_claims_it_and_leaving_it_leaves_the_address(desktop: Desktop, queue: ReviewQueue) -> None:
    app = desktop.open("reviewer", "duplicates", case="case_00000002")
    assert shown_case(app) == "case_00000002"
    assert queue.cases["case_00000002"].lease is not None
    press(app, "Different people")
    assert app.query_params["case"] == "case_00000001", "the address follows the reviewer to the next case"
    press(app, "Back to the queue")
    assert "case" not in app.query_params
    assert shown_case(app) is None


def test_a_key_that_brings_the_address_of_before_opens_nothing(desktop: Desktop, queue: ReviewQueue) -> None:
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    press(app, "Different people")
    app.query_params["case"] = "case_00000001"  # as a browser sends it that has not heard of the next case yet
    press(app, "Undo")
    assert "Undone: the case is open again." in html(app)
    app.query_params["case"] = "case_00000002"
    press(app, "Different people")
    assert shown_case(app) == "case_00000002"
    assert "Decided: Different people." in html(app)


def test_a_link_to_a_case_that_somebody_holds_shows_it_and_claims_nothing(desktop: Desktop, queue: ReviewQueue) -> None:
    queue.change("case_00000001", lease=samples.lease("bob"), state=wire.CaseState.claimed)
    app = desktop.open("reviewer", "duplicates", case="case_00000001")
    assert "Held by bob" in html(app)
    assert "left: you can look, and decide nothing." in html(app)
    assert button(app, "Same person").disabled  # type: ignore[attr-defined]
    assert desktop.backend.count("POST", "/v1/duplicates/{}/claim") == 0


@pytest.mark.parametrize("case", ["../subjects/sub_00000001/export", "case_00000001?x=", "case_00000001/../x"])
def test_a_link_asks_for_nothing_but_a_case(desktop: Desktop, queue: ReviewQueue, case: str) -> None:
    export = ("GET", "/v1/subjects/{}/export")
    desktop.backend.routes[export] = lambda _: Reply(200, b"{}")
    app = desktop.open("supervisor", "duplicates", case=case)
    assert "This address names no case" in said(app)
    assert shown_case(app) is None
    assert desktop.backend.count(*export) == 0
    assert desktop.backend.count("GET", "/v1/duplicates/{}") == 0
    assert "case" not in app.query_params


def test_a_link_to_no_case_says_so_above_the_queue(desktop: Desktop, queue: ReviewQueue) -> None:
    app = desktop.open("reviewer", "duplicates", case="case_unknown")
    assert "No such case." in said(app)
    assert html(app).count("score 0.710") == 2
    assert "case" not in app.query_params


# --- one case ---------------------------------------------------------------------------------------------------------


def test_both_faces_are_laid_by_their_eyes_and_marked_for_zoom_and_blink(desktop: Desktop, queue: ReviewQueue) -> None:
    page = html(press(desktop.open("reviewer", "duplicates"), "Claim next"))
    assert page.count("rotate(-11.31deg)") == 2
    assert 'data-case="case_00000001"' in page
    for key in ("Z", "X", "E", "?", "J K", "N", "U", "B"):
        assert f"<kbd>{key}</kbd>" in page


def test_the_score_stands_on_its_distributions_with_its_odds(desktop: Desktop, queue: ReviewQueue) -> None:
    page = html(press(desktop.open("reviewer", "duplicates"), "Claim next"))
    assert '<div class="two"' in page
    assert "at least 830 times as often" in page
    assert "far apart" in page


@pytest.mark.parametrize("why", ["no calibration", "another model", "refused"])
def test_without_a_calibration_that_fits_the_scale_is_shown(desktop: Desktop, queue: ReviewQueue, why: str) -> None:
    queue.calibration = sr.calibration(
        "another/model" if why == "another model" else samples.MODEL, counted=why != "no calibration"
    )
    if why == "refused":
        desktop.backend.routes[("GET", "/v1/calibration")] = lambda _: problem(403, "forbidden", "Not for you")
    queue.change("case_00000001", pairs=[samples.pair()])
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    assert '<div class="two"' not in html(app)
    assert 'class="scale"' in html(app)
    assert "Nothing is known of how often strangers reach this score" in html(app)


def test_a_sites_reasons_have_keys_and_go_with_the_decision(desktop: Desktop, queue: ReviewQueue) -> None:
    queue.codes = sr.codes(wire.Verdict.suspected_fraud, different=["different_ears", "age"])
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    assert "Reason (needed for suspected fraud, or a note):" in said(app)
    assert button(app, "different ears").proto.shortcut == "h"  # type: ignore[attr-defined]
    press(app, "different ears")
    press(app, "Different people")
    sent = next(one for one in desktop.backend.asked if one.path.endswith("/decide"))
    assert b'"reason":"different_ears"' in sent.body


def test_a_verdict_that_the_site_does_not_offer_has_no_button(desktop: Desktop, queue: ReviewQueue) -> None:
    queue.codes = wire.ReviewCodes(verdicts=[one for one in sr.codes().verdicts if one.verdict is not wire.Verdict.unsure])
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    assert "Unsure" not in [read(one.label) for one in app.button]


def test_a_key_that_was_pressed_for_a_case_decides_no_other(desktop: Desktop, queue: ReviewQueue) -> None:
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    first = button(app, "Different people")
    first.click()  # type: ignore[attr-defined]
    app.run()
    assert shown_case(app) == "case_00000002"
    first.click()  # type: ignore[attr-defined]  # the same press once more, sent before the next case was seen
    app.run()
    assert [decided[0] for decided in queue.decided] == ["case_00000001"]


def test_a_refused_decision_keeps_the_note_that_was_typed(desktop: Desktop, queue: ReviewQueue) -> None:
    desktop.backend.routes[("POST", "/v1/duplicates/{}/decide")] = lambda _: problem(
        422, "note_required", "`same` needs a reason"
    )
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    app.text_input(key="note-case_00000001").set_value("the scar").run()
    press(app, "Same person")
    assert "needs a reason" in html(app)
    assert app.text_input(key="note-case_00000001").value == "the scar"


def test_a_second_reviewer_is_told_that_there_was_a_first_and_nothing_of_what_was_decided(
    desktop: Desktop, queue: ReviewQueue
) -> None:
    queue.change("case_00000001", state=wire.CaseState.second_review)
    app = desktop.open("reviewer", "duplicates", case="case_00000001")
    queue.change("case_00000001", state=wire.CaseState.second_review)  # a claim leaves the state as it is
    app.session_state["desk"].case = queue.cases["case_00000001"]
    app.run()
    assert "Somebody else decided this case before you." in said(app)
    assert "Same person by" not in said(app)


def test_an_arbiter_sees_both_decisions(desktop: Desktop, queue: ReviewQueue) -> None:
    both = [sr.decision("same", "ada", reason="same_document"), sr.decision("different", "bob", note="the ears")]
    held = samples.lease("a-supervisor")
    queue.change("case_00000001", state=wire.CaseState.arbitration, decisions=both, lease=held)
    page = html(desktop.open("supervisor", "duplicates", case="case_00000001"))
    for told in ("Two people did not agree", "ada", "reason same_document", "bob", "the ears"):
        assert told in page


def test_a_cluster_shows_all_its_members_and_how_alike_every_two_are(desktop: Desktop) -> None:
    queue = ReviewQueue(sr.cluster().model_copy(update={"matrix": sr.matrix()}))
    desktop.backend.routes = queue.routes()  # type: ignore[assignment]
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    page = html(app)
    assert page.count("Portrait of subject") == 3
    assert page.count("compared now") == 2
    assert "A and C" in page
    assert page.count("<img") == 5


# --- identical pictures -----------------------------------------------------------------------------------------------


def test_identical_pictures_are_decided_after_their_number_was_typed(desktop: Desktop, queue: ReviewQueue) -> None:
    items = sr.preview(2).items
    results = [wire.BulkResult(case_id=item.case_id, outcome=wire.BulkOutcome.decided) for item in items]
    desktop.backend.routes[("POST", "/v1/duplicates/bulk/preview")] = lambda _: sr.preview(2)
    desktop.backend.routes[("POST", "/v1/duplicates/bulk")] = lambda _: wire.Bulk(bulk_id=sr.preview(2).bulk_id, results=results)
    app = press(desktop.open("reviewer", "duplicates"), "Identical pictures")
    assert "2 cases would be decided" in said(app).replace("*", "")
    assert button(app, "Decide 2 cases").disabled  # type: ignore[attr-defined]
    app.text_input(key="bulk-number").set_value("2").run()
    press(app, "Decide 2 cases")
    assert "2 cases: 2 decided." in html(app)
    assert button(app, "Undo this bulk")
    press(app, "Back to the queue")
    assert "the most pressing first" in said(app)
