"""One record: history, merges taken back, changes, erasure; each by those who may."""

from __future__ import annotations

import json
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from backend import wire
from dashboard.fetch.seen import LastSeen
from tests.dashboard import samples
from tests.dashboard import samples_people as people
from tests.dashboard.conftest import Desktop, html, read, said
from tests.dashboard.stand_in import Asked, Reply, problem

SUBJECT = "sub_00000001"
ONE = ("GET", "/v1/subjects/{}")
PATCH = ("PATCH", "/v1/subjects/{}")
ERASE = ("DELETE", "/v1/subjects/{}")
ERASE_SAMPLE = ("DELETE", "/v1/subjects/{}/samples/{}")
UNDO = ("POST", "/v1/duplicates/{}/undo")
CASES = ("GET", "/v1/duplicates")
TRAIL = ("GET", "/v1/audit")


@pytest.fixture
def gallery(desktop: Desktop) -> Desktop:
    extra = samples.subject(2).samples
    desktop.backend.routes = {
        ("GET", "/v1/subjects"): lambda _: wire.Page[wire.Subject](items=[samples.subject(1)], total=1),
        ONE: lambda _: samples.subject(1, merged=["sub_00000002"], samples=[*samples.subject(1).samples, *extra], version=4),
        ("GET", "/v1/subjects/{}/samples/{}/image"): lambda _: Reply(200, samples.jpeg(), "image/jpeg"),
        CASES: lambda _: people.page_of(people.merged_case()),
        ("GET", "/v1/duplicates/{}"): lambda _: people.merged_case(),
        TRAIL: lambda _: people.trail(("subject.patch", {"fields": ["external_id", "metadata"]}), ("subject.enrol", {})),
    }
    return desktop


def record(gallery: Desktop, role: str, work: str | None = None) -> AppTest:
    app = gallery.open(role, "subjects", id=SUBJECT)
    if work is not None:
        app.segmented_control(key=f"record-work-{SUBJECT}").set_value(work).run()
    assert not app.exception
    return app


def typing(app: AppTest, key: str, word: str) -> AppTest:
    """Type the word and press the button beneath."""
    app.text_input(key=f"{key}-typed").set_value(word)
    app.button(key=f"{key}-do").click().run()
    assert not app.exception
    return app


def sent(gallery: Desktop, method: str) -> list[Asked]:
    return [asked for asked in gallery.backend.asked if asked.method == method]


# --- history and merges ---------------------------------------------------------------------------------------------


def test_the_history_holds_decisions_for_reviewers_and_the_audit_trail_for_supervisors(gallery: Desktop) -> None:
    reviewer = html(record(gallery, "reviewer"))
    assert "decided: same person" in reviewer
    assert "put before reviewers: score 0.710" in reviewer
    assert gallery.backend.count(*TRAIL) == 0
    supervisor = html(record(gallery, "supervisor"))
    assert "changed: external id, metadata" in supervisor
    assert "grace" in supervisor
    before = gallery.backend.count(*CASES)
    operator = said(record(gallery, "operator"))
    assert "sample 2 added" in operator
    assert "Cases and decisions are shown to reviewers" in operator
    assert gallery.backend.count(*CASES) == before, "operators do not even ask"


def test_the_cases_are_asked_of_this_record_and_read_once(gallery: Desktop) -> None:
    app = record(gallery, "reviewer")
    app.run()
    asked = [one for one in gallery.backend.asked if one.path == "/v1/duplicates"]
    assert {one.query.get("subject_id") for one in asked[-2:]} == {SUBJECT}
    assert gallery.backend.count("GET", "/v1/duplicates/{}") == 1


def test_an_open_case_is_linked(gallery: Desktop) -> None:
    gallery.backend.routes[CASES] = lambda _: people.page_of(samples.case(7))
    assert 'href="/duplicates?case=case_00000007"' in html(record(gallery, "reviewer"))


def test_a_merge_is_taken_back_after_typing_and_the_page_says_where_it_stands(gallery: Desktop) -> None:
    gallery.backend.routes[UNDO] = lambda _: samples.case(1, version=4)
    app = record(gallery, "reviewer")
    typing(app, "unmerge-case_00000001", "EMP-2")
    assert gallery.backend.count(*UNDO) == 0, "another word does nothing"
    assert "Nothing was done: type EMP-1 to confirm." in said(app)
    typing(app, "unmerge-case_00000001", " EMP-1 ")
    assert json.loads(sent(gallery, "POST")[-1].body)["version"] == 3
    assert "Un-merged: the records are separate again" in said(app)


