"""A rehearsal of a fault: without anybody who would say what the monitor sees, nothing is done."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.faults.rehearsal import Kind, Rehearsal
from deploy.layout import RunFolder
from deploy.operate.site import Site
from deploy.sentence import Sentence
from monitor.fleet import Backend, Fleet
from tests.deploy.fleets import free_port


def test_no_fault_is_made_while_the_monitor_does_not_answer(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as victim:
        told = {"monitor": f"http://127.0.0.1:{free_port()}", "keys": {"operator": "key"}}
        run.access_file.write_text(json.dumps(told))
        run.programs_file.write_text(json.dumps({"b1": {"pid": victim.pid}}))
        with pytest.raises(Sentence, match="the monitor does not answer"):
            Rehearsal(run, site(tmp_path), "b1", Kind.kill, 1.0, 0.1, lambda _: None).play()
        assert victim.poll() is None, "the backend goes on"


def site(folder: Path) -> Site:
    backend = {"name": "b1", "url": "http://127.0.0.1:1", "address": "127.0.0.1:1", "server_name": "b1"}
    fleet = Fleet.from_data({"backends": [backend]}, base=folder)
    return Site(fleet, folder / "fleet.yaml", None, _nothing, "key")


def _nothing(_: Backend) -> None:
    """Nobody is restarted here."""
