"""Putting records together, reasons, and bulks over HTTP: who is let in, and what is refused with which sentence."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backend import wire
from backend.client import BackendClient
from tests.api.pictures import same_woman, woman
from tests.api.service import Service, Site, make_site, problem_of

REASONS = '{"different": ["different_ears"], "same": ["sent_twice"]}'


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    settings = {"BACKEND_REVIEW_REASONS": REASONS, "BACKEND_REVIEW_NOTE_REQUIRED": "suspected_fraud,unsure"}
    verdicts = {"BACKEND_REVIEW_VERDICTS": "same,different,unsure,suspected_fraud"}
    return make_site(tmp_path_factory.mktemp("site") / "site", **settings, **verdicts)


@pytest.fixture
def machine(service: Service) -> BackendClient:
    return service.client(service.site.key("admin"))


@pytest.fixture
def ada(service: Service) -> BackendClient:
    return service.client(service.site.dashboard.token("reviewer"))


@pytest.fixture
def twice(machine: BackendClient) -> Iterator[list[wire.Enrolment]]:
    """Two records of one picture."""
    made = [machine.enrol([woman()]) for _ in range(2)]
    yield made
    for one in made:
        machine.erase_subject(one.subject_id)


def test_the_codes_of_the_site_are_told(ada: BackendClient) -> None:
    told = {one.verdict: (one.reasons, one.needs_note_or_reason) for one in ada.review_codes().verdicts}
    assert told == {
        "same": (["sent_twice"], False),
        "different": (["different_ears"], False),
        "suspected_fraud": ([], True),
        "unsure": ([], True),
    }


def test_the_cases_of_one_subject_are_found_by_its_id(ada: BackendClient, twice: list[wire.Enrolment]) -> None:
    (case,) = ada.cases(subject_id=twice[0].subject_id).items
    assert case.id == twice[1].case_id
    assert set(case.subject_ids) == {one.subject_id for one in twice}
    assert ada.cases(subject_id="sub_nobody").total == 0


def test_the_numbers_are_of_the_days_that_were_asked_for(service: Service) -> None:
    supervisor = service.client(service.site.dashboard.token("supervisor"))
    week, year = supervisor.review_numbers(days=7), supervisor.review_numbers(days=365)
    assert round((week.since - year.since).total_seconds() / 86_400) == 358


def test_what_the_site_does_not_offer_is_refused_with_a_code(service: Service, twice: list[wire.Enrolment]) -> None:
    token = service.site.dashboard.token("reviewer")
    path = f"/v1/duplicates/{twice[1].case_id}/decide"
    for body, code in (
        ({"verdict": "poor_image"}, "verdict_not_offered"),
        ({"verdict": "different", "reason": "sent_twice"}, "unknown_reason"),
        ({"verdict": "different", "reason": "Free Text"}, "invalid_request"),
        ({"verdict": "unsure"}, "note_required"),
    ):
        answer = service.request("POST", path, token, {"version": 1, **body})
        assert (answer.status_code, problem_of(answer)) == (422, code), body
    decided = service.request("POST", path, token, {"version": 1, "verdict": "different", "reason": "different_ears"})
    assert decided.json()["decisions"][0]["reason"] == "different_ears"


def test_records_are_put_together_by_people_and_the_first_answer_says_that_it_is_new(
    service: Service, machine: BackendClient, ada: BackendClient, twice: list[wire.Enrolment]
) -> None:
    ids = [one.subject_id for one in twice]
    body = {"subject_ids": ids}
    by_key = service.request("POST", "/v1/duplicates", service.site.key("admin"), body)
    assert (by_key.status_code, problem_of(by_key)) == (403, "person_needed")
    token = service.site.dashboard.token("reviewer")
    assert service.request("POST", "/v1/duplicates", token, body).status_code == 200
    case = ada.decide(twice[1].case_id or "", wire.Verdict.different, version=1)
    refused = service.request("POST", "/v1/duplicates", token, body)
    assert (refused.status_code, problem_of(refused)) == (409, "decided_different")
    assert case.id in refused.json()["detail"]
    override = {**body, "override_different": True, "note": "they signed alike"}
    assert service.request("POST", "/v1/duplicates", token, override).status_code == 403
    supervisor = service.site.dashboard.token("supervisor", name="eve")
    asked = service.request("POST", "/v1/duplicates", supervisor, override)
    assert (asked.status_code, asked.json()["state"]) == (201, "open")
    assert asked.json()["asked"][0]["note"] == "they signed alike"
    assert "signed" not in str(machine.audit(limit=50))


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"subject_ids": ["sub_1"]}, 422, "invalid_request"),
        ({"subject_ids": ["sub_1", "sub_1"]}, 422, "invalid_request"),
        ({"subject_ids": [f"sub_{n}" for n in range(11)]}, 422, "invalid_request"),
        ({"subject_ids": ["sub_1", "sub_2"], "note": "x" * 2001}, 422, "invalid_request"),
        ({"subject_ids": ["sub_1", "sub_2"], "verdict": "same"}, 422, "invalid_request"),
        ({"subject_ids": ["sub_1", "sub_2"]}, 404, "subject_not_found"),
        ({}, 422, "invalid_request"),
    ],
)
def test_what_cannot_be_put_together_is_refused(service: Service, body: dict[str, object], status: int, code: str) -> None:
    answer = service.request("POST", "/v1/duplicates", service.site.dashboard.token("reviewer"), body)
    assert (answer.status_code, problem_of(answer)) == (status, code)
    assert "sub_1" not in answer.text


def test_one_picture_sent_twice_is_decided_in_bulk_and_another_picture_of_her_is_not(
    machine: BackendClient, ada: BackendClient, twice: list[wire.Enrolment]
) -> None:
    seen = ada.preview_bulk()
    (item,) = seen.items
    assert (item.case_id, item.survivor_id) == (twice[1].case_id, twice[0].subject_id)
    first = ada.decide_bulk(seen.bulk_id, seen.items, reason="sent_twice")
    assert ada.decide_bulk(seen.bulk_id, seen.items, reason="sent_twice") == first
    assert machine.subject(twice[1].subject_id).merged_into == twice[0].subject_id
    assert [one.outcome for one in ada.undo_bulk(seen.bulk_id).results] == ["undone"]
    assert machine.subject(twice[1].subject_id).merged_into is None
    third = machine.enrol([same_woman()])
    assert ada.preview_bulk().items == []
    machine.erase_subject(third.subject_id)


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/preview", {"limit": 201}, "invalid_request"),
        ("/preview", {"source": "elsewhere"}, "invalid_request"),
        ("/preview", {"created_from": "2026-01-01T00:00:00"}, "invalid_request"),
        ("", {"bulk_id": "bulk_of_mine", "items": [{"case_id": "c", "version": 1, "survivor_id": "s"}]}, "invalid_request"),
        ("", {"bulk_id": f"bulk_{0:032x}", "items": []}, "invalid_request"),
        ("", {"bulk_id": f"bulk_{0:032x}", "items": [{"case_id": "c", "version": 1, "survivor_id": "s"}] * 2}, "invalid_request"),
        (
            "",
            {
                "bulk_id": f"bulk_{0:032x}",
                "items": [{"case_id": "c", "version": 1, "survivor_id": "s"}],
                "verdict": "different",
            },
            "invalid_request",
        ),
        (
            "",
            {"bulk_id": f"bulk_{0:032x}", "items": [{"case_id": "c", "version": 1, "survivor_id": "s"}], "reason": "no_such"},
            "unknown_reason",
        ),
    ],
)
def test_a_bulk_that_makes_no_sense_is_refused(service: Service, path: str, body: dict[str, object], code: str) -> None:
    answer = service.request("POST", f"/v1/duplicates/bulk{path}", service.site.dashboard.token("reviewer"), body)
    assert (answer.status_code, problem_of(answer)) == (422, code)


def test_a_bulk_that_never_was_is_not_found(service: Service) -> None:
    answer = service.request("POST", "/v1/duplicates/bulk/bulk_x/undo", service.site.dashboard.token("reviewer"))
    assert (answer.status_code, problem_of(answer)) == (404, "bulk_not_found")
