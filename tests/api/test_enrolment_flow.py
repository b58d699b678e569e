"""From a photograph to a decided duplicate, over two replicas of one database."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from backend import wire
from backend.client import BackendClient, ProblemError
from backend.export_format import SubjectExport
from tests.api.pictures import group, people_of_the_group, same_woman, woman
from tests.api.service import Service, Site, problem_of, serving


@pytest.fixture(scope="module")
def second(site: Site, service: Service) -> Iterator[Service]:
    """Another replica, as another process, over the same database."""
    with serving(site, name="b2") as running:
        yield running


def person(service: Service, *roles: str, name: str = "ada") -> BackendClient:
    return service.client(service.site.dashboard.token(*roles, name=name))


def test_a_duplicate_is_flagged_decided_and_taken_back(site: Site, service: Service, second: Service) -> None:
    client, elsewhere = service.client(site.key("client")), second.client(site.key("client"))
    reviewer = person(second, "reviewer")

    first = client.enrol([woman()], external_id="A-1", metadata={"name": "Eileen"})
    assert (first.state, first.duplicates, first.case_id) == (wire.SubjectState.active, [], None)
    twin = elsewhere.enrol([same_woman()], external_id="A-2")
    assert twin.state is wire.SubjectState.active
    assert [pair.subject_id for pair in twin.duplicates] == [first.subject_id]
    assert twin.case_id is not None

    queue = reviewer.cases(state=wire.CaseState.open)
    assert [case.id for case in queue.items] == [twin.case_id]
    case = reviewer.case(twin.case_id)
    (pair,) = case.pairs
    assert {pair.a.subject_id, pair.b.subject_id} == {first.subject_id, twin.subject_id}
    assert pair.score >= pair.threshold

    crops = [reviewer.sample_image(side.subject_id, side.sample_id) for side in (pair.a, pair.b)]
    for replica in (client, elsewhere):
        again = replica.verify(crops[0], reference_image=crops[1])
        print(f"stored score {pair.score:.6f}, of the two crops {again.score:.6f}")
        assert abs(again.score - pair.score) <= 0.001
    assert elsewhere.verify(woman(), subject_id=twin.subject_id).decision == "match"

    claimed = reviewer.claim(case.id, version=case.version)
    assert claimed.lease is not None
    assert claimed.lease.holder == "usr_ada"
    with pytest.raises(ProblemError) as held:
        person(service, "reviewer", name="bob").claim(case.id)
    assert (held.value.status, held.value.code) == (409, "lease_held")

    decided = reviewer.decide(case.id, wire.Verdict.same, version=claimed.version, survivor_id=first.subject_id, note="same")
    assert decided.state is wire.CaseState.resolved
    merged = client.subject(twin.subject_id)
    assert (merged.state, merged.merged_into) == (wire.SubjectState.merged, first.subject_id)
    assert client.subject(first.subject_id).merged == [twin.subject_id]
    (face,) = client.identify(same_woman(2), min_seq=twin.seq).faces
    assert [candidate.subject_id for candidate in face.candidates] == [first.subject_id]

    reopened = reviewer.undo(case.id, version=decided.version)
    assert reopened.state is wire.CaseState.open
    assert client.subject(twin.subject_id).state is wire.SubjectState.active
    assert [record.verdict for record in reopened.decisions][-1] == "undo"


def test_the_next_case_is_claimed_in_one_step_and_given_back(site: Site, service: Service, second: Service) -> None:
    client = service.client(site.key("client"))
    case_id = client.enrol([same_woman(3)]).case_id
    ada, bob = person(service, "reviewer"), person(second, "reviewer", name="bob")
    mine = ada.next_case()
    assert ada.heartbeat(mine.id).lease is not None
    with pytest.raises(ProblemError) as nothing:
        bob.next_case()
    assert nothing.value.code == "nothing_to_review"
    taken = person(second, "supervisor", name="eve").takeover(mine.id)
    assert taken.lease is not None
    assert taken.lease.holder == "usr_eve"
    released = person(second, "supervisor", name="eve").release(mine.id)
    assert released.lease is None
    assert bob.claim(mine.id).lease is not None
    assert case_id is not None


def test_a_certain_duplicate_is_rejected_where_that_was_asked_for(site: Site, service: Service) -> None:
    client = service.client(site.key("client"))
    client.enrol([woman()])
    before = client.subjects().total
    rejected = client.enrol([woman()], on_duplicate=wire.OnDuplicate.reject)
    assert rejected.state is wire.SubjectState.rejected
    assert {pair.band for pair in rejected.duplicates} >= {"certain"}
    assert client.subjects().total == before


def test_people_of_a_group_are_strangers_to_each_other_and_found_again(site: Site, service: Service, second: Service) -> None:
    client, elsewhere = service.client(site.key("client")), second.client(site.key("client"))
    faces = client.detect(group()).faces
    assert len(faces) == 6
    boxes = [(face.box.x, face.box.y, face.box.width, face.box.height) for face in faces]
    enrolled = [client.enrol([photograph]) for photograph in people_of_the_group(boxes)]
    assert [one.duplicates for one in enrolled] == [[]] * 6
    found = elsewhere.identify(group(), min_seq=enrolled[-1].seq)
    assert [face.candidates[0].subject_id for face in found.faces] == [one.subject_id for one in enrolled]


def test_further_images_join_the_subject(site: Site, service: Service) -> None:
    client = service.client(site.key("operator"))
    subject = client.enrol([woman()]).subject_id
    more = client.add_samples(subject, [same_woman(4)])
    assert more.subject_id == subject
    assert len(client.subject(subject).samples) == 2


def test_of_several_faces_the_largest_is_enrolled_where_that_was_asked_for(site: Site, service: Service) -> None:
    client = service.client(site.key("client"))
    assert client.enrol([group()], face=wire.FaceChoice.largest).state is wire.SubjectState.active


def test_a_subject_is_changed_at_the_version_that_was_read_and_erased(site: Site, service: Service) -> None:
    client, key = service.client(site.key("client")), site.key("client")
    enrolled = service.request("POST", "/v1/subjects", key, {"images": [b64encode(woman()).decode()], "external_id": "B-1"})
    assert enrolled.status_code == 201
    path = enrolled.headers["location"]
    assert path == f"/v1/subjects/{enrolled.json()['subject_id']}"
    read = service.get(path, key)
    etag = read.headers["etag"]
    changed = service.request("PATCH", path, key, {"metadata": {"shelf": "7"}}, **{"If-Match": etag})
    assert (changed.status_code, changed.json()["external_id"], changed.json()["metadata"]) == (200, "B-1", {"shelf": "7"})
    assert changed.headers["etag"] != etag
    for method, body in (("PATCH", {"metadata": {}}), ("DELETE", None)):
        late = service.request(method, path, key, body, **{"If-Match": etag})
        assert (late.status_code, problem_of(late)) == (412, "precondition_failed")
    assert [one.external_id for one in client.subjects(external_id="B-1").items] == ["B-1"]
    assert service.request("DELETE", path, key, **{"If-Match": changed.headers["etag"]}).status_code == 204
    gone = service.get(path, key)
    assert (gone.status_code, problem_of(gone)) == (404, "subject_not_found")


def test_an_external_id_belongs_to_one_subject(site: Site, service: Service) -> None:
    client = service.client(site.key("client"))
    client.enrol([woman()], external_id="C-1")
    with pytest.raises(ProblemError) as taken:
        client.enrol([same_woman(5)], external_id="C-1")
    assert (taken.value.status, taken.value.code) == (409, "external_id_taken")


def test_lists_page_by_cursor_without_loss_or_repetition(site: Site, service: Service) -> None:
    client = service.client(site.key("client"))
    whole = [one.id for one in client.subjects(limit=200).items]
    paged: list[str] = []
    cursor: str | None = None
    while True:
        page = client.subjects(limit=2, cursor=cursor)
        paged += [one.id for one in page.items]
        if (cursor := page.next) is None:
            break
    assert len(whole) > 4
    assert paged == whole
    with pytest.raises(ProblemError) as bad:
        client.subjects(cursor="nonsense")
    assert bad.value.code == "bad_cursor"


# --- idempotency --------------------------------------------------------------------------------------------------


def send(service: Service, key: str, body: dict[str, object], idempotency_key: str) -> httpx.Response:
    return service.request("POST", "/v1/subjects", key, body, **{"Idempotency-Key": idempotency_key})


def test_a_repeated_enrolment_gets_the_first_answer_from_any_replica(site: Site, service: Service, second: Service) -> None:
    key, body = site.key("client"), {"images": [b64encode(same_woman(6)).decode()]}
    with service.client(site.key("viewer")) as watcher:
        first = send(service, key, body, "once")
        before = watcher.stats()
        again = send(second, key, body, "once")
        assert first.status_code == again.status_code == 201
        assert again.json() == first.json()
        assert again.headers["location"] == first.headers["location"]
        assert watcher.stats() == before


def test_a_repeated_rejection_is_repeated(site: Site, service: Service, second: Service) -> None:
    key, body = site.key("client"), {"images": [b64encode(woman()).decode()], "on_duplicate": "reject"}
    service.client(key).enrol([woman()])
    first, again = send(service, key, body, "rejected"), send(second, key, body, "rejected")
    assert first.status_code == again.status_code == 409
    assert again.json()["subject_id"] == first.json()["subject_id"]


def test_the_same_key_with_another_body_is_refused(site: Site, service: Service) -> None:
    key, image = site.key("client"), b64encode(woman()).decode()
    assert send(service, key, {"images": [image]}, "reused").status_code == 201
    other = send(service, key, {"images": [image], "external_id": "other"}, "reused")
    assert (other.status_code, problem_of(other)) == (422, "idempotency_key_reused")


def test_callers_do_not_share_idempotency_keys(site: Site, service: Service) -> None:
    body = {"images": [b64encode(woman()).decode()]}
    one, other = send(service, site.key("client"), body, "shared"), send(service, site.key("operator"), body, "shared")
    assert one.json()["subject_id"] != other.json()["subject_id"]


def test_an_answer_that_was_given_needs_no_inference_again(site: Site, service: Service, second: Service) -> None:
    key, body = site.key("client"), {"images": [b64encode(same_woman(7)).decode()] * 4}
    first = send(service, key, body, "fast")
    again = send(second, key, body, "fast")
    print(f"first {first.elapsed.total_seconds():.2f} s, again {again.elapsed.total_seconds():.2f} s")
    assert again.json() == first.json()
    assert again.elapsed < first.elapsed / 2


@pytest.mark.parametrize("bad", ["", "x" * 201])
def test_an_idempotency_key_has_a_length(site: Site, service: Service, bad: str) -> None:
    answer = send(service, site.key("client"), {"images": ["AA=="]}, bad)
    assert (answer.status_code, problem_of(answer)) == (422, "invalid_request")


def test_the_same_bytes_and_key_for_another_subject_are_another_request(site: Site, service: Service) -> None:
    key = site.key("client")
    image = b64encode(woman()).decode()
    first = send(service, key, {"images": [image]}, "one-key")
    assert first.status_code == 201
    path = f"/v1/subjects/{first.json()['subject_id']}/samples"
    other = service.request("POST", path, key, {"images": [image]}, **{"Idempotency-Key": "one-key"})
    assert (other.status_code, problem_of(other)) == (422, "idempotency_key_reused")


def test_an_export_is_one_json_document_that_no_cache_keeps(site: Site, service: Service) -> None:
    client = service.client(site.key("client"))
    subject = client.enrol([same_woman(5)], external_id="X-1")
    answer = service.get(f"/v1/subjects/{subject.subject_id}/export", site.key("admin"))
    assert answer.status_code == 200
    assert answer.headers["etag"] == f'"{client.subject(subject.subject_id).version}"'
    assert answer.headers["cache-control"] == "no-store"
    document = SubjectExport.model_validate(answer.json())
    assert document.records[0].external_id == "X-1"
    crop = person(service, "reviewer").sample_image(subject.subject_id, subject.sample_ids[0])
    assert [sample.crop for sample in document.samples] == [crop]
    assert SubjectExport.model_validate_json(person(service, "supervisor").export_subject(subject.subject_id)).samples


def test_one_picture_is_erased_and_the_only_one_is_not(site: Site, service: Service) -> None:
    client = service.client(site.key("client"))
    subject = client.enrol([same_woman(6), same_woman(7)], external_id="X-2")
    first, second = subject.sample_ids
    version = client.subject(subject.subject_id).version
    with pytest.raises(ProblemError) as outdated:
        client.erase_sample(subject.subject_id, first, version=version + 1)
    assert (outdated.value.status, outdated.value.code) == (412, "precondition_failed")
    client.erase_sample(subject.subject_id, first, version=version)
    assert [sample.id for sample in client.subject(subject.subject_id).samples] == [second]
    with pytest.raises(ProblemError) as last:
        client.erase_sample(subject.subject_id, second)
    assert (last.value.status, last.value.code) == (409, "last_sample")
    assert "erase that subject" in last.value.detail


def test_a_retention_time_is_kept_shown_and_refused_in_the_past(site: Site, service: Service) -> None:
    client, until = service.client(site.key("client")), datetime(2099, 1, 1, tzinfo=UTC)
    subject = client.enrol([same_woman(8)], retain_until=until)
    assert client.subject(subject.subject_id).retain_until == until
    assert client.change_subject(subject.subject_id, {"retain_until": None}).retain_until is None
    for wrong, code in (("2001-01-01T00:00:00Z", "retain_until_past"), ("2099-01-01T00:00:00", "invalid_request")):
        answer = service.request("PATCH", f"/v1/subjects/{subject.subject_id}", site.key("client"), {"retain_until": wrong})
        assert (answer.status_code, problem_of(answer)) == (422, code)
    with pytest.raises(ProblemError) as past:
        client.enrol([same_woman(8)], retain_until=datetime(2001, 1, 1, tzinfo=UTC))
    assert (past.value.status, past.value.code) == (422, "retain_until_past")


def test_who_is_due_stands_in_the_metrics(site: Site, service: Service) -> None:
    text = service.get("/metrics").text
    assert 'face_auth_subjects_due{within_days="0"} 0.0' in text
    assert 'face_auth_subjects_due{within_days="30"}' in text
