from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator, FormatChecker
from playwright.sync_api import expect

from backend import errors, examples, problems
from backend.errors import FaceAuthError, MethodNotAllowed
from backend.openapi import BODIES
from tests.api.service import Service
from tests.system import browser

Operations = dict[str, dict[str, Any]]
NO_OPERATIONS_OWN = {FaceAuthError, MethodNotAllowed}
"""a failure of ours, which is never meant, and a method that a path does not have"""
FAMILIES = {
    errors.NotFound,
    errors.Conflict,
    errors.TooLarge,
    errors.Unprocessable,
    errors.Unavailable,
}
"""never raised themselves: one of each is"""


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = service.get("/openapi.json").json()
    return found


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> Operations:
    return {f"{m.upper()} {path}": operation for path, methods in document["paths"].items() for m, operation in methods.items()}


def test_the_page_asks_only_this_server_for_its_files(service: Service) -> None:
    page = httpx.get(f"{service.url}/docs")
    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(files) == 3
    for file in files:
        assert file.startswith("/docs/assets/")
        assert httpx.get(f"{service.url}{file}").status_code == 200


# --- examples -----------------------------------------------------------------------------------------------------


def contents(operations: Operations) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every media type of every request and answer, with where it stands."""
    for call, operation in operations.items():
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            yield f"{call} takes {kind}", content
        for status, response in operation["responses"].items():
            for kind, content in response.get("content", {}).items():
                yield f"{call} answers {status} {kind}", content


def shown(content: dict[str, Any]) -> list[Any]:
    return [
        *([content["example"]] if "example" in content else []),
        *(one["value"] for one in content.get("examples", {}).values()),
    ]


def test_every_body_and_every_answer_has_an_example(operations: Operations) -> None:
    bare = [where for where, content in contents(operations) if not shown(content) and not where.endswith("image/jpeg")]
    assert not bare
    empty = [
        f"{call} {status}"
        for call, operation in operations.items()
        for status, response in operation["responses"].items()
        if status != "204" and not response.get("content")
    ]
    assert not empty


def test_every_example_is_as_its_schema_says(document: dict[str, Any], operations: Operations) -> None:
    wrong = []
    for where, content in contents(operations):
        schema = {**content.get("schema", {}), "components": document["components"]}
        validator = Draft202012Validator(schema, format_checker=FormatChecker())
        wrong += [f"{where}: {error.message[:200]}" for value in shown(content) for error in validator.iter_errors(value)]
    assert not wrong


def test_the_examples_of_bodies_are_what_the_service_takes() -> None:
    for model in BODIES:
        for example in examples.REQUESTS[model.__name__].values():
            model.model_validate_json(json.dumps(example))


def test_no_example_names_a_field_that_its_answer_lacks(document: dict[str, Any]) -> None:
    """A schema lets more fields pass than it names: a renamed one would stay behind in an example."""
    schemas = document["components"]["schemas"]
    for name, example in examples.ANSWERS.items():
        assert set(example) <= set(schemas[name]["properties"]), name


def every_error(root: type[FaceAuthError] = FaceAuthError) -> Iterator[type[FaceAuthError]]:
    yield root
    for child in root.__subclasses__():
        yield from every_error(child)


def test_every_error_is_shown_where_it_may_be_the_answer(operations: Operations) -> None:
    documented = {
        code
        for operation in operations.values()
        for status, response in operation["responses"].items()
        for code, example in response.get("content", {}).get(problems.MEDIA_TYPE, {}).get("examples", {}).items()
        if example["value"]["status"] == int(status) and example["value"]["code"] == code
    }
    assert documented == {error.code() for error in every_error() if error not in NO_OPERATIONS_OWN | FAMILIES}


def test_every_link_leads_to_an_operation_and_fills_parameters_that_it_has(operations: Operations) -> None:
    by_id = {operation["operationId"]: operation for operation in operations.values()}
    links = [
        link
        for operation in operations.values()
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]
    assert len(links) > 40
    for link in links:
        target = by_id[link["operationId"]]
        assert set(link.get("parameters", {})) <= {parameter["name"] for parameter in target.get("parameters", ())}
        assert ("requestBody" in link) <= ("requestBody" in target)


@pytest.mark.browser
def test_a_browser_shows_the_operations(service: Service, tmp_path: Path) -> None:
    if not browser.chromium():
        pytest.skip("chromium is not installed: `make system`")
    with browser.page() as page:
        page.goto(f"{service.url}/docs")
        expect(page.get_by_text("/v1/verify", exact=True)).to_be_visible()
        browser.picture(page, tmp_path, "docs")
