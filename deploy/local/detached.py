"""The fleet in a process of its own that outlives the command: it reports through a pipe until all is up, or why not."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from deploy import processes
from deploy.commands.down import stop
from deploy.environment import INSTALL_S
from deploy.layout import ROOT, RunFolder
from deploy.say import Say
from deploy.sentence import Sentence

END_WITHIN_S = 30
REPORT_TO = "FACE_AUTH_REPORT_TO"
"""Environment variable with the descriptor of the pipe."""


def start(arguments: Sequence[str], *, run: RunFolder, wait_s: float, install_s: float, say: Say) -> dict[str, Any]:
    """Start the fleet and wait until it is up: its last report. Where it is not, nothing of it is left running.

    Raises:
        Sentence: it did not come up; says why.
    """
    receive, send = os.pipe()
    run.create()
    environment = os.environ | {REPORT_TO: str(send), processes.MARK: str(run.path), INSTALL_S: str(install_s)}
    with (run.logs / "fleet.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "deploy", *arguments], cwd=ROOT, env=environment, pass_fds=[send],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    os.close(send)
    try:
        return _follow(receive, time.monotonic() + wait_s, say)
    except BaseException:
        _end(child)
        if processes.supervisor(run) is None:  # it may be another fleet of this folder that refused this one
            stop(run)
        raise
    finally:
        os.close(receive)


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(END_WITHIN_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _follow(receive: int, deadline: float, say: Say) -> dict[str, Any]:
    rest = b""
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([receive], [], [], left)[0]:
            break
        data = os.read(receive, 65_536)
        if not data:
            raise Sentence("the fleet ended while it started: see logs/fleet.log in its run folder")
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            report = json.loads(line)
            if "say" in report:
                say(report["say"])
            elif "failed" in report:
                raise Sentence(report["failed"])
            else:
                return dict(report)
    raise Sentence("the fleet was not up in time and was stopped: see the logs in its run folder, or give --wait more seconds")


def reporter() -> Callable[[dict[str, Any]], None] | None:
    """In the detached process: how to report; None where nobody listens."""
    given = os.environ.pop(REPORT_TO, None)
    if given is None:
        return None
    descriptor = int(given)
    os.set_inheritable(descriptor, False)

    def report(what: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # whoever waited has gone
            os.write(descriptor, json.dumps(what).encode() + b"\n")

    return report
