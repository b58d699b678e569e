"""The list of guards keeps up with the program: `make test-guards` finds each of them, and the test that it names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest

from tests.guards.catalogue import GUARDS
from tests.guards.guard import ROOT, Guard

SENTENCES = range(1, 9)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_is_found_in_its_file_and_can_be_taken_out(guard: Guard) -> None:
    ast.parse(guard.taken_out())


def test_the_tests_that_catch_them_exist() -> None:
    named = sorted({guard.test for guard in GUARDS})
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", *named]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-2000:]
    assert set(named) <= set(found.stdout.splitlines())


def test_names_are_unique_and_every_sentence_has_guards() -> None:
    assert len({guard.name for guard in GUARDS}) == len(GUARDS)
    assert {guard.keeps for guard in GUARDS} == set(SENTENCES)


def test_the_sentences_are_those_of_the_document() -> None:
    text = (
        (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## What always holds")[2].partition("\n## ")[0]
    )
    assert [int(number) for number in re.findall(r"^(\d)\. \*\*", text, re.MULTILINE)] == list(SENTENCES)
