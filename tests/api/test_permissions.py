"""docs/permissions.md against the code, and against running servers."""

from __future__ import annotations

from pathlib import Path

from tests.api.permission_check import every_cell
from tests.api.permission_table import COLUMNS, DOCUMENT, backend_rows, documented, monitor_rows, with_generated
from tests.api.service import Service


def test_the_document_has_the_table_that_the_code_gives() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert with_generated(text) == text, "write it anew: python -m tests.api.permission_table"
    assert (documented("The backend"), documented("The monitor")) == (backend_rows(), monitor_rows())


def test_every_call_that_is_described_has_a_row(service: Service) -> None:
    paths = service.get("/openapi.json").json()["paths"]
    described = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    rows = {row.call for row in documented("The backend")}
    assert {call for call in rows if not call.startswith("HEAD ")} - described == {"GET /docs", "GET /openapi.json"}
    assert described <= rows


def test_every_cell_of_the_table_is_what_a_running_server_answers(tmp_path: Path) -> None:
    asked = list(every_cell(tmp_path))
    assert [one for one in asked if not one.right] == []
    assert len(asked) == len(COLUMNS) * (len(backend_rows()) + len(monitor_rows()))
