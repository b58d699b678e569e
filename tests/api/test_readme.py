"""What the README shows to programs, run as it stands there, and held to the API's description."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import trustme

from backend.client import BackendClient
from tests.api.pictures import group, people_of_the_group, same_woman, woman
from tests.api.service import ROOT, Service

README = (ROOT / "README.md").read_text("utf-8")
CODE = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
ROWS = re.findall(r"^\| (\d+) \| (.*?) \| .*? \| (.*?) \|$", README, re.MULTILINE)
OPERATIONS = {
    "enrol": "post /v1/subjects",
    "enrol_batch": "post /v1/subjects/batch",
    "verify": "post /v1/verify",
    "identify": "post /v1/identify",
    "cases": "get /v1/duplicates",
    "next_case": "post /v1/duplicates/next",
    "decide": "post /v1/duplicates/{case_id}/decide",
    "export_subject": "get /v1/subjects/{subject_id}/export",
    "erase_subject": "delete /v1/subjects/{subject_id}",
    "start_scan": "post /v1/scans",
    "scan": "get /v1/scans/{scan_id}",
    "stats": "get /v1/stats",
    "health": "get /health",
}


@pytest.fixture
def place(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the photographs that the README names, and the access file of a run."""
    key = service.site.key
    boxes = [face.box for face in service.client(key("client")).detect(group()).faces]
    man, other, third, *_ = people_of_the_group([(box.x, box.y, box.width, box.height) for box in boxes])
    pictures = {"ada": woman(), "ada-2": same_woman(), "b": man, "c": other, "crowd": group(), "grace": third, "grace-2": third}
    for name, content in pictures.items():
        (tmp_path / f"{name}.jpg").write_bytes(content)
    (tmp_path / ".run").mkdir()
    trustme.CA().cert_pem.write_to_path(str(tmp_path / ".run" / "ca.pem"))
    access = {
        "balancer": None,
        "backends": {"b1": service.url},
        "ca": str(tmp_path / ".run" / "ca.pem"),
        "keys": {scope: key(scope) for scope in ("admin", "client")},
    }
    (tmp_path / ".run" / "access.json").write_text(json.dumps(access))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_code_for_programs_does_what_it_says(service: Service, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(CODE) == 2
    names: dict[str, object] = {"persons_token": lambda: service.site.dashboard.token("reviewer")}
    exec(CODE[0], names)  # noqa: S102
    first = capsys.readouterr().out.splitlines()
    assert "match" in first
    assert sum(line.startswith("201 sub_") for line in first) == 2
    exec(CODE[1], names)  # noqa: S102
    second = capsys.readouterr().out.splitlines()
    assert second[0] == "match"
    assert second[3] == "1 cases wait"
    assert second[-1].startswith("healthy ")
    assert json.loads((place / "grace.json").read_text())["records"]
    people = service.client(service.site.key("admin")).subjects(limit=200)
    assert "G-1" not in {one.external_id for one in people.items}, "she was erased"


def test_the_table_names_calls_that_exist_and_errors_that_they_answer_with(service: Service) -> None:
    assert [number for number, _, _ in ROWS] == [str(number) for number in range(1, 11)]
    paths = service.get("/openapi.json").json()["paths"]
    for _, calls, errors in ROWS:
        documented: set[str] = set()
        for call in re.findall(r"`(\w+)", calls):
            assert callable(getattr(BackendClient, call))
            method, path = OPERATIONS[call].split()
            for response in paths[path][method]["responses"].values():
                documented |= set(response.get("content", {}).get("application/problem+json", {}).get("examples", {}))
        assert set(re.findall(r"`(\w+)`", errors)) <= documented, calls
