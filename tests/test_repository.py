"""The repository is what its documents say: the import graph, the top level, no paths of one machine, no dead links."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import backend.settings
import dashboard.settings
import monitor.settings

ROOT = Path(__file__).resolve().parents[1]
EVERYWHERE = {"/", "/home", "/mnt", "/opt", "/root", "/srv", "/tmp", "/usr/local", "/usr/src", "/var/lib", "/var/tmp"}  # noqa: S108  (names, not written)
"""Directories of the Filesystem Hierarchy Standard in which people put a clone."""
TOP_LEVEL = {
    *(
        "backend",
        "monitor",
        "dashboard",
        "deploy",
        "tests",
        "docs",
        ".ci",
        "requirements.txt",
        "compose.yaml",
        "Makefile",
        "pyproject.toml",
    ),
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "NOTICE", ".env.example", ".gitignore"),
}


def tracked(pattern: str = "") -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", *([pattern] if pattern else [])], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_the_import_contracts_hold() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_top_level_holds_what_a_reader_expects_and_nothing_else() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in tracked()} <= TOP_LEVEL | {".streamlit", ".dockerignore"}


def test_the_packages_init_files_are_empty() -> None:
    for package in ("backend", "monitor", "dashboard", "deploy"):
        assert (ROOT / package / "__init__.py").read_text() == ""


def test_every_dependency_is_pinned_and_says_what_it_is_for_or_stands_among_the_checks() -> None:
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) > 20
    for line in lines:
        assert re.match(r"^[a-z0-9_.\[\]-]+==[\w.]+(\s+#.+)?$", line, re.IGNORECASE), line


@pytest.mark.parametrize("document", tracked("*.md"), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_link_of_a_document_is_dead(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text())
    dead = [target for target in targets if "://" not in target and not (document.parent / target).exists()]
    assert dead == []


def test_no_file_carries_a_path_of_one_machine() -> None:
    # a directory that every machine has may be named; what stands in one here may not
    home = str(ROOT if str(ROOT.parent) in EVERYWHERE else ROOT.parent) + "/"
    found = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.suffix in {".py", ".md", ".toml", ".yaml", ".j2", ".txt", ""} and home in path.read_text()
    ]
    assert found == []


def test_the_version_is_one_that_a_release_can_carry() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)


@pytest.mark.parametrize("program", [backend.settings, monitor.settings, dashboard.settings], ids=lambda module: module.__name__)
def test_the_example_file_shows_every_setting_of_every_program(program: ModuleType) -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    shown = [line.removeprefix("#").partition("=")[0] for line in lines if line.startswith(f"#{program.PREFIX}")]
    assert shown == [f"{program.PREFIX}{name.upper()}" for name in program.Settings.model_fields]
    for name, field in program.Settings.model_fields.items():
        place = next(number for number, line in enumerate(lines) if line.startswith(f"#{program.PREFIX}{name.upper()}="))
        assert lines[place - 1] == f"# {field.description}"
