"""Erased is erased, in the files of a real service; and the search that says so is not blind."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from tests.system.erase_check import fresh_database, report, run
from tests.system.erase_search import Trace, search


@pytest.mark.weights
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_nothing_of_an_erased_person_stands_in_any_file(testdata: Path, tmp_path: Path, kind: str) -> None:
    with fresh_database(kind, tmp_path) as database:
        outcome = run(database, tmp_path, testdata, people=6)
    print(f"\n{report(outcome)}")
    assert outcome.unseen == [], "the search does not see what is there"
    assert outcome.found.places == {}
    assert outcome.found.files >= 8
    assert outcome.kept == {}, "her ciphertexts, or the keys to them, are where none may be left"
    assert kind == "postgresql" or not any((*outcome.sealed_left.values(), *outcome.keys_left.values()))


@pytest.mark.parametrize("before", [b"", b"x", b"xy", b"xyz"])
def test_a_text_is_found_in_base64_wherever_it_stands(tmp_path: Path, before: bytes) -> None:
    text = "Wilhelmina Fürchtegott"
    (tmp_path / "file").write_bytes(b64encode(before + text.encode() + b" and more"))
    assert search([tmp_path / "file"], [Trace.of_text("name", text)]).names == {"name"}


def test_a_piece_across_two_blocks_is_found_and_another_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.system.erase_search.BLOCK", 64)
    value = bytes(range(100, 200))
    (tmp_path / "file").write_bytes(b"." * 50 + value + b"." * 50)
    traces = [Trace.of_bytes("hers", value), Trace.of_bytes("another's", value[::-1])]
    assert search([tmp_path / "file"], traces).names == {"hers"}
