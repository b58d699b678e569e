"""The least quality that a gallery asks, over HTTP: for a new person, a further image and each of a batch."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator

import pytest
from PIL import ImageFilter

from backend.client import NewSubject
from tests.api.pictures import astronaut, jpeg, same_woman, woman
from tests.api.service import Service, Site, problem_of, serving


@pytest.fixture(scope="module")
def service(site: Site) -> Iterator[Service]:
    with serving(site, BACKEND_MIN_QUALITY='{"Sharpness": 60, "overall": 20}') as running:
        yield running


def soft() -> bytes:
    """Recognised, and enrolled where nothing is asked."""
    return jpeg(astronaut().filter(ImageFilter.GaussianBlur(1.6)))


def test_a_soft_photograph_is_refused_wherever_one_is_enrolled_and_used_wherever_one_is_compared(service: Service) -> None:
    key = service.site.key("admin")
    body = {"images": [b64encode(soft()).decode()]}
    with service.client(key) as client:
        subject_id = client.enrol([woman()]).subject_id
        sharpness = client.detect(soft()).faces[0].quality.components["Sharpness"]
        assert 10 < sharpness < 60
        for path in ("/v1/subjects", f"/v1/subjects/{subject_id}/samples"):
            answer = service.request("POST", path, key, body)
            assert (answer.status_code, problem_of(answer)) == (422, "quality_too_low")
            (error,) = answer.json()["errors"]
            assert (error["field"], error["value"], error["least"]) == ("Sharpness", sharpness, 60)
            assert "focus" in error["problem"]
            assert answer.json()["detail"].startswith(f"Sharpness is {sharpness}, at least 60 is asked.")
        good, bad = client.enrol_batch([NewSubject([same_woman()]), NewSubject([soft()])])
        assert (good.status, bad.status) == (201, 422)
        assert bad.problem is not None
        assert bad.problem.code == "quality_too_low"
        assert bad.problem.errors is not None
        assert bad.problem.errors[0]["least"] == 60
        assert good.enrolment is not None
        assert good.enrolment.quality[0].components["Sharpness"] >= 60
        assert len(client.subject(subject_id).samples) == 1
        verified = client.verify(soft(), subject_id=subject_id)
        assert verified.decision == "match"
        assert verified.quality is not None
        assert verified.quality.components["Sharpness"] == sharpness


@pytest.mark.parametrize(
    ("value", "sentence"),
    [("much", "write a number, or JSON"), ('{"Beauty": 5}', "the components are overall"), ("300", "0 to 100")],
)
def test_a_gate_that_is_none_keeps_the_service_from_starting(site: Site, value: str, sentence: str) -> None:
    refused = site.command("serve", BACKEND_MIN_QUALITY=value)
    assert refused.returncode != 0
    assert "BACKEND_MIN_QUALITY" in refused.stderr
    assert sentence in refused.stderr
