"""`python -m monitor run` with a route to a real receiver: a backend dies, the monitor is killed, both come back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.wire import State
from tests.monitor.alert_receiver import Receiver, receiving
from tests.monitor.certs import Authority
from tests.monitor.processes import SmallFleet, until


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def fleet(tmp_path: Path, authority: Authority, receiver: Receiver) -> Iterator[SmallFleet]:
    made = SmallFleet(tmp_path, authority)
    alerts = {"routes": [{"name": "ops", "url": receiver.apprise_url, "min_severity": "critical"}], "for_s": {"BackendDown": 1}}
    try:
        for backend in made.backends.values():
            backend.start()
        made.monitor.describe(made.description() | {"alerts": alerts})
        made.monitor.start()
        for name in made.backends:
            made.see(name, state=State.up, within_s=30)
        yield made
        assert "Traceback" not in made.monitor.log_file.read_text()
    finally:
        made.stop()


def told(receiver: Receiver) -> list[str]:
    """Titles by key, in the order in which they first came."""
    first = {}
    for got in list(receiver.got):
        first.setdefault(got.key, got.body["title"])
    return list(first.values())


DOWN, OVER = "[FIRING critical] BackendDown b2", "[RESOLVED critical] BackendDown b2"


def test_what_happens_while_the_monitor_is_dead_is_told_when_it_is_back(fleet: SmallFleet, receiver: Receiver) -> None:
    fleet.backends["b2"].kill()
    until(lambda: DOWN in told(receiver), within_s=40, what="it is told that b2 is down")
    with fleet.monitor.client() as client:
        # Killed before it is marked it would come again, with the same key: that is what `make alert-chaos` plays.
        until(lambda: [one for one in client.deliveries().items if one.state == "sent"], within_s=10, what="it is marked")
    fleet.monitor.kill()
    fleet.monitor.start()
    fleet.see("b2", state=State.down, within_s=30)
    with fleet.monitor.client() as client:
        (alert,) = [one for one in client.alerts().items if one.key == "backend:b2"]
        assert (alert.state, alert.told) == ("firing", "critical")
    assert told(receiver) == [DOWN], "a restart tells nothing again"
    receiver.status = 500
    fleet.backends["b2"].start()
    fleet.see("b2", state=State.up, within_s=30)
    until(lambda: OVER in told(receiver), within_s=30, what="its end is tried")
    fleet.monitor.kill()
    receiver.status = 200
    before = len(receiver.got)
    fleet.monitor.start()
    # It was killed with or without a claim in its hand, which lasts half a minute.
    until(lambda: len(receiver.got) > before, within_s=60, what="the end comes again, after a restart too")
    assert told(receiver) == [DOWN, OVER]
