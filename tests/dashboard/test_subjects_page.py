from __future__ import annotations

import json
from base64 import b64decode

import pytest
from streamlit.testing.v1 import AppTest

from backend import wire
from tests.dashboard import samples
from tests.dashboard import samples_people as people
from tests.dashboard.conftest import Desktop, html, read, said
from tests.dashboard.stand_in import Asked, Reply, data_uri, problem

LIST = ("GET", "/v1/subjects")
ONE = ("GET", "/v1/subjects/{}")
CASES = ("GET", "/v1/duplicates")
CASE = ("GET", "/v1/duplicates/{}")
UNDO = ("POST", "/v1/duplicates/{}/undo")
TRAIL = ("GET", "/v1/audit")
DETECT = ("POST", "/v1/detect")
CROP = ("GET", "/v1/subjects/{}/samples/{}/image")
ENROL = ("POST", "/v1/subjects")
PHOTO = samples.jpeg((10, 20, 30))


def listed(*subjects: wire.Subject) -> wire.Page[wire.Subject]:
    return wire.Page[wire.Subject](items=list(subjects), total=len(subjects))


@pytest.fixture
def gallery(desktop: Desktop) -> Desktop:
    desktop.backend.routes = {
        LIST: lambda _: listed(samples.subject(1), samples.subject(2, state="merged", merged_into="sub_00000001")),
        ONE: lambda asked: samples.subject(int(asked.path[-1]), merged=["sub_00000002"]),
        CROP: lambda _: Reply(200, samples.jpeg(), "image/jpeg"),
        CASES: lambda _: people.page_of(people.merged_case()),
        CASE: lambda _: people.merged_case(),
        TRAIL: lambda _: people.trail(("subject.patch", {"fields": ["external_id", "metadata"]}), ("subject.enrol", {})),
        DETECT: lambda _: people.detection(people.detected()),
    }
    return desktop


def work(app: AppTest, what: str) -> AppTest:
    return app.segmented_control(key="subjects-work").set_value(what).run()


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click().run()
    assert not app.exception
    return app


# --- list and record --------------------------------------------------------------------------------------------------


def test_subjects_are_listed_with_their_states(gallery: Desktop) -> None:
    app = gallery.open("operator", "subjects")
    assert not app.exception
    page = html(app)
    for part in ("EMP-1", "EMP-2", "Active", "Merged", "name: Person 1, site: north"):
        assert part in page


def test_a_search_is_asked_of_the_backend(gallery: Desktop) -> None:
    app = gallery.open("operator", "subjects")
    app.text_input(key="subjects-query").set_value(" EMP-1 ").run()
    assert gallery.backend.asked[-1].query["query"] == "EMP-1"


def test_an_empty_gallery_and_a_search_without_result_say_different_things(desktop: Desktop) -> None:
    desktop.backend.routes = {LIST: lambda _: listed()}
    app = desktop.open("operator", "subjects")
    assert "Nobody is enrolled yet." in said(app)
    app.text_input(key="subjects-query").set_value("x").run()
    assert "No subject fits this search." in said(app)


def test_a_backend_that_dies_leaves_the_last_list_with_its_age(gallery: Desktop) -> None:
    app = gallery.open("operator", "subjects")
    gallery.backend.stop()
    app.run()
    assert "Below is the last list, from just now." in app.warning[0].value
    assert "EMP-1" in html(app)


def test_a_backend_that_was_never_reached_is_named(gallery: Desktop) -> None:
    gallery.backend.stop()
    app = gallery.open("operator", "subjects")
    assert not app.exception
    assert "No backend can be reached" in app.error[0].value


def test_a_record_opens_by_its_id_and_shows_merges_and_history(gallery: Desktop) -> None:
    app = gallery.open("reviewer", "subjects")
    press(app, "open-sub_00000001")
    assert app.query_params["id"] in ("sub_00000001", ["sub_00000001"])
    page = said(app)
    for part in ("EMP-1", "site", "north", "enrolled", "sample 1 added", "was merged into this record", "decided: same person"):
        assert part in page


def test_reviewers_see_faces_and_operators_do_not_even_ask_for_them(gallery: Desktop) -> None:
    assert data_uri(samples.jpeg()) in html(gallery.open("reviewer", "subjects", subject="sub_00000001"))
    assert gallery.backend.count(*CROP) == 1
    app = gallery.open("operator", "subjects", subject="sub_00000001")
    assert "data:image" not in html(app)
    assert "Faces are shown to reviewers only." in said(app)
    assert gallery.backend.count(*CROP) == 1


def test_a_subject_that_is_not_there_is_said_in_the_apis_words(gallery: Desktop) -> None:
    gallery.backend.routes[ONE] = lambda _: problem(404, "subject_not_found", "No such subject in this gallery")
    assert "No such subject in this gallery." in read(gallery.open("reviewer", "subjects", subject="sub_x").error[0].value)


# --- what may be done -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "offered"),
    [
        ("operator", ["Find", "Enrol", "Verify", "Identify"]),
        ("reviewer", ["Find", "Verify", "Identify"]),
        ("supervisor", ["Find", "Verify", "Identify"]),
        ("admin", ["Find", "Enrol", "Verify", "Identify"]),
    ],
)
def test_each_role_is_offered_what_it_may_do(gallery: Desktop, role: str, offered: list[str]) -> None:
    app = gallery.open(role, "subjects")
    assert list(app.segmented_control(key="subjects-work").options) == offered


def enrolling(gallery: Desktop) -> AppTest:
    app = work(gallery.open("operator", "subjects"), "Enrol")
    app.file_uploader(key="enrol-file").set_value([("a.jpg", PHOTO, "image/jpeg")]).run()
    app.text_input(key="enrol-external").set_value("EMP-9").run()
    app.text_input(key="enrol-name").set_value("Grace").run()
    return app


