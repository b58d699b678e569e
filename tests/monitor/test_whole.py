"""`python -m monitor run` as a process, against real servers that are killed, frozen, mended and described anew."""

from __future__ import annotations

import signal
import sqlite3
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from monitor import wire
from monitor.wire import State
from tests.monitor.certs import Authority
from tests.monitor.processes import SmallFleet, until

RECOVERY_S = 20.0


@pytest.fixture
def fleet(tmp_path: Path, authority: Authority) -> Iterator[SmallFleet]:
    fleet = SmallFleet(tmp_path, authority)
    try:
        fleet.start()
        for name in fleet.backends:
            fleet.see(name, state=State.up, within_s=20)
        yield fleet
        assert "Traceback" not in fleet.monitor.log_file.read_text()
    finally:
        fleet.stop()


def bound(fleet: SmallFleet, *, deadlines: int = 0) -> float:
    """Seconds in which a fault must be seen: fall × interval + 2, and the deadlines that a silent server makes probes wait."""
    probes = fleet.PROBES
    return float(probes["fall"] * probes["interval_s"] + deadlines * probes["deadline_s"] + 2)


def test_faults_are_seen_in_time_with_their_reason_and_mend_by_themselves(fleet: SmallFleet) -> None:
    b1, b2, b3 = fleet.backends.values()
    b1.kill()
    seen, took = fleet.see("b1", state=State.down, reason="NET.REFUSED", within_s=bound(fleet))
    print(f"{'kill -9':16} {seen.reason:20} {took:5.1f} s  bound {bound(fleet):.1f} s")
    assert seen.verdicts["probes"] == "down"
    b1.start()

    b2.send(signal.SIGSTOP)
    seen, took = fleet.see("b2", state=State.down, reason="NET.TIMEOUT.TLS", within_s=bound(fleet, deadlines=3))
    print(f"{'SIGSTOP':16} {seen.reason:20} {took:5.1f} s  bound {bound(fleet, deadlines=3):.1f} s")
    b2.send(signal.SIGCONT)

    b3.say(database=False)
    seen, took = fleet.see("b3", state=State.down, reason="DEP.DATABASE", within_s=bound(fleet))
    print(f"{'database away':16} {seen.reason:20} {took:5.1f} s  bound {bound(fleet):.1f} s")
    b3.say()
    for name in fleet.backends:
        fleet.see(name, state=State.up, within_s=RECOVERY_S)

    b1.kill()
    good, b1.pair = b1.pair, fleet.authority.issue("other.face-auth.internal")
    b1.start()
    seen, took = fleet.see("b1", state=State.down, reason="TLS.NAME_MISMATCH", within_s=bound(fleet) + RECOVERY_S)
    print(f"{'wrong certificate':16} {seen.reason:20}")
    with fleet.monitor.client() as client:
        until(
            lambda: [c for c in client.certificates().items if c.name == "b1" and c.reason == "TLS.NAME_MISMATCH"],
            within_s=10,
            what="the certificates say so too, with the certificate itself",
        )
    b1.kill()
    b1.pair = good
    b1.start()
    fleet.see("b1", state=State.up, within_s=RECOVERY_S)
    b2.say(failing=["gallery"])
    fleet.see("b2", state=State.degraded, reason="APP.GALLERY", within_s=bound(fleet))
    b2.say(failing=["draining"])
    seen, _ = fleet.see("b2", state=State.degraded, reason="APP.DRAINING", within_s=bound(fleet))
    assert seen.admin_state is wire.AdminState.draining
    with fleet.monitor.client() as client:
        events = client.events(backend="b1", limit=3)
    assert [(event.old, event.new) for event in events.items][:2] == [(State.down, State.up), (State.up, State.down)]
    assert events.next is not None


