"""The balancer programs of this machine: found, given a folder to run in, and their configuration checked by themselves."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from deploy.local import temporary
from deploy.render.documents import HAPROXY, OWN_NGINX
from deploy.render.place import Place
from deploy.sentence import Sentence

KINDS = ("nginx", "haproxy")
WORKERS = ("www-data", "nginx", "nobody")


def installed(name: str, path: str | None = None) -> str | None:
    """The program's file. Debian keeps servers in the `sbin` beside each `bin`, which ordinary users' PATH lacks."""
    folders = (path if path is not None else os.environ.get("PATH", os.defpath)).split(os.pathsep)
    beside = [str(Path(folder).with_name("sbin")) for folder in folders if Path(folder).name == "bin"]
    return shutil.which(name, path=os.pathsep.join([*folders, *beside]))


def choose(wanted: str) -> str:
    """`auto` becomes nginx, haproxy or none, whichever is here. Raises `Sentence` where a named one is missing."""
    if wanted == "auto":
        return next((name for name in KINDS if installed(name)), "none")
    if wanted in KINDS and installed(wanted) is None:
        raise Sentence(f"{wanted} is not installed: `make system` (as root) installs it, or use --balancer none")
    return wanted


def place(kind: str, folder: Path) -> Place:
    """Where a local balancer may write. As root, nginx's workers are another user, who could not enter the run folder."""
    if kind != "nginx":
        return Place(packaged=False, folder=folder)
    if os.geteuid() != 0:
        own = folder / "temporary"
        own.mkdir(exist_ok=True)
        return Place(packaged=False, folder=folder, temporary=own)
    worker = _worker()
    return Place(packaged=False, folder=folder, temporary=temporary.make(folder, worker), worker_user=worker.pw_name)


def place_of_running(kind: str, folder: Path) -> Place:
    """The place of a balancer that runs: as `place`, but nothing is made, and its temporary folder stays."""
    known = temporary.known(folder)
    if kind != "nginx" or known is None:
        return place(kind, folder)
    return Place(packaged=False, folder=folder, temporary=known, worker_user=_worker().pw_name)


def _worker() -> pwd.struct_passwd:
    known = {user.pw_name: user for user in pwd.getpwall()}
    return next(known[name] for name in WORKERS if name in known)


def command(kind: str, folder: Path) -> tuple[str, ...]:
    """What the supervisor starts, in the foreground."""
    program = installed(kind) or kind
    if kind == "nginx":
        return (program, "-c", str(folder / OWN_NGINX), "-p", str(folder), "-e", "stderr")
    return (program, "-W", "-db", "-f", str(folder / HAPROXY))


def check(kind: str, folder: Path) -> None:
    """Let the program itself judge its configuration; HAProxy's warnings count as errors. Raises `Sentence` with its words."""
    program = installed(kind) or kind
    if kind == "nginx":
        checking = [program, "-t", "-q", "-c", str(folder / OWN_NGINX), "-p", str(folder), "-e", "stderr"]
    else:
        checking = [program, "-c", "-dW", "-f", str(folder / HAPROXY)]
    done = subprocess.run(checking, capture_output=True, text=True, check=False, cwd=folder, timeout=30)
    if done.returncode != 0:
        raise Sentence(f"{kind} refuses its configuration in {folder}:\n{(done.stdout + done.stderr).strip()}")