@pytest.mark.parametrize(
    ("state", "sentence"),
    [("second_review", "A second reviewer decides too before"), ("arbitration", "A supervisor settles this case before")],
)
def test_where_another_has_to_agree_first_nothing_is_said_to_be_done(gallery: Desktop, state: str, sentence: str) -> None:
    gallery.backend.routes[UNDO] = lambda _: samples.case(1, state=state, version=4)
    assert sentence in said(typing(record(gallery, "reviewer"), "unmerge-case_00000001", "EMP-1"))


def test_a_refused_undo_is_a_sentence(gallery: Desktop) -> None:
    gallery.backend.routes[UNDO] = lambda _: problem(409, "rests_on", "A later merge rests on it: undo that one first")
    assert "A later merge rests on it: undo that one first." in said(
        typing(record(gallery, "reviewer"), "unmerge-case_00000001", "EMP-1")
    )


def test_operators_cannot_take_a_merge_back(gallery: Desktop) -> None:
    app = record(gallery, "operator")
    assert "Reviewers can take a merge back." in said(app)
    assert not [one for one in app.text_input if "unmerge" in str(one.key)]


# --- what may be done -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "offered"),
    [
        ("operator", ["Change", "Add samples"]),
        ("reviewer", None),
        ("supervisor", ["Erase a sample", "Export", "Erase"]),
        ("admin", ["Change", "Add samples", "Erase a sample", "Export", "Erase"]),
    ],
)
def test_each_role_is_offered_what_it_may_do_with_a_record(gallery: Desktop, role: str, offered: list[str] | None) -> None:
    app = record(gallery, role)
    found = [list(one.options) for one in app.segmented_control if one.key == f"record-work-{SUBJECT}"]
    assert found == ([] if offered is None else [["Read", *offered]])


def test_a_change_sends_what_differs_with_the_version_that_was_seen(gallery: Desktop) -> None:
    gallery.backend.routes[PATCH] = lambda _: samples.subject(1, version=5)
    app = record(gallery, "operator", "Change")
    key = f"change-{SUBJECT}-4"
    app.text_input(key=f"{key}-field-site").set_value("")
    app.text_input(key=f"{key}-new-name").set_value("team")
    app.text_input(key=f"{key}-new-value").set_value("night")
    app.button(key=f"{key}-do").click().run()
    (asked,) = sent(gallery, "PATCH")
    assert asked.headers["if-match"] == '"4"'
    assert json.loads(asked.body) == {"metadata": {"name": "Person 1", "team": "night"}}
    assert "Saved: metadata." in said(app)


def test_what_somebody_else_changed_meanwhile_is_not_overwritten_and_what_was_typed_stays(gallery: Desktop) -> None:
    gallery.backend.routes[PATCH] = lambda _: problem(412, "precondition_failed", "It is not that version any more")
    app = record(gallery, "admin", "Change")
    key = f"change-{SUBJECT}-4"
    app.text_input(key=f"{key}-external").set_value("EMP-77")
    gallery.backend.routes[ONE] = lambda _: samples.subject(1, version=5)
    app.button(key=f"{key}-do").click().run()
    page = said(app)
    assert "It was changed by somebody else meanwhile" in page
    assert "what stands below is older" in page
    assert app.text_input(key=f"{key}-external").value == "EMP-77"
    app.button(key="change-again").click().run()
    assert app.text_input(key=f"change-{SUBJECT}-5-external").value == "EMP-1"


def test_nothing_changed_sends_nothing(gallery: Desktop) -> None:
    app = record(gallery, "operator", "Change")
    app.button(key=f"change-{SUBJECT}-4-do").click().run()
    assert "Nothing was changed." in said(app)
    assert not sent(gallery, "PATCH")


def test_samples_are_added_after_each_was_judged(gallery: Desktop) -> None:
    gallery.backend.routes[("POST", "/v1/detect")] = lambda _: people.detection(people.detected())
    gallery.backend.routes[("POST", "/v1/subjects/{}/samples")] = lambda _: samples.enrolment(subject_id=SUBJECT)
    app = record(gallery, "operator", "Add samples")
    assert app.button(key="add-do").disabled
    app.file_uploader(key=f"add-{SUBJECT}-file").set_value([("a.jpg", samples.jpeg((1, 2, 3)), "image/jpeg")]).run()
    app.button(key="add-do").click().run()
    assert not app.exception
    assert "1 sample added. Nobody alike is in the gallery." in said(app)
    assert sent(gallery, "POST")[-1].headers["idempotency-key"].startswith("dashboard-")


def test_a_sample_is_erased_after_typing_its_number_with_the_version(gallery: Desktop) -> None:
    gallery.backend.routes[ERASE_SAMPLE] = lambda _: Reply(204)
    app = record(gallery, "supervisor", "Erase a sample")
    app.selectbox(key=f"erase-sample-{SUBJECT}").set_value("smp_00000002").run()
    typing(app, "erase-smp_00000002", "sample 1")
    assert not sent(gallery, "DELETE")
    typing(app, "erase-smp_00000002", "sample 2")
    (asked,) = sent(gallery, "DELETE")
    assert (asked.path, asked.headers["if-match"]) == (f"/v1/subjects/{SUBJECT}/samples/smp_00000002", '"4"')
    assert "The sample is erased." in said(app)


