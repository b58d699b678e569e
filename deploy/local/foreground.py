"""The life of a local fleet in this process: prepare, start, supervise, stop; on return nothing of it lives."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import processes
from deploy.commands.down import end_orphans
from deploy.layout import Ports, RunFolder
from deploy.local import balancers, engine_choice, requests
from deploy.local.programs import Programs
from deploy.local.start import Interrupted, Start
from deploy.local.summary import for_people
from deploy.local.supervisor import Supervisor
from deploy.say import Say, aloud
from deploy.sentence import Sentence

JOIN_S = 10
Announce = Callable[[dict[str, Any], str], None]


@dataclass(frozen=True)
class Wishes:
    """What was asked for on the command line."""

    balancer: str = "auto"
    strategy: str = "least_connections"
    engine: str | None = None
    pack: Path | None = None
    demo: bool = True
    traffic: bool = True
    wait_s: float = 400.0


class Foreground:
    def __init__(
        self, where: RunFolder, ports: Ports, wishes: Wishes, *, say: Say, announce: Announce, began: float, install_s: float
    ) -> None:
        self._where = where
        self._ports = ports
        self._wishes = wishes
        self._say = say
        self._announce = announce
        self._began = began
        self._install_s = install_s
        self._failed: Exception | None = None
        self._supervisor = Supervisor(aloud, state_file=where.programs_file, asked=lambda: requests.restarts(where))

    def run(self) -> None:
        """Until a signal asks to stop.

        Raises:
            Sentence: the fleet did not come up; nothing of it is left running.
        """
        self._where.create()
        with processes.supervising(self._where) as alone:
            if not alone:
                raise Sentence(f"the fleet of {self._where.path} runs already: `make stop` ends it")
            self._live(self._prepare())
        if self._failed is not None:
            raise self._failed
        aloud("Everything is stopped.")

    def _live(self, start: Start) -> None:
        self._supervisor.stop_on_signals()
        worker = threading.Thread(target=self._work, args=(start,), name="start", daemon=True)
        worker.start()
        try:
            self._supervisor.run()
        finally:
            end_orphans(self._where)  # a short command that the start had begun: now it fails, and so does the start
            worker.join(timeout=JOIN_S)
            end_orphans(self._where)

    def _prepare(self) -> Start:
        """Everything that can be refused is refused here, before anything is started."""
        where = self._where
        end_orphans(where)  # what a crashed supervisor left behind
        kind = balancers.choose(self._wishes.balancer)
        self._refuse_taken_ports(kind)
        engine = engine_choice.choose(where.engine_file, engine=self._wishes.engine, pack=self._wishes.pack)
        return Start(
            run=where, ports=self._ports, programs=Programs(where, self._ports, engine, kind), supervisor=self._supervisor,
            say=self._say, deadline=time.monotonic() + self._wishes.wait_s, began=self._began, install_s=self._install_s,
            with_demo=self._wishes.demo, with_traffic=self._wishes.traffic, strategy=self._wishes.strategy,
        )  # fmt: skip

    def _refuse_taken_ports(self, kind: str) -> None:
        taken = [(what, port) for what, port in self._ports.needed(kind).items() if not processes.is_free(port)]
        if not taken:
            return
        lines = [f"port {port} for {what} is taken by {processes.owner(port) or 'another process'}" for what, port in taken]
        offset = self._ports.offset + 100
        raise Sentence("; ".join(lines) + f". Stop that, or move the fleet: FLEET_PORT_OFFSET={offset}")

    def _work(self, start: Start) -> None:
        try:
            summary, access = start.bring_up()
            self._announce(summary.as_json(), for_people(summary, access))
            start.traffic(access)
        except Interrupted:
            pass
        except Exception as error:
            if not self._supervisor.stopping.is_set():  # else it failed because it was stopped
                self._failed = error
            self._supervisor.stop()
