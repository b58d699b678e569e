"""Several people in one request: an answer for each, in order; what is refused concerns one alone; safe to send again."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from backend import deadline
from backend.batch import LEDGER_SHARE, Batches, BatchRules
from backend.client import BackendClient, NewSubject, ProblemError
from backend.enrolment import Outcome, Result
from backend.errors import DeadlineExceeded
from backend.faces.capture import CapturedFace
from backend.folder_enrolment import FolderEnrolment, Options, subjects_in
from backend.folder_notes import StateFile
from backend.intake import Faces
from backend.threads import Threads
from backend.wire import BatchSubject, EnrolResult, FaceChoice, OnDuplicate, Problem, SubjectState
from tests.api.pictures import MADE, group, jpeg, people_of_the_group, same_woman, woman
from tests.api.service import Service, problem_of
from tests.ledger.world import CLIENT, People, World, face


@pytest.fixture(scope="module")
def strangers(service: Service) -> list[bytes]:
    faces = service.client(service.site.key("client")).detect(group()).faces
    return people_of_the_group([(face.box.x, face.box.y, face.box.width, face.box.height) for face in faces])


def test_each_has_the_answer_that_it_would_have_had_by_itself(service: Service, strangers: list[bytes]) -> None:
    api = service.client(service.site.key("client"))
    broken, nobody = MADE["first half of a JPEG"](), jpeg(Image.new("RGB", (300, 300), "grey"))
    api.enrol([strangers[0]], external_id="B-0")
    results = api.enrol_batch(
        [
            NewSubject([woman()], external_id="B-1", metadata={"desk": "4"}),
            NewSubject([broken]),
            NewSubject([same_woman()], external_id="B-2"),
            NewSubject([strangers[1]], external_id="B-0"),
            NewSubject([nobody]),
            NewSubject([same_woman(2)], on_duplicate=OnDuplicate.reject),
        ]
    )
    assert [result.status for result in results] == [201, 400, 201, 409, 422, 409]
    assert [result.problem and result.problem.code for result in results] == [
        None, "corrupt_image", None, "external_id_taken", "no_face", None,
    ]  # fmt: skip
    first, _, second, _, _, last = [result.enrolment for result in results]
    assert first is not None
    assert second is not None
    assert last is not None
    assert (first.external_id, first.state, first.duplicates) == ("B-1", SubjectState.active, [])
    assert [d.subject_id for d in second.duplicates] == [first.subject_id]
    assert last.state is SubjectState.rejected
    assert {d.subject_id for d in last.duplicates} == {first.subject_id, second.subject_id}
    assert api.subject(first.subject_id).metadata == {"desk": "4"}
    assert {face.subject_id for face in api.identify(same_woman(), min_seq=last.seq).faces[0].candidates} == {
        first.subject_id,
        second.subject_id,
    }


def test_a_batch_sent_again_or_cut_otherwise_enrols_nobody_twice(service: Service, strangers: list[bytes]) -> None:
    api = service.client(service.site.key("client"))
    one, two, three = (NewSubject([photograph], idempotency_key=f"p-{i}") for i, photograph in enumerate(strangers[2:5]))
    first = api.enrol_batch([one, two])
    size = api.subjects().total
    again = api.enrol_batch([three, two, one])
    assert again[1:] == first[::-1]
    assert api.subjects().total == size + 1
    other = api.enrol_batch([replace(one, external_id="X-1")])
    assert [result.problem and result.problem.code for result in other] == ["idempotency_key_reused"]


def test_the_key_of_a_whole_batch_stands_for_each_place_in_it(service: Service, strangers: list[bytes]) -> None:
    api = service.client(service.site.key("client"))
    batch = [NewSubject([strangers[5]]), NewSubject([woman()])]
    first = api.enrol_batch(batch, idempotency_key="all-of-them")
    size = api.subjects().total
    assert api.enrol_batch(batch, idempotency_key="all-of-them") == first
    assert api.subjects().total == size


def test_what_is_malformed_anywhere_and_what_is_too_much_is_refused_whole(service: Service) -> None:
    key, size = service.site.key("client"), service.client(service.site.key("client")).subjects().total
    photo = b64encode(woman()).decode()
    wrong = service.request("POST", "/v1/subjects/batch", key, {"subjects": [{"images": [photo]}, {"images": [photo], "x": 1}]})
    assert problem_of(wrong) == "invalid_request"
    assert wrong.json()["errors"][0]["field"] == "subjects.1.x"
    assert problem_of(service.request("POST", "/v1/subjects/batch", key, {"subjects": []})) == "invalid_request"
    with pytest.raises(ProblemError) as refused:
        service.client(key).enrol_batch([NewSubject([woman()])] * 33)
    assert (refused.value.code, refused.value.detail) == ("too_many_subjects", "At most 32 subjects in one batch: split it")
    assert service.client(key).subjects().total == size


def test_decisions_are_counted_one_by_one(service: Service) -> None:
    def enrolments() -> float:
        lines = [line for line in service.get("/metrics").text.splitlines() if 'operation="enrol"' in line]
        return sum(float(line.split()[-1]) for line in lines if line.startswith("face_auth_decisions_total"))

    before = enrolments()
    service.client(service.site.key("client")).enrol_batch(
        [NewSubject([woman()]), NewSubject([b"no image"]), NewSubject([woman()])]
    )
    assert enrolments() == before + 2


class _Slow(Faces):
    """Takes as long for each person as the ledger's share allows."""

    def __init__(self) -> None:
        pass

    async def captures(self, images: Sequence[bytes], choose: FaceChoice) -> list[CapturedFace]:
        await asyncio.sleep(deadline.left_s() - LEDGER_SHARE * DEADLINE_S + 0.01)
        return [face(People().stranger())]


