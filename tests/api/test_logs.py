"""What is logged of an error: its type and the places that it came through, never its words, which may quote what was sent."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import pytest

from backend.logs import logging_to

PRIVATE = "EXTERNAL-4711"


@pytest.mark.parametrize("form", ["plain", "json"])
def test_no_words_of_an_exception_are_logged_nor_of_what_caused_it(tmp_path: Path, form: Literal["plain", "json"]) -> None:
    with logging_to(tmp_path, level="INFO", form=form):
        try:
            fail_because_of_what_was_sent()
        except RuntimeError as error:
            logging.getLogger("backend.test").error("a request failed", exc_info=error)
    logged = (tmp_path / "app.log").read_text("utf-8")
    assert PRIVATE not in logged
    assert "RuntimeError at" in logged
    assert "ValueError at" in logged
    assert "fail_because_of_what_was_sent" in logged


def fail_because_of_what_was_sent() -> None:
    try:
        raise ValueError(f"cannot read {PRIVATE}")
    except ValueError as cause:
        raise RuntimeError(f"in the row of {PRIVATE}") from cause