def test_the_only_sample_goes_with_its_record(gallery: Desktop) -> None:
    gallery.backend.routes[ONE] = lambda _: samples.subject(1)
    assert "erase the record instead" in said(record(gallery, "supervisor", "Erase a sample"))


def test_erasing_says_what_is_destroyed_and_what_remains_and_needs_the_name(gallery: Desktop) -> None:
    gallery.backend.routes[ERASE] = lambda _: Reply(204)
    app = record(gallery, "supervisor", "Erase")
    page = said(app)
    for part in (
        "This cannot be undone.",
        "1 record merged into it",
        "2 samples",
        "What remains: ids and codes in the audit trail",
    ):
        assert part in page, part
    typing(app, f"erase-{SUBJECT}", "emp-1")
    assert not sent(gallery, "DELETE")
    gallery.backend.routes[ONE] = lambda _: problem(404, "subject_not_found", "No such subject")
    typing(app, f"erase-{SUBJECT}", "EMP-1")
    (asked,) = sent(gallery, "DELETE")
    assert (asked.path, asked.headers["if-match"]) == (f"/v1/subjects/{SUBJECT}", '"4"')
    page = said(app)
    assert "is gone. Its pictures, templates and data are destroyed" in page
    assert "EMP-1" not in page
    assert "EMP-1" not in _session(app), "nothing of the person stays in this session"


def _session(app: AppTest) -> str:
    kept = ("crops", "cases-seen", "outcome", "erased-subject", f"change-{SUBJECT}", "last_seen")
    held: list[Any] = [app.session_state[name] for name in kept if name in app.session_state]
    return " ".join(str(vars(one)) if isinstance(one, LastSeen) else str(one) for one in held)


@pytest.mark.parametrize("blank", [{"external_id": "  "}, {"external_id": None, "metadata": {"name": " \u00a0\n"}}])
def test_a_name_of_spaces_is_not_confirmed_by_typing_nothing(gallery: Desktop, blank: dict[str, Any]) -> None:
    gallery.backend.routes |= {
        ONE: lambda _: samples.subject(1, **({"metadata": {}} | blank)), ERASE: lambda _: Reply(204)
    }  # fmt: skip
    app = record(gallery, "supervisor", "Erase")
    typing(app, f"erase-{SUBJECT}", "")
    assert not sent(gallery, "DELETE")
    typing(app, f"erase-{SUBJECT}", "000001")
    assert len(sent(gallery, "DELETE")) == 1


def test_a_name_of_two_lines_can_be_typed_in_one(gallery: Desktop) -> None:
    gallery.backend.routes |= {
        ONE: lambda _: samples.subject(1, external_id="Ada  King\nLovelace"), ERASE: lambda _: Reply(204)
    }  # fmt: skip
    typing(record(gallery, "supervisor", "Erase"), f"erase-{SUBJECT}", "Ada King Lovelace")
    assert len(sent(gallery, "DELETE")) == 1


def test_an_erasure_of_what_changed_meanwhile_is_refused(gallery: Desktop) -> None:
    gallery.backend.routes[ERASE] = lambda _: problem(412, "precondition_failed", "It is not that version any more")
    app = typing(record(gallery, "supervisor", "Erase"), f"erase-{SUBJECT}", "EMP-1")
    assert "look at it again, and repeat it if it is still right" in said(app)
    assert "EMP-1" in html(app)


def test_the_export_is_a_form_to_a_route_of_ours_and_no_media_file(gallery: Desktop) -> None:
    app = record(gallery, "supervisor", "Export")
    assert f'<form method="post" action="/export/{SUBJECT}">' in html(app)
    assert not app.get("download_button")


# --- the address ------------------------------------------------------------------------------------------------------


def test_a_search_in_the_address_is_done_and_taken_out_of_it(gallery: Desktop) -> None:
    app = gallery.open("operator", "subjects", q="EMP-1")
    assert gallery.backend.asked[-1].query["query"] == "EMP-1"
    assert app.text_input(key="subjects-query").value == "EMP-1"
    assert "q" not in app.query_params


def test_an_address_that_names_no_subject_asks_nobody(gallery: Desktop) -> None:
    before = len(gallery.backend.asked)
    app = gallery.open("admin", "subjects", id="../keys?x=1")
    assert "This address names no subject" in read(app.error[0].value)
    assert not [one for one in gallery.backend.asked[before:] if one.path != "/v1/subjects"]
