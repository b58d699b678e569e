"""The short form of `make schema-test`, and that it would find what it looks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from schemathesis import GenerationMode

from tests.api.schema_check import QUICK, Asking, a_service, examine, some_of
from tests.api.service import Service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with a_service(Path(tmp_path_factory.mktemp("schema"))) as running:
        yield running


def untrue(description: dict[str, Any]) -> dict[str, Any]:
    """The service's description with a status, a code, a field's type and a media type that are not so."""
    paths = description["paths"]
    del paths["/v1/subjects/{subject_id}"]["get"]["responses"]["404"]
    refused = paths["/v1/duplicates/{case_id}"]["get"]["responses"]["404"]["content"]["application/problem+json"]
    refused["examples"]["no_such_case"] = refused["examples"].pop("case_not_found")
    description["components"]["schemas"]["Stats"]["properties"]["subjects"]["type"] = "string"
    head = paths["/v1/audit/head"]["get"]["responses"]["200"]
    head["content"] = {"text/csv": head["content"]["application/json"]}
    return description


def test_what_is_not_as_it_is_described_is_found(service: Service) -> None:
    asking = Asking(service, QUICK, description=untrue(service.get("/openapi.json").json()))
    for call in ("GET /v1/subjects/{subject_id}", "GET /v1/duplicates/{case_id}", "GET /v1/stats", "GET /v1/audit/head"):
        some_of(asking, call, GenerationMode.POSITIVE, 6)
    assert set(asking.findings.wrong) == {
        ("GET /v1/subjects/{subject_id}", "Undocumented status code"),
        ("GET /v1/duplicates/{case_id}", "undocumented code case_not_found"),
        ("GET /v1/stats", "Response violates schema"),
        ("GET /v1/audit/head", "Undocumented Content-Type"),
    }


@pytest.mark.timeout(600)  # where the machine has other work, what is left to be reached takes its time
def test_every_operation_answers_as_it_is_described(service: Service) -> None:
    found = examine(service, QUICK)
    assert not found.wrong
    assert not found.unreached()
    assert found.linked
