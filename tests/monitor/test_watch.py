"""The fleet in memory: restored states are stale, a fault of the monitor gives no verdict, rows are written or kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import DatabaseError

from monitor import views, wire
from monitor.balancer.stats import Stats
from monitor.balancer.watch import BalancerWatch
from monitor.fleet import Balancer, Fleet
from monitor.probe.outcome import Reason, Result, Round
from monitor.store.database import Database, StoreBusy
from monitor.store.history import Batch, History
from monitor.store.tables import Event, Sample
from monitor.verdict import Readiness
from monitor.watch import FleetWatch
from monitor.wire import ProbeKind, State

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
REFUSED = Reason("NET.REFUSED", "nothing listens")


class Turning:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def fleet(*names: str, **changes: object) -> Fleet:
    backends = [
        {"name": name, "url": f"http://10.0.0.{i}:8000", "address": f"10.0.0.{i}:8000", "server_name": name} | changes
        for i, name in enumerate(names, 1)
    ]
    return Fleet.model_validate({"backends": backends, "probes": {"interval_s": 2, "fall": 3, "rise": 2, "deadline_s": 1}})


def a_round(name: str, at: datetime, *, live: Reason | None = None, ready: Reason | None = None) -> Round:
    reasons = {ProbeKind.live: live, ProbeKind.health: live, ProbeKind.ready: live or ready}
    readiness = Readiness(ever_ready=True)
    return Round(name, at, {kind: Result(kind, at, reason, readiness=readiness) for kind, reason in reasons.items()})


class Seeing:
    """A watch with its clock, fed with rounds."""

    def __init__(self, described: Fleet, *, connected: bool = True) -> None:
        self.clock = Turning()
        self.checks = 0
        self.connected = connected
        self.watch = FleetWatch(described, own_connectivity=self._connectivity, clock=self.clock)

    async def _connectivity(self) -> bool:
        self.checks += 1
        return self.connected

    def hear(self, name: str, *, times: int = 1, live: Reason | None = None, ready: Reason | None = None) -> None:
        for _ in range(times):
            self.clock.now += timedelta(seconds=1)
            found = a_round(name, self.clock.now, live=live, ready=ready)
            asyncio.run(self.watch.hear(found, self.watch.backends[name].spec))

    def view(self) -> wire.FleetView:
        balancer = BalancerWatch(Balancer())
        return views.fleet_view(self.watch, balancer, lateness_s=0, now=self.clock.now)

    def backend(self, name: str) -> wire.Backend:
        return next(one for one in self.view().items if one.name == name)


def test_a_backend_is_unknown_and_stale_until_it_is_asked() -> None:
    seeing = Seeing(fleet("b1"))
    assert (seeing.backend("b1").state, seeing.backend("b1").stale) == (State.unknown, True)
    assert seeing.view().sentence == "None of 1 backends are up: b1 has no fresh sample."
    seeing.hear("b1")
    assert (seeing.backend("b1").state, seeing.backend("b1").stale) == (State.up, False)
    assert seeing.view().sentence == "The backend is up."


def test_a_change_of_state_is_one_event_in_the_same_batch_as_the_state() -> None:
    seeing = Seeing(fleet("b1", "b2"))
    seeing.hear("b1")
    seeing.watch.take_batch()
    seeing.hear("b1", live=REFUSED, times=2)
    batch = seeing.watch.take_batch()
    assert batch.events == []
    assert seeing.backend("b1").probes[0].progress == "2/3 before down"
    seeing.hear("b1", live=REFUSED)
    batch = seeing.watch.take_batch()
    (event,) = batch.events
    assert (event.old, event.new, event.reason) == ("UP", "DOWN", "NET.REFUSED")
    assert batch.states["b1"].state == "DOWN"
    assert seeing.backend("b1").since == event.at


def test_a_sample_that_does_not_come_turns_stale_and_is_no_longer_counted_as_up() -> None:
    seeing = Seeing(fleet("b1"))
    seeing.hear("b1")
    seeing.clock.now += timedelta(seconds=30)
    assert seeing.backend("b1").stale
    assert seeing.backend("b1").state is State.up, "the last state stays beside it"
    assert "no fresh sample" in seeing.view().sentence


def test_when_most_of_the_fleet_fails_and_loopback_does_not_work_there_is_no_verdict() -> None:
    seeing = Seeing(fleet("b1", "b2", "b3"), connected=False)
    for name in ("b1", "b2", "b3"):
        seeing.hear(name)
    seeing.hear("b1", live=REFUSED)
    assert seeing.checks == 0, "one of three is no reason to doubt oneself"
    seeing.hear("b2", live=REFUSED, times=5)
    assert seeing.checks == 5
    assert seeing.backend("b2").state is State.up
    assert seeing.backend("b2").monitor_fault == "MON.LOOPBACK"
    seeing.connected = True
    seeing.hear("b2", live=REFUSED, times=3)
    assert seeing.backend("b2").state is State.down
    assert seeing.backend("b2").monitor_fault is None


def test_a_fault_of_the_monitor_is_said_and_the_backend_turns_stale() -> None:
    seeing = Seeing(fleet("b1"))
    seeing.hear("b1")
    seeing.hear("b1", live=Reason("MON.RESOURCES", "no sockets"), times=40)
    assert seeing.backend("b1").state is State.up
    assert seeing.backend("b1").stale
    assert seeing.backend("b1").monitor_fault == "MON.RESOURCES"


def test_a_round_of_a_target_that_the_fleet_file_no_longer_has_is_dropped() -> None:
    seeing = Seeing(fleet("b1"))
    old = seeing.watch.backends["b1"].spec
    seeing.watch.adopt(fleet("b1", address="10.9.9.9:8000"))
    asyncio.run(seeing.watch.hear(a_round("b1", START, live=REFUSED), old))
    assert seeing.backend("b1").state is State.unknown


def test_a_changed_weight_keeps_what_is_known_and_a_changed_address_does_not() -> None:
    seeing = Seeing(fleet("b1"))
    seeing.hear("b1")
    seeing.watch.adopt(fleet("b1", weight=7))
    assert (seeing.backend("b1").state, seeing.backend("b1").weight) == (State.up, 7)
    seeing.watch.adopt(fleet("b1", address="10.9.9.9:8000"))
    assert seeing.backend("b1").state is State.unknown


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    database = Database.open(f"sqlite:///{tmp_path}/monitor.db")
    yield History(database)
    database.close()


def test_after_a_restart_the_last_known_state_is_stale_until_it_is_fresh(history: History) -> None:
    before = Seeing(fleet("b1", "b2"))
    before.hear("b1")
    before.hear("b1", live=REFUSED, times=3)
    before.hear("b2")
    history.write(before.watch.take_batch())

    after = Seeing(fleet("b1", "b2"))
    after.clock.now = before.clock.now + timedelta(minutes=1)
    after.watch.restore(history.states(), history.certificates())
    b1 = after.backend("b1")
    assert (b1.state, b1.reason, b1.stale, b1.since) == (State.down, "NET.REFUSED", True, before.backend("b1").since)
    assert b1.probes[0].progress is None
    after.hear("b1")
    assert not after.backend("b1").stale
    assert after.backend("b1").state is State.down, "one pass of two: the hysteresis survived too"
    assert after.watch.take_batch().events == []
    after.hear("b1")
    assert [event.new for event in after.watch.take_batch().events] == ["UP"]


def test_the_state_of_another_address_is_not_restored(history: History) -> None:
    before = Seeing(fleet("b1"))
    before.hear("b1")
    history.write(before.watch.take_batch())
    after = Seeing(fleet("b1", address="10.9.9.9:8000"))
    after.watch.restore(history.states(), {})
    assert after.backend("b1").state is State.unknown


def event(number: int, at: datetime = START) -> Event:
    return Event(
        at=at + timedelta(seconds=number), backend=f"b{number % 2}", old="UP", new="DOWN", reason=str(number), detail=None
    )


def sample(at: datetime, *, state: str = "UP", requests: float | None = 1.0) -> Sample:
    pairs = [[0.1, 1.0]] if requests else None
    up = state == "UP"
    return Sample(at=at, backend="b1", state=state, up=up, probe_ms=3.0, requests=requests, errors=0.0, latency=pairs)


def test_a_batch_is_written_whole_or_not_at_all(history: History) -> None:
    broken = Batch(events=[event(1)], samples=[sample(START)])
    broken.samples[0].backend = None  # type: ignore[assignment]
    with pytest.raises(Exception, match="NOT NULL"):
        history.write(broken)
    assert history.events(backend=None, before_id=None, limit=5).total == 0


def test_a_batch_that_could_not_be_written_is_written_later_in_its_order(history: History) -> None:
    seeing = Seeing(fleet("b1"))
    seeing.hear("b1")
    first = seeing.watch.take_batch()
    seeing.hear("b1", live=REFUSED, times=3)
    seeing.watch.give_back(first)
    history.write(seeing.watch.take_batch())
    found = history.events(backend="b1", before_id=None, limit=5).items
    assert [(one.old, one.new) for one in found] == [(State.up, State.down), (State.unknown, State.up)]
    assert history.states()["b1"].state == "DOWN"


def test_events_page_from_the_newest_to_the_oldest_without_gap_or_repeat(history: History) -> None:
    history.write(Batch(events=[event(number) for number in range(25)]))
    seen: list[str | None] = []
    before: int | None = None
    while True:
        page = history.events(backend=None, before_id=before, limit=10)
        seen += [one.reason for one in page.items]
        assert (page.total, page.total_is) == (25, "exact")
        if page.next is None:
            break
        before = int(page.next)
    assert seen == [str(number) for number in reversed(range(25))]
    assert history.events(backend="b1", before_id=None, limit=100).total == 12


def test_a_second_monitor_on_the_same_database_is_refused_and_the_lock_ends_with_the_first(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/monitor.db"
    first = Database.open(url)
    with pytest.raises(StoreBusy, match="another monitor"):
        Database.open(url)
    first.close()
    Database.open(url).close()


def test_readers_go_on_while_a_writer_writes_and_a_writer_has_the_lock_from_its_start(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/monitor.db")
    with database.write() as session:
        session.add(event(1))
        session.flush()
        database.ping()
        connection = database._readers.raw_connection()
        connection.execute("PRAGMA busy_timeout = 10")
        with pytest.raises(Exception, match="locked"):
            connection.execute("BEGIN IMMEDIATE")
        connection.close()
    database.close()


def test_a_database_that_is_damaged_is_an_error_and_not_an_empty_history(tmp_path: Path) -> None:
    (tmp_path / "monitor.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(DatabaseError, match="not a database"):
        Database.open(f"sqlite:///{tmp_path}/monitor.db")


def test_a_balancer_that_has_not_noticed_yet_does_not_disagree_and_one_that_never_does_is_named() -> None:
    seeing = Seeing(fleet("b1", "b2"))
    for name in ("b1", "b2"):
        seeing.hear(name)
    balancer = BalancerWatch(Balancer.model_validate({"kind": "haproxy"}), stats=Stats(3, {"b1": "up", "b2": "up"}))
    seeing.hear("b1", live=REFUSED, times=3)

    def said() -> str | None:
        return views.backend_views(seeing.watch, balancer, now=seeing.clock.now)[0].disagreement

    assert said() is None
    seeing.hear("b1", live=REFUSED, times=6)
    assert said() == "Our probes find b1 down, but the balancer still sends it traffic."
