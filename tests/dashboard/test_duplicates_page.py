from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from backend import wire
from tests.dashboard import samples
from tests.dashboard.conftest import Desktop, html, read, said
from tests.dashboard.queue import ReviewQueue
from tests.dashboard.stand_in import data_uri, problem

SHOWN = data_uri(samples.jpeg())


@pytest.fixture
def queue(desktop: Desktop) -> ReviewQueue:
    queue = ReviewQueue(samples.case(1), samples.case(2), samples.case(3))
    desktop.backend.routes = queue.routes()  # type: ignore[assignment]
    return queue


def button(app: AppTest, label: str) -> object:
    found = [one for one in app.button if read(one.label) == label]
    assert found, f"no button {label!r} among {[one.label for one in app.button]}"
    return found[0]


def press(app: AppTest, label: str) -> AppTest:
    button(app, label).click()  # type: ignore[attr-defined]
    app.run()
    assert not app.exception
    return app


def shown_case(app: AppTest) -> str | None:
    desk = app.session_state["desk"]
    return desk.case.id if desk.case else None


# --- the three states -------------------------------------------------------------------------------------------------


def test_the_queue_lists_cases_with_their_scores_and_counts(desktop: Desktop, queue: ReviewQueue) -> None:
    app = desktop.open("reviewer", "duplicates")
    assert not app.exception
    page = html(app)
    assert page.count("score 0.710") == 3
    assert "oldest waits 5 h" in page
    assert "3 cases, the most pressing first" in said(app)


def test_an_empty_queue_says_what_would_be_here(desktop: Desktop) -> None:
    desktop.backend.routes = ReviewQueue().routes()  # type: ignore[assignment]
    app = desktop.open("reviewer", "duplicates")
    assert "No case is open" in said(app)
    press(app, "Claim next")
    assert "No case is waiting for you." in said(app)


def test_without_a_backend_the_page_says_so_and_then_shows_the_last_queue_with_its_age(
    desktop: Desktop, queue: ReviewQueue
) -> None:
    desktop.backend.stop()
    app = desktop.open("reviewer", "duplicates")
    assert "No backend can be reached" in app.error[0].value
    desktop.backend.start()
    app.run()
    assert not app.error
    desktop.backend.stop()
    app.run()
    assert "Below is the last queue, from just now." in app.warning[0].value
    assert "score 0.710" in html(app)


# --- working ----------------------------------------------------------------------------------------------------------


def test_claiming_shows_both_faces_inside_the_page_with_the_score_in_words(desktop: Desktop, queue: ReviewQueue) -> None:
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    page = html(app)
    assert page.count(SHOWN) == 2
    assert "/media/" not in page
    assert "Score 0.710: 0.210 above the review threshold of 0.500, in the band that needs a person." in page
    assert "Held by you, 3 min left" in page
    assert "EMP-1" in page
    assert "EMP-2" in page


def test_metadata_that_differ_are_marked_in_a_word(desktop: Desktop, queue: ReviewQueue) -> None:
    page = html(press(desktop.open("reviewer", "duplicates"), "Claim next"))
    assert "<tr class=differs><td>site</td><td>north</td><td>south</td><td>differs</td></tr>" in page
    assert "<tr><td>name</td><td>Person 1</td><td>Person 1</td><td>same</td></tr>" in page


def test_deciding_sends_verdict_survivor_and_note_and_opens_the_next_case_at_once(desktop: Desktop, queue: ReviewQueue) -> None:
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    press(app, "Keep B · EMP-2")
    app.text_input(key="note-case_00000001").set_value("same scar").run()
    press(app, "Same person")
    assert queue.decided == [("case_00000001", "same", "a-reviewer", "sub_00000002", "same scar")]
    assert shown_case(app) == "case_00000002"
    assert "Decided: Same person." in html(app)
    press(app, "Different people")
    assert queue.decided[1] == ("case_00000002", "different", "a-reviewer", None, None), "the note stays with its case"


def test_the_older_subject_remains_unless_another_is_chosen(desktop: Desktop, queue: ReviewQueue) -> None:
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    press(app, "Same person")
    assert queue.decided[0][3] == "sub_00000001"