def test_enrolling_sends_the_bytes_and_says_what_came_of_it(gallery: Desktop) -> None:
    gallery.backend.routes[ENROL] = lambda _: samples.enrolment()
    app = press(enrolling(gallery), "enrol-do")
    sent = [asked for asked in gallery.backend.asked if (asked.method, asked.path) == ENROL]
    assert len(sent) == 1
    body = json.loads(sent[0].body)
    assert b64decode(body["images"][0]) == PHOTO
    assert (body["external_id"], body["metadata"], body["on_duplicate"], body["face"]) == (
        "EMP-9",
        {"name": "Grace"},
        "flag",
        "only",
    )
    assert "Enrolled. Nobody alike is in the gallery." in said(app)
    assert "Hold the camera still." in html(app), "advice for the next shot"


def test_pressing_enrol_twice_carries_the_same_idempotency_key(gallery: Desktop) -> None:
    gallery.backend.routes[ENROL] = lambda _: samples.enrolment()
    press(press(enrolling(gallery), "enrol-do"), "enrol-do")
    keys = [asked.headers["idempotency-key"] for asked in gallery.backend.asked if (asked.method, asked.path) == ENROL]
    assert len(keys) == 2
    assert keys[0] == keys[1]


def test_duplicates_found_while_enrolling_are_said(gallery: Desktop) -> None:
    found = wire.DuplicateCandidate(subject_id="sub_00000001", sample_id="smp_1", score=0.77, band="review")
    gallery.backend.routes[ENROL] = lambda _: samples.enrolment(duplicates=[found], case_id="case_1")
    assert "sent to review: alike to 1 subject, best score 0.770" in said(press(enrolling(gallery), "enrol-do"))


def test_a_certain_duplicate_that_was_refused_is_said(gallery: Desktop) -> None:
    found = wire.DuplicateCandidate(subject_id="sub_00000001", sample_id="smp_1", score=0.97, band="certain")

    def refuse(_: Asked) -> Reply:
        return Reply(409, samples.enrolment(state="rejected", duplicates=[found]).model_dump_json().encode())

    gallery.backend.routes[ENROL] = refuse
    assert "Not enrolled: 1 subject in the gallery is certainly the same person." in said(press(enrolling(gallery), "enrol-do"))


def test_what_the_backend_refuses_is_shown_in_its_own_words(gallery: Desktop) -> None:
    gallery.backend.routes[ENROL] = lambda _: problem(422, "no_face", "No face was found: send a photograph with one face")
    app = press(enrolling(gallery), "enrol-do")
    assert read(app.error[0].value) == "No face was found: send a photograph with one face."


def test_a_face_is_compared_with_a_subject_found_by_external_id(gallery: Desktop) -> None:
    gallery.backend.routes[("POST", "/v1/verify")] = lambda _: samples.verification()
    app = work(gallery.open("reviewer", "subjects"), "Verify")
    app.file_uploader(key="verify-probe-file").set_value(("p.jpg", PHOTO, "image/jpeg")).run()
    app.text_input(key="verify-subject").set_value("EMP-1").run()
    press(app, "verify-do")
    assert json.loads(gallery.backend.asked[-1].body)["subject_id"] == "sub_00000001"
    page = html(app)
    for part in ("MATCH", "score 0.830, threshold 0.600", "1 in 10,000"):
        assert part in page


def test_two_images_are_compared_and_a_poor_score_is_no_match(gallery: Desktop) -> None:
    gallery.backend.routes[("POST", "/v1/verify")] = lambda _: samples.verification(0.2, "non_match")
    app = work(gallery.open("reviewer", "subjects"), "Verify")
    app.segmented_control(key="verify-against").set_value("Another image").run()
    app.file_uploader(key="verify-probe-file").set_value(("p.jpg", PHOTO, "image/jpeg")).run()
    app.file_uploader(key="verify-reference-file").set_value(("r.jpg", samples.jpeg(), "image/jpeg")).run()
    press(app, "verify-do")
    body = json.loads(gallery.backend.asked[-1].body)
    assert (b64decode(body["image"]), b64decode(body["reference_image"])) == (PHOTO, samples.jpeg())
    assert "NO MATCH" in html(app)


def test_a_search_shows_candidates_by_rank_or_that_nobody_is_alike(gallery: Desktop) -> None:
    best = wire.Candidate(subject_id="sub_00000001", external_id="EMP-1", sample_id="smp_1", score=0.88, rank=1)
    answers = [samples.identification(best), samples.identification()]
    gallery.backend.routes[("POST", "/v1/identify")] = lambda _: answers.pop(0)
    app = work(gallery.open("operator", "subjects"), "Identify")
    app.file_uploader(key="identify-probe-file").set_value(("p.jpg", PHOTO, "image/jpeg")).run()
    press(app, "identify-do")
    assert "1. EMP-1" in html(app)
    assert "1 face searched in 12 templates" in said(app)
    press(app, "identify-do")
    assert "Nobody in the gallery is above the threshold." in said(app)


@pytest.mark.parametrize(
    ("url", "works"), [("http://10.0.0.5:8501/subjects", False), ("https://d.example/", True), ("http://localhost:8501/", True)]
)
def test_where_the_browser_gives_no_camera_the_page_says_so(gallery: Desktop, url: str, works: bool) -> None:
    app = gallery.open("operator", "subjects")
    app.context["url"] = url
    work(app, "Identify")
    app.segmented_control(key="identify-probe-source").set_value("Camera").run()
    assert ("The camera needs https or localhost" in said(app)) is not works
    assert bool(app.get("camera_input")) is works
