"""`.venv` with everything of requirements.txt, made when missing, brought up to date when the file changed.

Standard library only. A stamp inside `.venv` holds the hash of what was installed and for which Python.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.layout import ROOT
from deploy.say import Say
from deploy.sentence import Sentence

INSTALL_S = "FACE_AUTH_INSTALL_S"
"""Environment variable through which the first process tells the second how long the installation took."""


class Environment:
    """One virtual environment and the requirements that it must hold."""

    def __init__(self, folder: Path = ROOT / ".venv", requirements: Path = ROOT / "requirements.txt") -> None:
        self.folder = folder
        self.requirements = requirements
        self.python = folder / "bin" / "python"
        self._stamp = folder / ".requirements.sha256"

    def is_current(self) -> bool:
        return self.python.exists() and self._stamp.is_file() and self._stamp.read_text("ascii") == self._wanted()

    def install(self, say: Say) -> float:
        """Make it current; answers with the seconds that took (0 when nothing was to do).

        Raises:
            Sentence: the environment or a package could not be made; says what to do.
        """
        start = time.monotonic()
        if self.is_current():
            return 0.0
        with self._alone():
            if self.is_current():  # somebody else was quicker
                return time.monotonic() - start
            if not self.python.exists():
                self._create(say)
            say(f"Installing what {self.requirements.name} lists into {self.folder} (a few minutes the first time) …")
            self._pip("install", "--requirement", str(self.requirements))
            self._stamp.write_text(self._wanted(), "ascii")
        say(f"Installed in {time.monotonic() - start:.0f} s.")
        return time.monotonic() - start

    def is_this_process(self) -> bool:
        return Path(sys.prefix).resolve() == self.folder.resolve()

    def _wanted(self) -> str:
        return hashlib.sha256(self.requirements.read_bytes()).hexdigest()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".installing").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _create(self, say: Say) -> None:
        say(f"Making {self.folder} with Python {sys.version.split()[0]} …")
        options = [] if importlib.util.find_spec("ensurepip") else ["--without-pip"]
        if options and importlib.util.find_spec("pip") is None:
            raise Sentence(_no_venv())
        _run([sys.executable, "-m", "venv", *options, str(self.folder)], _no_venv())

    def _pip(self, *arguments: str) -> None:
        """Run pip inside the environment, or this Python's own with `--python` where the environment has none."""
        own = any((self.folder / "lib").glob("python3*/site-packages/pip"))
        pip = [str(self.python), "-m", "pip"] if own else [sys.executable, "-m", "pip", "--python", str(self.python)]
        bar = "on" if sys.stderr.isatty() else "off"
        command = [*pip, "--disable-pip-version-check", "--no-input", arguments[0], "--progress-bar", bar, *arguments[1:]]
        _run(command if bar == "on" else [*command, "--quiet"], "pip could not install everything: see its message above")


def _no_venv() -> str:
    major, minor = sys.version_info[:2]
    return (
        f"This Python cannot make a virtual environment: as root, `apt-get install python{major}.{minor}-venv` (Debian, Ubuntu)"
    )


def _run(command: Sequence[str], otherwise: str) -> None:
    """Run with what it prints on standard error."""
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
        raise Sentence(otherwise)


def enter(arguments: Sequence[str], say: Say) -> float:
    """Return inside a current environment, with the seconds that its installation took; start `deploy` again where needed."""
    environment = Environment()
    told = os.environ.pop(INSTALL_S, None)
    if told is not None and environment.is_this_process():
        return float(told)
    took = environment.install(say)
    if took == 0.0 and environment.is_this_process():
        return took
    os.environ[INSTALL_S] = f"{took:.3f}"
    os.chdir(ROOT)
    python = str(environment.python)
    return os.execv(python, [python, "-m", "deploy", *arguments])  # noqa: S606 - our own interpreter, no shell
