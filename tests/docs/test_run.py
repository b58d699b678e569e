"""The commands of the documents, run as they stand there, on fleets that really run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.balancers import installed
from tests.docs.blocks import ROOT, Block, blocks
from tests.system.load.fleet import photographs
from tests.system.running_fleet import PORTS, Fleet, running_fleet

pytestmark = pytest.mark.timeout(600)

LINKED = ("backend", "monitor", "dashboard", "deploy", "docs", "requirements.txt", "pyproject.toml", "Makefile")
BLOCK_S = 240


def of(what: str) -> list[Block]:
    return [block for block in blocks() if block.how == "run" and block.what == what]


@pytest.fixture(scope="module")
def nginx_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Fleet, Path]]:
    yield from _fleet("nginx", tmp_path_factory.mktemp("nginx"))


@pytest.fixture(scope="module")
def haproxy_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Fleet, Path]]:
    yield from _fleet("haproxy", tmp_path_factory.mktemp("haproxy"))


def _fleet(kind: str, folder: Path) -> Iterator[tuple[Fleet, Path]]:
    """A fleet, and a folder that looks like the repository's root beside its `.run`."""
    for program in (kind, "ab", "wrk", "hey"):
        if installed(program) is None:
            pytest.skip(f"{program} is not installed: `make system`")
    with running_fleet(folder / "run", "--balancer", kind, "--no-traffic") as fleet:
        root = folder / "root"
        root.mkdir()
        for name in LINKED:
            (root / name).symlink_to(ROOT / name)
        (root / ".venv").symlink_to(Path(sys.prefix))
        (root / ".run").symlink_to(fleet.run_dir)
        shutil.copy(photographs()[0], root / "face.jpg")
        yield fleet, root


@pytest.mark.parametrize("block", of("fleet"), ids=lambda block: block.name)
def test_a_block_for_a_fleet_behind_nginx(block: Block, nginx_fleet: tuple[Fleet, Path]) -> None:
    run(block, *nginx_fleet)


@pytest.mark.parametrize("block", of("haproxy"), ids=lambda block: block.name)
def test_a_block_for_a_fleet_behind_haproxy(block: Block, haproxy_fleet: tuple[Fleet, Path]) -> None:
    run(block, *haproxy_fleet)


def run(block: Block, fleet: Fleet, root: Path) -> None:
    """As a shell would that stops at the first failure; only the ports are this fleet's."""
    environment = os.environ | {
        "FLEET_RUN_DIR": str(fleet.run_dir), "FLEET_PORT_OFFSET": str(fleet.offset), "REQUESTS": "40", "SECONDS_LONG": "3",
        "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", moved(block.text, fleet.offset)], cwd=root, env=environment, capture_output=True,
        text=True, check=False, timeout=BLOCK_S,
    )  # fmt: skip
    assert done.returncode == 0, f"{block.name} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def moved(text: str, offset: int) -> str:
    """The same commands for a fleet whose ports are moved."""
    return re.sub(r"(?<=127\.0\.0\.1:)(\d{4})\b", lambda port: str(int(port[1]) + (offset if int(port[1]) in PORTS else 0)), text)
