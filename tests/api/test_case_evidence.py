"""The evidence of a case, the queue by its filters and the numbers of the queue, from the running service."""

from __future__ import annotations

import io

from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from backend import wire
from tests.api.pictures import same_woman, woman
from tests.api.service import Service, Site, problem_of, wait_until


def numbers_of(service: Service) -> dict[str, float]:
    """Of the queue, by name and what changed."""
    families = text_string_to_metric_families(service.get("/metrics").text)
    return {
        ".".join((sample.name, *sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("face_auth_cases_")
    }


def test_a_case_shows_its_evidence_and_the_queue_counts_it(site: Site, service: Service) -> None:
    client = service.client(site.key("client"))
    reviewer = service.client(site.dashboard.token("reviewer", name="ada"))
    first = client.enrol([woman()])
    twin = client.enrol([same_woman()])

    (listed,) = reviewer.cases(order="due", overdue=False, source="enrolment").items
    case = reviewer.case(twin.case_id or "")
    (pair,) = case.pairs
    assert (listed.id, listed.band, listed.due_at) == (case.id, pair.band, case.due_at)
    assert case.due_at is not None
    hours = (case.due_at - case.created_at).total_seconds() / 3600
    assert hours == (24 if case.band == "certain" else 72)

    assert pair.still_flagged is True
    assert pair.threshold_now == pair.threshold
    assert pair.gallery_size_now == 2
    assert pair.margin_at_least is True
    assert pair.margin is not None
    assert abs(pair.margin - (pair.score - pair.threshold)) < 1e-6
    for quality in (pair.quality_a, pair.quality_b):
        assert quality is not None
        assert quality.components
    assert pair.impostor_above is not None
    assert pair.impostor_above.trials == 13_629
    assert pair.expected_fmr == pair.impostor_above.share
    assert pair.genuine_below is not None
    assert (pair.genuine_below.trials, "22 people" in pair.genuine_below.source) == (66, True)
    (entry,) = case.matrix or []
    assert {entry.a, entry.b} == {first.subject_id, twin.subject_id}
    assert (entry.score, entry.flagged, entry.relation) == (pair.score, True, "pair")
    other = "review" if pair.band == "certain" else "certain"
    assert reviewer.cases(band=other).items == []
    assert reviewer.claim(case.id).matrix is None
    assert [one.id for one in reviewer.cases(assignee="usr_ada").items] == [case.id]
    assert reviewer.cases(overdue=True).total == 0
    assert reviewer.cases(held=False).items == []
    assert [one.id for one in reviewer.cases(held=True, max_score=1, created_from=case.created_at).items] == [case.id]
    assert reviewer.cases(created_until=case.created_at).total == 0
    for subject in case.subjects:
        crop = Image.open(io.BytesIO(reviewer.sample_image(subject.id, subject.samples[0].id)))
        left, right = (subject.samples[0].landmarks or [])[:2]
        assert 0 < left[0] < right[0] < crop.width
        assert 0 < left[1] < crop.height

    seen = service.client(site.key("viewer")).stats()
    assert (seen.overdue, seen.opened_last_hour, seen.resolved_last_hour) == (0, 1, 0)
    assert seen.oldest_waiting_case_at is not None
    wait_until(lambda: numbers_of(service).get("face_auth_cases_last_hour.opened") == 1, what="the metrics' next look")
    found = numbers_of(service)
    assert found["face_auth_cases_overdue"] == found["face_auth_cases_last_hour.resolved"] == 0
    assert found["face_auth_cases_oldest_age_seconds"] > 0

    reviewer.decide(case.id, wire.Verdict.different, version=case.version)
    assert service.client(site.key("viewer")).stats().resolved_last_hour == 1


def test_a_filter_that_is_none_is_refused(site: Site, service: Service) -> None:
    token = site.dashboard.token("reviewer")
    for wrong in ("band=blue", "source=guess", "order=oldest", "overdue=perhaps"):
        answer = service.get(f"/v1/duplicates?{wrong}", token)
        assert (answer.status_code, problem_of(answer)) == (422, "invalid_request"), wrong