def test_the_last_decision_can_be_undone_and_its_case_comes_back(desktop: Desktop, queue: ReviewQueue) -> None:
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    press(app, "Same person")
    press(app, "Undo")
    assert queue.decided[-1] == ("case_00000001", "undo", "a-reviewer", None, None)
    assert shown_case(app) == "case_00000001"
    assert "Undone: the case is open again." in html(app)
    assert queue.cases["case_00000002"].lease is None, "the case that was opened next is free again"


def test_every_action_has_a_key_of_its_own(desktop: Desktop, queue: ReviewQueue) -> None:
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    press(app, "Same person")
    keys = {read(one.label): one.proto.shortcut for one in app.button}
    wanted = {"Same person": "s", "Different people": "d", "Twin or relative": "t", "Poor image": "p", "Suspected fraud": "f"}
    wanted |= {"Unsure": "q", "Undo": "u", "Claim next": "n", "Back to the queue": "b"}
    assert {label: keys.get(label, "").lower() for label in wanted} == wanted
    given = [key for key in keys.values() if key]
    assert len(given) == len(set(given))
    assert not {"c", "r"} & {key.lower() for key in given}, "Streamlit has these"


def test_a_conflict_is_a_sentence_and_the_case_is_read_again(desktop: Desktop, queue: ReviewQueue) -> None:
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    changed = queue.change("case_00000001", version=9, lease=samples.lease("bob"))
    press(app, "Same person")
    assert not queue.decided
    assert "It changed meanwhile" in html(app)
    assert app.session_state["desk"].case.version == changed.version
    assert "Held by bob" in html(app)
    assert button(app, "Same person").disabled  # type: ignore[attr-defined]


def test_a_case_that_vanished_in_a_conflict_leads_back_to_the_queue(desktop: Desktop, queue: ReviewQueue) -> None:
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    detail = "This case was joined with case_00000002: go on there"
    desktop.backend.routes[("POST", "/v1/duplicates/{}/decide")] = lambda _: problem(409, "case_joined", detail)
    del queue.cases["case_00000001"]
    press(app, "Same person")
    assert shown_case(app) is None
    assert "joined with case_00000002" in said(app)


def test_the_claim_is_kept_while_the_case_is_open_and_its_loss_is_said(desktop: Desktop, queue: ReviewQueue) -> None:
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    half_a_minute_later(app)
    before = queue.beats
    app.run()
    assert queue.beats == before + 1
    app.run()
    assert queue.beats == before + 1, "not at every redraw"
    queue.change("case_00000001", lease=samples.lease("bob"))
    half_a_minute_later(app)
    app.run()
    assert "Your claim on this case has ended" in html(app)
    assert "Held by bob" in html(app)


def half_a_minute_later(app: AppTest) -> None:
    app.session_state["desk"].beaten_at -= 30


def test_a_case_that_somebody_holds_can_be_seen_but_not_decided(desktop: Desktop, queue: ReviewQueue) -> None:
    queue.change("case_00000001", lease=samples.lease("bob"), state=wire.CaseState.claimed)
    app = desktop.open("reviewer", "duplicates")
    app.segmented_control(key="queue-state").set_value("claimed").run()
    assert "held by bob" in html(app)
    press(app, "Open")
    assert button(app, "Same person").disabled  # type: ignore[attr-defined]
    assert not [one for one in app.button if one.label == "Take over"], "a reviewer takes nothing over"


def test_a_supervisor_takes_a_case_over(desktop: Desktop, queue: ReviewQueue) -> None:
    queue.change("case_00000001", lease=samples.lease("bob"), state=wire.CaseState.claimed)
    app = desktop.open("supervisor", "duplicates")
    app.segmented_control(key="queue-state").set_value("claimed").run()
    press(press(app, "Open"), "Take over")
    assert "Held by you" in html(app)
    assert not button(app, "Same person").disabled  # type: ignore[attr-defined]


def test_going_back_to_the_queue_frees_the_case_for_others(desktop: Desktop, queue: ReviewQueue) -> None:
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    press(app, "Back to the queue")
    assert queue.cases["case_00000001"].lease is None
    assert "The case is back in the queue." in said(app)


