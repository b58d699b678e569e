"""Take the guards of the program out, one at a time, in a copy of the repository: does the test of each notice?

    python -m tests.guards                  all of them
    python -m tests.guards NAME NAME …      these

First every named test must pass in the untouched copy. Then a guard counts as caught when pytest ends with status 1 and the named
test itself is among those that failed: an error of collection or of a fixture proves nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.guards.catalogue import GUARDS
from tests.guards.guard import ROOT, Guard

NOT_COPIED = (".git", ".venv", ".run", "build", "__pycache__", ".*_cache", ".hypothesis", "*.db*")
LIMIT_S = 300
TEST_LIMIT_S = 120
"""A test that hangs without its guard has failed."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="one of: " + ", ".join(guard.name for guard in GUARDS))
    names = parser.parse_args().names
    if unknown := set(names) - {guard.name for guard in GUARDS}:
        parser.error(f"there is no guard {', '.join(sorted(unknown))}")
    guards = [guard for guard in GUARDS if not names or guard.name in names]
    with copy_of_the_repository() as copy:
        if broken := baseline(copy, guards):
            print("With every guard in place the tests must pass:", *broken, sep="\n")
            return 1
        caught = sum(catches(copy, guard) for guard in guards)
    print(f"guards={len(guards)} caught={caught}")
    return 0 if caught == len(guards) else 1


@contextmanager
def copy_of_the_repository() -> Iterator[Path]:
    """Beside a `shared`, as the repository itself lies."""
    with tempfile.TemporaryDirectory(prefix="face-auth-guards-") as folder:
        copy = Path(folder) / "repository"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
        (copy.parent / "shared").symlink_to(ROOT.parent / "shared")
        yield copy


def baseline(copy: Path, guards: Sequence[Guard]) -> list[str]:
    """What stands against the named tests as things are: those that do not pass, or why none of them ran."""
    run = run_tests(copy, sorted({guard.test for guard in guards}), limit_s=LIMIT_S * len(guards))
    if not run.outcomes:
        return [run.said]
    return sorted({f"{guard.test} ({run.of(guard)})" for guard in guards if run.of(guard) != "passed"})


def catches(copy: Path, guard: Guard) -> bool:
    file = copy / guard.file
    before, without = file.read_text(encoding="utf-8"), guard.taken_out(copy)
    started = time.monotonic()
    file.write_text(without, encoding="utf-8")
    try:
        run = run_tests(copy, [guard.test], limit_s=LIMIT_S)
    finally:
        file.write_text(before, encoding="utf-8")
    caught = run.status == 1 and run.of(guard) == "failed"
    verdict = "caught" if caught else f"NOT CAUGHT ({run.of(guard)}, status {run.status})"
    print(f"{guard.keeps}  {guard.name:<40} {verdict:<8} {time.monotonic() - started:5.1f} s  {guard.test}", flush=True)
    return caught


@dataclass(frozen=True)
class Run:
    status: int | None
    """None: it did not end within the limit"""
    outcomes: Mapping[str, str]
    """node id → passed, failed, error or skipped"""
    said: str

    def of(self, guard: Guard) -> str:
        return self.outcomes.get(guard.test, "did not run")


def run_tests(copy: Path, tests: Sequence[str], *, limit_s: float) -> Run:
    report = copy.parent / "report.xml"
    report.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--timeout={TEST_LIMIT_S}",
        f"--junitxml={report}",
    ]
    # Nothing compiled is kept: a guard that was put back may leave its file with the size and second that it had without.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [*command, *tests], cwd=copy, env=environment, capture_output=True, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return Run(None, {}, f"not ended within {limit_s:g} s")
    return Run(done.returncode, outcomes_of(report) if report.exists() else {}, (done.stdout + done.stderr)[-2000:])


def outcomes_of(report: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it a moment ago
        node_id = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
        kinds = {child.tag for child in case}
        outcome = next((word for tag, word in WORDS.items() if tag in kinds), "passed")
        found[node_id] = "failed" if "failed" in (found.get(node_id), outcome) else outcome
    return found


WORDS = {"failure": "failed", "error": "error", "skipped": "skipped"}


if __name__ == "__main__":
    sys.exit(main())
