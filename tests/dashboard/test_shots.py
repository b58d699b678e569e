"""Photographs judged one by one: what is kept, what is not, and what the person is told to do better."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode

import pytest
from streamlit.testing.v1 import AppTest

from backend import wire
from dashboard.components import shot_card
from dashboard.components.shot_card import Shot
from tests.dashboard import samples
from tests.dashboard import samples_people as people
from tests.dashboard.conftest import Desktop, html, said
from tests.dashboard.stand_in import Asked, problem

DETECT = ("POST", "/v1/detect")
ENROL = ("POST", "/v1/subjects")
SHARP, BLURRED, EMPTY = (samples.jpeg((n, n, n)) for n in (200, 90, 10))
STILL = "Hold the camera still."


def judge(asked: Asked) -> wire.Detection:
    image = b64decode(json.loads(asked.body)["image"])
    faces = {SHARP: [people.detected()], BLURRED: [people.detected(STILL, overall=30)], EMPTY: []}[image]
    return people.detection(*faces)


@pytest.fixture
def booth(desktop: Desktop) -> AppTest:
    desktop.backend.routes = {
        ("GET", "/v1/subjects"): lambda _: wire.Page[wire.Subject](items=[], total=0),
        DETECT: judge,
        ENROL: lambda _: samples.enrolment(),
    }
    app = desktop.open("operator", "subjects")
    return app.segmented_control(key="subjects-work").set_value("Enrol").run()


def shoot(app: AppTest, image: bytes) -> AppTest:
    app.camera_input(key="enrol-camera").set_value(("photo.jpg", image, "image/jpeg")).run()
    assert not app.exception
    return app


def enrolled(desktop: Desktop) -> list[bytes]:
    body = json.loads([one for one in desktop.backend.asked if (one.method, one.path) == ENROL][-1].body)
    return [b64decode(image) for image in body["images"]]


def camera(app: AppTest) -> AppTest:
    app.context["url"] = "https://dashboard.example/subjects"
    return app.segmented_control(key="enrol-source").set_value("Camera").run()


def test_after_each_shot_the_page_says_what_to_do_better_and_keeps_the_good_ones(desktop: Desktop, booth: AppTest) -> None:
    app = shoot(camera(booth), BLURRED)
    assert f"COULD BE BETTER: {STILL} It is not kept" in html(app)
    assert app.button(key="enrol-do").disabled
    shoot(app, EMPTY)
    assert "NOT USABLE: No face was found" in html(app)
    shoot(app, SHARP)
    assert "GOOD: One face, nothing to mend. It is kept." in html(app)
    assert [box.value for box in app.checkbox] == [False, False, True]
    assert [box.disabled for box in app.checkbox] == [False, True, False]
    app.button(key="enrol-do").click().run()
    assert enrolled(desktop) == [SHARP]


def test_a_person_may_keep_a_poor_shot_all_the_same(desktop: Desktop, booth: AppTest) -> None:
    app = shoot(shoot(camera(booth), BLURRED), SHARP)
    app.checkbox[0].check().run()
    app.button(key="enrol-do").click().run()
    assert enrolled(desktop) == [BLURRED, SHARP]


def test_each_picture_is_judged_once_however_often_the_page_runs(desktop: Desktop, booth: AppTest) -> None:
    app = shoot(camera(booth), SHARP)
    app.text_input(key="enrol-name").set_value("Grace").run()
    app.run()
    assert desktop.backend.count(*DETECT) == 1


def test_files_are_judged_too_and_a_poor_one_is_sent_unless_it_has_no_face(desktop: Desktop, booth: AppTest) -> None:
    files = [("a.jpg", BLURRED, "image/jpeg"), ("b.jpg", EMPTY, "image/jpeg")]
    app = booth.file_uploader(key="enrol-file").set_value(files).run()
    assert STILL in html(app)
    app.button(key="enrol-do").click().run()
    assert enrolled(desktop) == [BLURRED]


def test_pictures_are_shown_back_as_data_uris_with_the_face_framed(booth: AppTest) -> None:
    page = html(booth.file_uploader(key="enrol-file").set_value([("a.jpg", SHARP, "image/jpeg")]).run())
    assert b64encode(SHARP).decode("ascii") in page
    assert '<i style="left:25.0%;top:12.5%;width:50.0%;height:62.5%">' in page


def test_what_cannot_be_judged_now_may_be_sent_and_is_judged_when_the_backend_is_back(desktop: Desktop, booth: AppTest) -> None:
    desktop.backend.routes[DETECT] = lambda _: problem(503, "overloaded", "All places are taken: try again")
    app = booth.file_uploader(key="enrol-file").set_value([("a.jpg", SHARP, "image/jpeg")]).run()
    assert "NOT JUDGED" in html(app)
    assert not app.button(key="enrol-do").disabled
    desktop.backend.routes[DETECT] = judge
    app.run()
    assert "GOOD" in html(app)


def test_the_next_person_begins_with_nothing_of_the_last(desktop: Desktop, booth: AppTest) -> None:
    app = shoot(camera(booth), SHARP)
    app.text_input(key="enrol-external").set_value("EMP-9").run()
    app.button(key="enrol-do").click().run()
    app.button(key="enrol-next").click().run()
    assert not app.exception
    assert app.text_input(key="enrol-external").value == ""
    assert "Photograph 1" not in html(app)
    assert app.button(key="enrol-do").disabled
    kept = [name for name in ("enrol-taken", "enrol-judged") if app.session_state.get(name)]
    assert not kept, "no picture of the last person"


def test_possible_duplicates_link_to_their_records_and_the_case_to_whoever_may_see_it(desktop: Desktop, booth: AppTest) -> None:
    found = wire.DuplicateCandidate(subject_id="sub_00000001", sample_id="smp_1", score=0.77, band="review")
    desktop.backend.routes[ENROL] = lambda _: samples.enrolment(duplicates=[found], case_id="case_1")
    app = booth.file_uploader(key="enrol-file").set_value([("a.jpg", SHARP, "image/jpeg")]).run()
    app.button(key="enrol-do").click().run()
    page = html(app)
    assert 'href="/subjects?id=sub_00000001"' in page
    assert "Reviewers have the case." in page
    assert "/duplicates?case=" not in page
    app = desktop.open("admin", "subjects")
    app.segmented_control(key="subjects-work").set_value("Enrol").run()
    app.file_uploader(key="enrol-file").set_value([("a.jpg", SHARP, "image/jpeg")]).run()
    app.button(key="enrol-do").click().run()
    assert 'href="/duplicates?case=case_1"' in html(app)


# --- one shot -------------------------------------------------------------------------------------------------------


def shot(*faces: wire.DetectedFace, camera: bool = True, image: bytes = SHARP) -> Shot:
    return Shot("d", image, camera, people.detection(*faces))


def test_two_people_in_a_picture_are_one_too_many() -> None:
    both = shot(people.detected(), people.detected(x=1.0))
    assert (both.good, both.usable, both.look.tone) == (False, True, "warn")
    assert "2 faces are in it" in both.sentence


def test_a_poor_picture_is_kept_as_a_file_but_not_from_the_camera() -> None:
    poor = people.detected(STILL)
    assert (shot(poor).good, shot(poor, camera=False).good) == (False, True)


def test_a_large_file_is_told_by_its_size_and_not_sent_back() -> None:
    card = shot_card.card(1, shot(people.detected(), image=SHARP + b"\0" * shot_card.SHOWN_BYTES))
    assert "<img" not in card
    assert "2.0 MiB" in card


def test_only_the_best_are_sent_where_more_are_ticked_than_one_request_takes(desktop: Desktop, booth: AppTest) -> None:
    pictures = [samples.jpeg((20 * n, 0, 0)) for n in range(shot_card.MOST + 1)]
    desktop.backend.routes[DETECT] = lambda asked: people.detection(
        people.detected(overall=40 + pictures.index(b64decode(json.loads(asked.body)["image"])))
    )
    app = (
        booth.file_uploader(key="enrol-file").set_value([(f"{n}.jpg", one, "image/jpeg") for n, one in enumerate(pictures)]).run()
    )
    assert "the 10 best of those that are ticked are sent" in said(app)
    app.button(key="enrol-do").click().run()
    assert sorted(enrolled(desktop)) == sorted(pictures[1:])