DEADLINE_S = 2.0


def test_those_for_whom_no_time_is_left_are_told_to_come_again_and_the_others_are_enrolled(tmp_path: Path) -> None:
    world, threads = World(tmp_path).create(), Threads()
    node = world.node()
    batches = Batches(
        faces=_Slow(),
        enrolments=node.enrolments,
        threads=threads,
        rules=BatchRules(max_subjects=9, at_once=1, deadline_s=DEADLINE_S),
    )
    people = [BatchSubject(images=[b""], external_id=f"E-{i}") for i in range(3)]

    async def enrol() -> list[Result]:
        deadline.begin(DEADLINE_S)
        return await batches.enrol(people, caller=CLIENT, key="k")

    try:
        first, *rest = asyncio.run(enrol())
        assert isinstance(first, Outcome)
        assert [type(result) for result in rest] == [DeadlineExceeded] * 2
        again, second, third = asyncio.run(enrol())
        assert again == first
        assert isinstance(second, Outcome)
        assert isinstance(third, DeadlineExceeded)
        assert asyncio.run(_late(batches, people[2:])) == DeadlineExceeded, "who helps nobody says so by the status"
    finally:
        threads.close(5)
        world.close()


async def _late(batches: Batches, people: Sequence[BatchSubject]) -> type[Exception]:
    deadline.begin(0)
    with pytest.raises(DeadlineExceeded) as told:
        await batches.enrol(people, caller=CLIENT, key="late")
    return told.type


class _Overloaded(BackendClient):
    """Meets an overload in the midst of its first batch."""

    batches = 0

    def enrol_batch(self, subjects: Sequence[NewSubject], *, idempotency_key: str | None = None) -> list[EnrolResult]:
        self.batches += 1
        results = super().enrol_batch(subjects, idempotency_key=idempotency_key)
        if self.batches > 1:
            return results
        busy = Problem(type="", title="", status=503, detail="", code="overloaded")
        return [results[0], *(EnrolResult(status=503, problem=busy) for _ in results[1:])]


def test_a_folder_is_enrolled_whole_through_an_overload(service: Service, tmp_path: Path) -> None:
    folder = tmp_path / "people"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.jpg").write_bytes(same_woman(i + 3))
    done: list[object] = []
    with _Overloaded([service.url], token=service.site.key("client"), timeout=60) as api:
        size = api.subjects().total
        enrolment = FolderEnrolment(api, StateFile(tmp_path / "state"), Options(), on_done=lambda: done.append(1))
        enrolment.run(subjects_in(folder))
        assert api.batches == 2
        assert (len(enrolment.summary.enrolled), len(done)) == (3, 3)
        assert api.subjects().total == size + 3


class _OverItsLimit(BackendClient):
    """Heard at the third time."""

    batches = 0

    def enrol_batch(self, subjects: Sequence[NewSubject], *, idempotency_key: str | None = None) -> list[EnrolResult]:
        self.batches += 1
        if self.batches < 3:
            raise ProblemError(429, "rate_limited", "wait", retry_after_s=0.01)
        return super().enrol_batch(subjects, idempotency_key=idempotency_key)


def test_a_folder_waits_for_a_key_that_is_over_its_limit(service: Service, tmp_path: Path) -> None:
    folder = tmp_path / "people"
    folder.mkdir()
    (folder / "7.jpg").write_bytes(same_woman(7))
    with _OverItsLimit([service.url], token=service.site.key("client"), timeout=60) as api:
        enrolment = FolderEnrolment(api, StateFile(tmp_path / "state"), Options())
        enrolment.run(subjects_in(folder))
        assert (api.batches, len(enrolment.summary.enrolled), enrolment.summary.failures) == (3, 1, [])
