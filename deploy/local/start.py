"""Brings a local fleet up, step by step, as much at once as two cores allow. The supervisor runs beside it."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from deploy.atomic import write, write_private
from deploy.demo.enrolment import Demo
from deploy.demo.traffic import trickle
from deploy.layout import BACKENDS, Ports, RunFolder
from deploy.local import api, balancers, commands, fleet_file
from deploy.local.certificates import LocalCa
from deploy.local.credentials import Credentials
from deploy.local.programs import Programs
from deploy.local.summary import Summary
from deploy.local.supervisor import Program, Supervisor, tails
from deploy.render import documents, folder
from deploy.say import Say
from deploy.sentence import Sentence
from monitor.fleet import Fleet

UP = "UP"


class Interrupted(Exception):
    """Somebody asked the fleet to stop while it started."""


@dataclass(frozen=True)
class Start:
    run: RunFolder
    ports: Ports
    programs: Programs
    supervisor: Supervisor
    say: Say
    deadline: float
    """monotonic; what is not up by then has failed"""
    began: float
    install_s: float
    with_demo: bool = True
    with_traffic: bool = True
    strategy: str = fleet_file.STRATEGIES[0]

    def bring_up(self) -> tuple[Summary, dict[str, Any]]:
        """Everything up and answering: the summary and the content of `access.json`.

        Raises:
            Sentence: what did not come up, with the last lines of its log.
            Interrupted: the supervisor stops.
        """
        self._certificates()
        self._render()
        credentials = Credentials(self.run, self.programs)
        with ThreadPoolExecutor(1) as pool:
            people = pool.submit(credentials.ensure_people)
            self._ledger_and_backends()
            access = self._write_access(credentials.ensure_keys(), people.result())
        self.supervisor.add(self.programs.dashboard(backends=BACKENDS))
        self._wait_ready()
        self.supervisor.add(self.programs.monitor())
        before, enrolled, open_cases = self._demo(access)
        up = self._wait_monitor(access)
        summary = Summary(
            backends_up=up, open_cases=open_cases, cases_before_demo=before, demo_enrolled=enrolled,
            engine=str(self.programs.engine), balancer=self.programs.balancer_kind, install_s=round(self.install_s, 1),
            start_s=round(time.monotonic() - self.began, 1),
            urls={name: access[name] for name in ("balancer", "backends", "monitor", "dashboard")},
            access_file=str(self.run.access_file), run_dir=str(self.run.path),
        )  # fmt: skip
        return summary, access

    def _certificates(self) -> None:
        ca = LocalCa(self.run.certificates)
        for name in BACKENDS:
            ca.leaf(name, [fleet_file.server_name(name), fleet_file.BACKENDS_NAME])
        if self.programs.balancer_kind != "none":
            ca.leaf("balancer", [fleet_file.BALANCER_NAME])
            ca.combined("balancer")

    def _render(self) -> None:
        kind = self.programs.balancer_kind
        data = fleet_file.fleet_data(self.run, self.ports, kind, self.strategy)
        write(self.run.fleet_file, fleet_file.text(data))
        if kind == "none":
            return
        place = balancers.place(kind, self.run.balancer)
        folder.write_all(self.run.balancer, documents.local_documents(Fleet.from_data(data, base=self.run.path), place))
        balancers.check(kind, self.run.balancer)
        self.supervisor.add(self.programs.balancer())

    def _ledger_and_backends(self) -> None:
        self.say("Preparing the ledger …")
        commands.run(self.programs.module("backend", "migrate"), environment=self.programs.ledger, folder=self.run.path)
        self.say(f"Starting {len(BACKENDS)} backends, the monitor, the dashboard, balancer: {self.programs.balancer_kind} …")
        for name in BACKENDS:
            self.supervisor.add(self.programs.backend(name, all_names=BACKENDS))

    def _write_access(self, keys: dict[str, str], people: dict[str, dict[str, str]]) -> dict[str, Any]:
        access = {
            "balancer": self.programs.balancer_url,
            "backends": {name: self.programs.backend_url(name) for name in BACKENDS},
            "monitor": f"http://127.0.0.1:{self.ports.monitor}",
            "dashboard": f"http://127.0.0.1:{self.ports.dashboard}",
            "ca": str(self.run.ca_file),
            "keys": keys,
            "sign_ins": people,
        }
        write_private(self.run.access_file, json.dumps(access, indent=2) + "\n")
        return access

    def _wait_ready(self) -> None:
        with self._client() as client:
            for name in BACKENDS:
                url = f"{self.programs.backend_url(name)}/ready"
                self._wait(lambda url=url: api.answers(client, url), name, self.programs.backend(name, all_names=BACKENDS))  # type: ignore[misc]
            if self.programs.balancer_url:
                url = f"{self.programs.balancer_url}/health"
                self._wait(lambda: api.answers(client, url), self.programs.balancer_kind, self.programs.balancer())

    def _demo(self, access: dict[str, Any]) -> tuple[int, int, int]:
        """Open cases before, faces enrolled now, open cases after."""
        client, reviewer = self._api(access, "client"), self._api(access, "reviewer")
        try:
            before = _open_cases(reviewer)
            demo = self._demo_record()
            enrolled = 0
            if self.with_demo and not demo.is_done():
                self.say("Enrolling the demo faces through the API …")
                enrolled = demo.enrol(client, self.say)
            return before, enrolled, _open_cases(reviewer) if enrolled else before
        finally:
            client.close()
            reviewer.close()

    def _wait_monitor(self, access: dict[str, Any]) -> int:
        """Until the monitor calls every backend UP, and the dashboard answers."""
        with self._client() as client:
            headers = {"Authorization": f"Bearer {access['keys']['operator']}"}

            def states() -> list[str]:
                try:
                    answer = client.get(f"{access['monitor']}/v1/fleet", headers=headers, timeout=3)
                except httpx.TransportError:
                    return []
                return [backend["state"] for backend in answer.json()["items"]] if answer.status_code == 200 else []

            self._wait(lambda: states().count(UP) == len(BACKENDS), "the monitor's view of the fleet", self.programs.monitor())
            dashboard = self.programs.dashboard(backends=BACKENDS)
            self._wait(lambda: api.answers(client, f"{access['dashboard']}/_stcore/health"), "the dashboard", dashboard)
            return states().count(UP)

    def traffic(self, access: dict[str, Any]) -> None:
        """The demo's trickle, until the supervisor stops or a bound is reached."""
        demo = self._demo_record()
        subjects = demo.subjects()
        if not (self.with_traffic and subjects):
            return
        client = self._api(access, "client")
        try:
            trickle(client, {key: demo.picture(key) for key in subjects}, subjects, stopping=self.supervisor.stopping)
        finally:
            client.close()

    def _demo_record(self) -> Demo:
        return Demo(self.run.demo_file, self.run.data / "demo")

    def _api(self, access: dict[str, Any], key: str) -> api.Api:
        urls = [access["balancer"]] if access["balancer"] else list(access["backends"].values())
        return api.Api(urls, ca_file=self.run.ca_file, key=access["keys"][key])

    def _client(self) -> httpx.Client:
        return httpx.Client(verify=ssl.create_default_context(cafile=str(self.run.ca_file)))

    def _wait(self, happens: Callable[[], bool], what: str, program: Program) -> None:
        if api.until(happens, deadline=self.deadline, stopping=self.supervisor.stopping.is_set):
            return
        if self.supervisor.stopping.is_set():
            raise Interrupted
        raise Sentence(f"{what} did not come up in time\n{tails([program])}")


def _open_cases(reviewer: api.Api) -> int:
    return int(reviewer.get("/v1/duplicates", state="open", limit=1)["total"])