def test_claiming_another_case_gives_the_undecided_one_back(desktop: Desktop, queue: ReviewQueue) -> None:
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    press(app, "Claim next")
    assert shown_case(app) == "case_00000002"
    assert queue.cases["case_00000001"].lease is None


def test_when_no_other_case_waits_the_open_one_stays(desktop: Desktop) -> None:
    desktop.backend.routes = ReviewQueue(samples.case(1)).routes()  # type: ignore[assignment]
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    press(app, "Claim next")
    assert shown_case(app) == "case_00000001"
    assert "No other case is waiting." in html(app)


def test_a_cluster_shows_pair_by_pair_and_offers_each_subject_as_survivor(desktop: Desktop) -> None:
    cluster = samples.case(
        1,
        subjects=[samples.subject(1), samples.subject(2), samples.subject(3)],
        pairs=[samples.pair(1, 2, 0.61), samples.pair(2, 3, 0.75)],
    )
    desktop.backend.routes = ReviewQueue(cluster).routes()  # type: ignore[assignment]
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    assert "Score 0.750" in html(app), "the strongest pair first"
    assert "Pair 2 of 2 in this cluster" in said(app)
    press(app, "Next pair")
    assert "Score 0.610" in html(app)
    assert {"Keep A · EMP-1", "Keep B · EMP-2", "Keep C · EMP-3"} <= {read(one.label) for one in app.button}


def test_a_picture_is_fetched_once_however_often_the_page_is_drawn(desktop: Desktop, queue: ReviewQueue) -> None:
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    app.run()
    app.run()
    assert desktop.backend.count("GET", "/v1/subjects/{}/samples/{}/image") == 2, "each look is audited"


def test_where_no_picture_is_stored_its_place_says_why(desktop: Desktop, queue: ReviewQueue) -> None:
    refused = problem(404, "sample_not_found", "No such sample of this subject")
    desktop.backend.routes[("GET", "/v1/subjects/{}/samples/{}/image")] = lambda _: refused
    page = html(press(desktop.open("reviewer", "duplicates"), "Claim next"))
    assert page.count("No such sample of this subject.") == 2


def test_names_and_notes_cannot_become_markup(desktop: Desktop) -> None:
    evil = samples.subject(1, external_id="<script>x</script>", metadata={"<b>k</b>": "<img src=x>"})
    desktop.backend.routes = ReviewQueue(samples.case(1, subjects=[evil, samples.subject(2)])).routes()  # type: ignore[assignment]
    page = html(press(desktop.open("reviewer", "duplicates"), "Claim next"))
    for bad in ("<script", "<b>k", "<img src=x"):
        assert bad not in page


def test_names_and_notes_cannot_become_links_or_images_of_other_hosts(desktop: Desktop) -> None:
    evil = "![x](https://evil.example/x.png)"
    note = wire.DecisionRecord(
        id="dec_1", verdict="undo", note=evil, actor="usr_bob", actor_name="[bob](https://evil.example)", at=samples.now()
    )
    case = samples.case(1, subjects=[samples.subject(1, external_id=evil), samples.subject(2)], decisions=[note])
    desktop.backend.routes = ReviewQueue(case).routes()  # type: ignore[assignment]
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    markdown = [one.label for one in app.button] + [one.value for one in app.caption]
    assert any(evil in read(one) for one in markdown)
    assert not [one for one in markdown if "](" in one]


def test_another_person_in_the_same_tab_finds_nothing_of_the_last_one(desktop: Desktop, queue: ReviewQueue) -> None:
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    assert SHOWN in html(app)
    desktop.sign_in("supervisor")
    app.run()
    assert SHOWN not in html(app)
    assert "desk" not in app.session_state or app.session_state["desk"].case is None


def test_a_button_pressed_after_the_session_ended_does_nothing_but_say_so(desktop: Desktop, queue: ReviewQueue) -> None:
    app = press(desktop.open("reviewer", "duplicates"), "Claim next")
    desktop.cookies[0] = None
    press(app, "Same person")
    assert not queue.decided
    assert "Your session has ended" in said(app)
    assert SHOWN not in html(app)
