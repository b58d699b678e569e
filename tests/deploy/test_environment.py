"""The environment that the tool makes for itself, with real `venv` and pip; a tiny wheel stands for the requirements."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.environment import Environment
from deploy.layout import ROOT
from deploy.sentence import Sentence


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A wheel that needs nothing, made by hand: no build backend, no network."""
    import zipfile

    wheel = tmp_path / "tiny_face-1.0-py3-none-any.whl"
    info = "tiny_face-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_face.py", "SAYS = 'hello'\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-face\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.fixture
def environment(tmp_path: Path, package: Path) -> Environment:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"{package}\n")
    return Environment(tmp_path / "venv", requirements)


def imports(environment: Environment) -> bool:
    return subprocess.run([environment.python, "-c", "import tiny_face"], capture_output=True, check=False).returncode == 0


def test_it_is_made_once_and_again_only_when_the_requirements_change(environment: Environment) -> None:
    said: list[str] = []
    assert environment.install(said.append) > 0
    assert imports(environment)
    assert any("Making" in text for text in said)
    said.clear()
    assert environment.install(said.append) == 0.0
    assert said == []
    environment.requirements.write_text(environment.requirements.read_text() + "# changed\n")
    assert not environment.is_current()
    environment.install(said.append)
    assert [text.split()[0] for text in said] == ["Installing", "Installed"]
    assert environment.is_current()


def test_an_installation_that_fails_is_not_taken_for_current(environment: Environment) -> None:
    environment.requirements.write_text("./no-such-file.whl\n")
    with pytest.raises(Sentence, match="pip could not install"):
        environment.install(lambda _: None)
    assert not environment.is_current()


def test_a_pip_of_this_python_is_used_where_the_environment_can_have_none(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Debian without python3-venv: `ensurepip` is not there, pip is."""
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "ensurepip" else found(name, *rest))
    environment.install(lambda _: None)
    assert imports(environment)
    assert not list((environment.folder / "lib").glob("python3*/site-packages/pip"))


def test_without_either_the_package_to_install_is_named(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None)
    with pytest.raises(Sentence, match=rf"apt-get install python3\.{sys.version_info[1]}-venv"):
        environment.install(lambda _: None)


def test_an_old_python_hears_a_sentence_and_a_newer_one_on_path_takes_over(tmp_path: Path) -> None:
    """The old Python is played by this one with the bounds moved: what it then does is the same."""
    code = (
        "import sys; from deploy import python_version as v; v.OLDEST = v.NEWEST = (3, 99); v.require(['status'])\n"
    )  # fmt: skip
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert told.returncode == 1
    assert "the system needs Python 3.11" in told.stderr
    newer = tmp_path / "python3.99"
    newer.write_text('#!/bin/sh\necho "started with $*"\n')
    newer.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={"PATH": path}, capture_output=True, text=True, check=False)
    assert done.stdout == "started with -m deploy status\n"


def test_what_runs_before_the_environment_exists_needs_the_standard_library_alone(tmp_path: Path) -> None:
    bare = Environment(tmp_path / "bare", tmp_path / "none.txt")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare.folder)], check=True)
    environment = os.environ | {"FLEET_RUN_DIR": str(tmp_path / "run")}
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from deploy.__main__ import main; sys.exit(main())"
    for arguments, status in (("--help", 0), ("status", 1), ("down", 0), ("clean --yes", 0), ("up --help", 0)):
        command = [str(bare.python), "-I", "-c", start, *arguments.split()]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == status, (arguments, done.stderr)
        assert "Traceback" not in done.stderr
