"""The monitor and two real backends: known photographs verified through each, and a drain that outlives restarts of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from monitor import wire
from monitor.client import ProblemError
from monitor.wire import AdminState, SyntheticPair
from tests.api.pictures import group, same_woman, woman
from tests.api.service import Service, Site, make_site, serving
from tests.monitor.processes import MonitorProcess, until


@dataclass
class Running:
    site: Site
    backends: dict[str, Service]
    monitor: MonitorProcess
    stacks: dict[str, ExitStack]
    description: dict[str, Any] = field(default_factory=dict)

    def restart(self, name: str) -> None:
        """End the backend and start it again at the same address."""
        port = urlsplit(self.backends[name].url).port
        self.stacks[name].close()
        self.stacks[name] = ExitStack()
        self.stacks[name].enter_context(serving(self.site, "--port", str(port), name=name, ready=False))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("fleet")
    site = make_site(folder / "site")
    for name, photograph in {"a1": woman(), "a2": same_woman(), "b": group()}.items():
        (folder / f"{name}.jpg").write_bytes(photograph)
    (folder / "client.key").write_text(site.key("client"))
    (folder / "operator.key").write_text(site.key("operator"))
    stacks = {name: ExitStack() for name in ("b1", "b2")}
    monitor = MonitorProcess(folder)
    try:
        backends = {name: stack.enter_context(serving(site, name=name)) for name, stack in stacks.items()}
        description = {
            "probes": {"interval_s": 1, "fast_interval_s": 0.5, "down_interval_s": 1, "fall": 2, "rise": 1},
            "synthetic": {
                "key": "file:client.key",
                "genuine": ["a1.jpg", "a2.jpg"],
                "impostor": ["a1.jpg", "b.jpg"],
                "interval_s": 2,
                "deadline_s": 30,
            },
            "drain": {"key": "file:operator.key"},
            "backends": [
                {"name": name, "url": one.url, "address": one.url.removeprefix("http://"), "server_name": name}
                for name, one in backends.items()
            ],
        }
        monitor.describe(description)
        monitor.start()
        yield Running(site, backends, monitor, stacks, description)
    finally:
        monitor.kill()
        for stack in stacks.values():
            stack.close()


def results(running: Running) -> dict[tuple[str, str], wire.SyntheticResult]:
    with running.monitor.client() as client:
        return {(one.through, one.pair.value): one for one in client.synthetic().items}


def seen(running: Running, name: str, fits: Callable[[wire.Backend], bool], what: str) -> wire.Backend:
    def look() -> wire.Backend | None:
        with running.monitor.client() as client:
            found = client.backend(name)
        return found if fits(found) else None

    return until(look, within_s=90, what=f"{name} {what}")


def test_known_pairs_are_decided_rightly_through_each_backend_and_count_nowhere(running: Running) -> None:
    until(lambda: len(results(running)) == 4 and all(r.passed for r in results(running).values()), within_s=90, what="all pass")
    found = results(running)
    assert found["b1", "genuine"].decision == "match"
    assert found["b1", "impostor"].decision == "non_match"
    assert found["b1", "genuine"].served_by == "b1"
    assert found["b1", "genuine"].score == found["b2", "genuine"].score
    metrics = running.backends["b1"].get("/metrics").text
    assert 'synthetic_requests_total{route="/v1/verify"' in metrics
    assert 'http_requests_total{method="POST",route="/v1/verify"' not in metrics
    assert "face_auth_decisions_total{" not in metrics
    with running.monitor.client() as client:
        assert client.load().total_requests == 0


def test_a_pair_that_is_decided_wrongly_is_told_and_one_that_cannot_be_read_is_the_monitors_fault(running: Running) -> None:
    """The photographs are swapped: what is called genuine shows two people."""
    right = running.description["synthetic"]
    try:
        wrong = right | {"genuine": right["impostor"], "impostor": ["a1.jpg", "missing.jpg"]}
        running.monitor.describe(running.description | {"synthetic": wrong})
        until(
            lambda: results(running)["b2", "genuine"].reason == "APP.FALSE_NON_MATCH",
            within_s=60,
            what="the wrong decision is told",
        )
        missing = until(
            lambda: next((r for r in results(running).values() if r.pair is SyntheticPair.impostor and r.passed is None), None),
            within_s=60,
            what="the missing photograph is told",
        )
        assert missing.reason == "MON.PHOTOGRAPHS"
    finally:
        running.monitor.describe(running.description)


def test_a_drain_has_a_guard_and_outlives_restarts_of_the_backend_and_of_the_monitor(running: Running) -> None:
    for name in ("b1", "b2"):
        seen(running, name, lambda one: one.state is wire.State.up, "is up")
    with running.monitor.client() as client:
        with pytest.raises(ProblemError) as refused:
            client.drain("b1", accept_left=2)
        assert (refused.value.status, refused.value.code) == (409, "drain_refused")
        assert refused.value.detail.startswith("1 of 2 would be left: b2.")
        assert client.backend("b1").admin_state is AdminState.active
        done = client.drain("b1")
        assert (done.told, done.left, done.admin_state) == (True, ["b2"], AdminState.draining)
        with pytest.raises(ProblemError) as last:
            client.drain("b2")
        assert last.value.detail.startswith("None of 2 would be left.")
        with pytest.raises(ProblemError) as unknown:
            client.drain("b9")
        assert unknown.value.status == 404
        with pytest.raises(ProblemError) as typed:
            client.backend("../fleet")
        assert typed.value.status == 404, "a name chooses no other path"
    seen(running, "b1", lambda one: one.reason == "APP.DRAINING" and one.state is wire.State.degraded, "drains")

    running.restart("b1")
    seen(running, "b1", lambda one: one.reason == "APP.DRAINING" and one.state is wire.State.degraded, "is told again")
    assert running.monitor.stop() == 0
    running.monitor.start()
    assert seen(running, "b1", lambda one: not one.stale, "is fresh").admin_state is AdminState.draining

    with running.monitor.client() as client:
        assert client.figures("b1").drain_since == client.backend("b1").drain_since is not None
        returned = client.put_back("b1")
    assert returned.told
    assert "serves again as soon as its /ready passes" in returned.next
    back = seen(running, "b1", lambda one: one.state is wire.State.up, "is back without a restart")
    assert (back.admin_state, back.drain_since) == (AdminState.active, None)


def test_a_key_that_may_not_drain_is_told_and_nothing_is_remembered(running: Running) -> None:
    try:
        running.monitor.describe(running.description | {"drain": {"key": "file:client.key"}})
        with running.monitor.client() as client:

            def refusal() -> str | None:
                try:
                    client.drain("b1", accept_left=0)
                except ProblemError as error:
                    return error.code
                client.put_back("b1")
                return None

            until(lambda: refusal() == "drain_impossible", within_s=30, what="the key is refused")
            assert client.backend("b1").admin_state is AdminState.active or client.backend("b1").reason == "APP.DRAINING"
    finally:
        running.monitor.describe(running.description)