def test_after_a_restart_the_last_known_state_is_shown_and_no_event_is_doubled(fleet: SmallFleet) -> None:
    fleet.backends["b2"].kill()
    fleet.see("b2", state=State.down, within_s=bound(fleet))
    with fleet.monitor.client() as client:
        before = client.backend("b2")
        until(lambda: client.events(backend="b2").items[0].new is State.down, within_s=5, what="the event is stored")
        stored = client.events().total
    fleet.monitor.kill()
    fleet.monitor.start()
    seen, _ = fleet.see("b2", state=State.down, reason="NET.REFUSED", within_s=10)
    assert seen.since == before.since
    for name in ("b1", "b3"):
        fleet.see(name, state=State.up, within_s=10)
    with fleet.monitor.client() as client:
        assert client.events().total == stored


def test_a_changed_fleet_file_is_picked_up_and_a_wrong_one_is_refused_whole(fleet: SmallFleet) -> None:
    description = fleet.description()
    fleet.monitor.describe(description | {"backends": description["backends"][:2]})
    with fleet.monitor.client() as client:
        until(lambda: client.fleet().total == 2, within_s=5, what="the third backend is no longer watched")
        since = client.backend("b1").since
        wrong = [description["backends"][0] | {"wieght": 7}]
        fleet.monitor.describe(description | {"backends": wrong})
        error = until(lambda: client.fleet().fleet_error, within_s=5, what="the file is refused")
        assert "wieght" in error
        assert error.startswith("fleet.yaml:")
        assert client.fleet().total == 2
        assert client.ready().checks["fleet"].status == "warn"
        fleet.see("b1", state=State.up, within_s=5)
        fleet.monitor.describe(description)
        until(lambda: client.fleet().total == 3 and not client.fleet().fleet_error, within_s=5, what="mended")
        assert client.backend("b1").since == since


def test_traffic_is_counted_and_no_traffic_is_said(fleet: SmallFleet) -> None:
    with fleet.monitor.client() as client:
        until(
            lambda: all(load.rate is not None for load in client.load().shares.values()), within_s=20, what="two scrapes of each"
        )
        quiet = client.load()
        assert quiet.total_requests == 0, "the probes' own requests are no traffic"
        assert {load.reason for load in quiet.shares.values()} == {"no traffic"}
        assert all(load.share is None for load in quiet.shares.values())
        for name, requests in {"b1": 30, "b2": 10, "b3": 0}.items():
            backend = fleet.backends[name]
            with httpx.Client(verify=_trust(fleet)) as http:
                for number in range(requests):
                    http.get(f"{backend.url}/v1/detect", params={"status": 500 if number % 10 == 0 else 200})
        until(lambda: client.load().total_requests == 40, within_s=20, what="all 40 requests are counted")
        load = client.load()
        assert (load.shares["b1"].share, load.shares["b2"].share, load.shares["b3"].share) == (0.75, 0.25, 0.0)
        assert load.shares["b1"].errors == 3
        assert load.shares["b1"].expected_share == pytest.approx(1 / 3)
        assert load.shares["b1"].connections == 3
        until(
            lambda: sum(point.requests for point in client.load_series(window_s=900).items) == 40,
            within_s=10,
            what="the series says the same once it is stored",
        )
        assert sum(point.requests or 0 for point in client.history("b1").items) == 30
        assert client.backend("b1").identity.model_id == "m1"


def _trust(fleet: SmallFleet) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(fleet.authority.ca_file))


def test_sigterm_ends_it_with_status_0_and_leaves_a_whole_database(fleet: SmallFleet) -> None:
    folder = fleet.monitor.folder
    assert fleet.monitor.stop() == 0
    with sqlite3.connect(folder / "monitor.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        states = dict(database.execute("SELECT name, state FROM backend_state"))
        per_backend = dict(database.execute("SELECT backend, count(*) FROM event GROUP BY backend"))
    database.close()
    assert states == {"b1": "UP", "b2": "UP", "b3": "UP"}
    assert set(per_backend) == set(states)


def test_a_monitor_that_was_frozen_goes_on_when_it_wakes(fleet: SmallFleet) -> None:
    """The scheduler's default grace would skip every run after a stall."""
    assert fleet.monitor.process is not None
    fleet.monitor.process.send_signal(signal.SIGSTOP)
    fleet.backends["b1"].kill()
    fleet.monitor.process.send_signal(signal.SIGCONT)
    fleet.see("b1", state=State.down, reason="NET.REFUSED", within_s=bound(fleet) + 5)
