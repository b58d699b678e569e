"""Each bad request is answered with the 4xx that tells what is wrong with it."""

from __future__ import annotations

from pathlib import Path

from tests.api.refusals import every_refusal


def test_every_bad_request_gets_the_status_and_the_code_that_say_why(tmp_path: Path) -> None:
    found = list(every_refusal(tmp_path))
    assert [one for one in found if not one.right] == []
    assert len(found) == len({one.what for one in found}), "two of one name"
    assert sum(not one.wanted.startswith("2") for one in found) > 100
