"""Alerts on both databases: a step and what is told of it are one transaction; the outbox loses nothing and keeps order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlmodel import select

from monitor import wire
from monitor.alerts.condition import Sheet
from monitor.fleet_alerts import Alerts, Severity
from monitor.store.alert_tables import AlertRow, Delivery, OperatorAction
from monitor.store.alert_views import AlertReader
from monitor.store.alerts import AlertBook
from monitor.store.database import Database, StoreBusy
from monitor.store.deliveries import GIVE_UP_AFTER, Outbox, retry_after
from monitor.store.history import Batch, History
from monitor.store.operators import Actor, NoSuchThing, NotPossible, Operators
from monitor.store.tables import BackendState, Event
from monitor.store.traffic import burn
from tests.monitor.rolling import roll_up
from tests.monitor.test_watch import sample
from tests.postgres import PostgresServer

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
TWO_ROUTES = Alerts.model_validate(
    {
        "routes": [
            {"name": "all", "url": "json://127.0.0.1:9/a", "min_severity": "info"},
            {"name": "worst", "url": "json://127.0.0.1:9/b", "min_severity": "critical"},
        ]
    }
)
ANN = Actor("usr_ann")


class Evaluating:
    """A book, and the time of its next evaluation."""

    def __init__(self, database: Database) -> None:
        self.book, self.now = AlertBook(database), START

    def see(self, *down: str, degraded: tuple[str, ...] = (), held: tuple[str, ...] = (), after_s: float = 20) -> list[str]:
        """Evaluate; gives what was decided to be told."""
        self.now += timedelta(seconds=after_s)
        sheet = Sheet(TWO_ROUTES)
        for name in down:
            sheet.add("BackendDown", f"backend:{name}", f"{name} is DOWN", "NET.REFUSED", backend=name)
        for name in degraded:
            sheet.add("BackendDegraded", f"backend:{name}", f"{name} is DEGRADED", "APP.MODEL", backend=name)
        sheet.hold(*(f"backend:{name}" for name in held))
        done = self.book.evaluate(sheet, names=["b1", "b2"], flapping=frozenset(), now=self.now)
        return [f"{notice.kind} {alert.rule} {alert.key}" for alert, notice in done.settled]


@pytest.fixture
def evaluating(database: Database) -> Evaluating:
    return Evaluating(database)


def test_an_alert_is_pending_then_fires_then_is_over_with_an_outbox_row_for_each_route_that_wants_it(
    database: Database, evaluating: Evaluating
) -> None:
    reader = AlertReader(database)
    assert evaluating.see("b1") == []
    (pending,) = reader.alerts(state=wire.AlertState.pending, before=None, limit=9).items
    assert (pending.rule, pending.owner, pending.starts_at) == ("BackendDown", "NET", None)
    assert evaluating.see("b1") == ["firing BackendDown backend:b1"]
    assert evaluating.see("b1") == []
    assert evaluating.see() == ["resolved BackendDown backend:b1"]
    detail = reader.alert(pending.id)
    assert detail is not None
    assert [one.what for one in detail.history] == ["pending", "firing", "told firing", "resolved", "told resolved"]
    assert [(one.route, one.kind, one.state) for one in detail.deliveries] == [
        ("all", "firing", "waiting"),
        ("worst", "firing", "waiting"),
        ("all", "resolved", "waiting"),
        ("worst", "resolved", "waiting"),
    ]
    evaluating.see("b1")
    evaluating.see("b1")
    assert reader.alerts(state=None, before=None, limit=9).total == 2, "the next time it is another alert"


def test_what_grows_worse_stays_one_alert_and_reaches_the_route_that_wants_only_the_worst(
    database: Database, evaluating: Evaluating
) -> None:
    for _ in range(5):
        evaluating.see(degraded=("b1",))
    assert evaluating.see("b1") == ["firing BackendDown backend:b1"]
    assert evaluating.see(degraded=("b1",)) == []
    assert evaluating.see() == ["resolved BackendDegraded backend:b1"]
    with database.read() as session:
        rows = session.exec(select(Delivery).order_by("id")).all()
    assert [(row.route, row.kind, row.severity, row.body["rule"]) for row in rows] == [
        ("all", "firing", "warning", "BackendDegraded"),
        ("all", "firing", "critical", "BackendDown"),
        ("worst", "firing", "critical", "BackendDown"),
        ("all", "resolved", "critical", "BackendDown"),
        ("worst", "resolved", "critical", "BackendDown"),
    ]
    assert rows[1].body["before"] == {"rule": "BackendDegraded", "severity": "warning"}


def test_without_evidence_it_stays_and_says_so_over_a_restart_too(database: Database, evaluating: Evaluating) -> None:
    evaluating.see("b1")
    evaluating.see("b1")
    again = Evaluating(database)
    again.now = evaluating.now
    assert again.see(held=("b1",), after_s=1800) == []
    (alert,) = again.book.open_alerts()
    assert (alert.state, alert.stale, alert.told) == ("firing", True, Severity.critical)
    assert again.see() == ["resolved BackendDown backend:b1"]


def test_a_transition_that_cannot_be_told_is_not_stored_either(database: Database, evaluating: Evaluating) -> None:
    evaluating.see("b1")
    (alert,) = evaluating.book.open_alerts()
    taken = Delivery(
        alert_id=alert.id,
        alert_key=alert.key,
        route="all",
        kind="firing",
        severity="critical",
        idempotency_key=f"{alert.id}:1:firing:all",
        body={},
        created_at=START,
        due_at=START,
    )
    with database.write() as session:
        session.add(taken)
    with pytest.raises(IntegrityError):
        evaluating.see("b1")
    (alert,) = evaluating.book.open_alerts()
    assert (alert.state, alert.change) == ("pending", 0)


def test_a_key_is_open_once_at_most(database: Database, evaluating: Evaluating) -> None:
    evaluating.see("b1")
    with database.read() as session:
        row = session.exec(select(AlertRow)).one()
    copy = AlertRow(**{**row.model_dump(), "id": "alr_other"})
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(copy)


def fire(evaluating: Evaluating, *names: str) -> None:
    evaluating.see(*names)
    evaluating.see(*names)


def test_a_claim_is_exclusive_until_its_time_is_over_and_then_it_comes_again(database: Database, evaluating: Evaluating) -> None:
    fire(evaluating, "b1", "b2")
    outbox = Outbox(database)
    first = outbox.claim("all", limit=1)
    second = outbox.claim("all")
    assert len(first) == len(second) == 1
    assert first[0].id != second[0].id
    assert outbox.claim("all") == []
    with database.write() as session:
        for row in session.exec(select(Delivery)):
            row.claimed_until = database.now(session) - timedelta(seconds=1)
    assert [one.idempotency_key for one in outbox.claim("all")] == [first[0].idempotency_key, second[0].idempotency_key]


def test_the_end_of_an_alert_waits_for_its_beginning_and_is_retried_like_it(database: Database, evaluating: Evaluating) -> None:
    fire(evaluating, "b1")
    evaluating.see()
    outbox = Outbox(database, first_retry_s=0)
    (claimed,) = outbox.claim("all")
    assert claimed.kind == "firing"
    assert outbox.claim("all") == []
    outbox.failed(claimed.id, "answered 500")
    (claimed,) = outbox.claim("all")
    assert claimed.kind == "firing"
    outbox.sent(claimed.id, "answered 200")
    for attempt in range(4):
        (claimed,) = outbox.claim("all")
        assert claimed.kind == "resolved"
        assert outbox.undelivered()["all"] == attempt
        outbox.failed(claimed.id, "answered 500")
    (claimed,) = outbox.claim("all")
    outbox.sent(claimed.id, "answered 200")
    assert outbox.claim("all") == []
    assert "all" not in outbox.undelivered()
    told = AlertReader(database).deliveries(route="all", before=None, limit=9).items
    assert [(one.kind, one.state, one.attempts) for one in told] == [("resolved", "sent", 5), ("firing", "sent", 2)]


def test_the_next_alert_of_a_key_does_not_overtake_the_end_of_the_one_before(database: Database, evaluating: Evaluating) -> None:
    """Else a receiver would take for over what has begun again."""
    outbox = Outbox(database)
    fire(evaluating, "b1")
    outbox.sent(outbox.claim("all")[0].id, "ok")
    evaluating.see()
    fire(evaluating, "b1")
    (end,) = outbox.claim("all")
    assert end.kind == "resolved"
    outbox.failed(end.id, "answered 500")
    assert outbox.claim("all") == []


def test_a_failed_one_waits_longer_each_time_and_is_given_up_after_a_week(database: Database, evaluating: Evaluating) -> None:
    assert [retry_after(n).total_seconds() for n in (1, 2, 3, 20, 500)] == [2, 4, 8, 600, 600]
    fire(evaluating, "b1")
    outbox = Outbox(database)
    (claimed,) = outbox.claim("all")
    outbox.failed(claimed.id, "answered 500")
    assert outbox.claim("all") == [], "not before its time"
    with database.write() as session:
        row = session.get_one(Delivery, claimed.id)
        row.created_at = database.now(session) - GIVE_UP_AFTER - timedelta(minutes=1)
    outbox.failed(claimed.id, "answered 500")
    (one,) = AlertReader(database).deliveries(route="all", before=None, limit=9).items
    assert (one.state, one.attempts) == ("given_up", 2)
    assert outbox.undelivered() == {"worst": 0}


def test_what_waits_for_a_route_that_is_gone_is_given_up_and_says_why(database: Database, evaluating: Evaluating) -> None:
    fire(evaluating, "b1")
    outbox = Outbox(database)
    assert outbox.give_up_routes(["all"], START) == 1
    (one,) = AlertReader(database).deliveries(route="worst", before=None, limit=9).items
    assert (one.state, one.answer) == ("given_up", "the fleet file has no such route any more")


def until(hours: float, **more: object) -> dict[str, object]:
    return {"ends_at": START + timedelta(hours=hours), "comment": "because", **more}


def test_a_silence_keeps_back_and_its_end_tells_what_still_holds(database: Database, evaluating: Evaluating) -> None:
    operators = Operators(database)
    asked = wire.NewSilence.model_validate(until(1, matchers={"backend": "b1"}))
    silence = operators.silence(asked, ANN, START)
    fire(evaluating, "b1", "b2")
    (row,) = [one for one in evaluating.book.open_alerts() if one.key == "backend:b1"]
    assert (row.state, row.quiet, row.told) == ("firing", "silenced", None)
    operators.lift_silence(silence.id, ANN, evaluating.now)
    assert evaluating.see("b1", "b2") == ["firing BackendDown backend:b1"]
    with pytest.raises(NotPossible):
        operators.lift_silence(silence.id, ANN, evaluating.now)
    with pytest.raises(NoSuchThing):
        operators.lift_silence("sil_none", ANN, evaluating.now)


def test_maintenance_neither_tells_again_what_was_down_nor_keeps_quiet_about_what_is_down_after_it(
    database: Database, evaluating: Evaluating
) -> None:
    fire(evaluating, "b1")
    operators = Operators(database)
    asked = wire.NewMaintenance.model_validate(until(1, backends=["b1", "b2"]))
    window = operators.maintain(asked, ANN, evaluating.now)
    assert evaluating.see("b1", "b2") == []
    assert evaluating.see("b1", "b2") == []
    operators.end_maintenance(window.id, ANN, evaluating.now)
    assert evaluating.see("b1", "b2") == ["firing BackendDown backend:b2"]


def test_which_backends_are_in_maintenance_is_said_by_each_evaluation(database: Database, evaluating: Evaluating) -> None:
    operators = Operators(database)
    operators.maintain(wire.NewMaintenance.model_validate(until(1, backends=["b1"])), ANN, START)
    sheet = Sheet(TWO_ROUTES)
    for at, names in ((START, {"b1"}), (START + timedelta(hours=1), set())):
        done = evaluating.book.evaluate(sheet, names=["b1", "b2"], flapping=frozenset(), now=at)
        assert done.in_maintenance == names


@pytest.mark.parametrize(
    "times",
    [
        {"ends_at": START},
        {"ends_at": START - timedelta(hours=1)},
        {"ends_at": START + timedelta(days=31)},
        {"ends_at": START + timedelta(hours=1), "starts_at": START + timedelta(hours=2)},
    ],
)
def test_a_silence_ends_in_the_future_and_within_a_month(database: Database, times: dict[str, datetime]) -> None:
    asked = wire.NewSilence.model_validate({"matchers": {"rule": "*"}, "comment": "x", **times})
    with pytest.raises(NotPossible):
        Operators(database).silence(asked, ANN, START)
    assert AlertReader(database).silences(before=None, limit=1).total == 0


def test_every_act_of_an_operator_is_in_the_audit_trail_with_ids_and_without_words(
    database: Database, evaluating: Evaluating
) -> None:
    operators = Operators(database)
    evaluating.see("b1")
    (alert,) = evaluating.book.open_alerts()
    with pytest.raises(NotPossible):
        operators.acknowledge(alert.id, ANN, evaluating.now)
    evaluating.see("b1")
    operators.acknowledge(alert.id, ANN, evaluating.now)
    operators.acknowledge(alert.id, Actor("usr_bob"), evaluating.now)
    silence = operators.silence(wire.NewSilence.model_validate(until(9, matchers={"rule": "*"})), ANN, evaluating.now)
    window = operators.maintain(wire.NewMaintenance.model_validate(until(9)), ANN, evaluating.now)
    operators.lift_silence(silence.id, Actor("usr_bob"), evaluating.now)
    operators.end_maintenance(window.id, ANN, evaluating.now)
    operators.note_test("all", ANN, delivered=False, now=evaluating.now)
    page = AlertReader(database).actions(before=None, limit=4)
    rest = AlertReader(database).actions(before=int(page.next or 0), limit=4)
    assert [(one.actor, one.action, one.target) for one in reversed([*page.items, *rest.items])] == [
        ("usr_ann", "acknowledge", alert.id),
        ("usr_ann", "silence", silence.id),
        ("usr_ann", "maintenance", window.id),
        ("usr_bob", "lift_silence", silence.id),
        ("usr_ann", "end_maintenance", window.id),
        ("usr_ann", "test_route", "all"),
    ]
    assert (page.total, rest.next) == (6, None)
    with database.read() as session:
        assert "because" not in str([row.model_dump() for row in session.exec(select(OperatorAction))])


def test_old_alerts_go_with_their_history_and_open_ones_stay(database: Database, evaluating: Evaluating) -> None:
    fire(evaluating, "b1", "b2")
    evaluating.see("b2")
    outbox = Outbox(database)
    for claimed in outbox.claim("all"):
        outbox.sent(claimed.id, "ok")
    later = datetime.now(UTC) + timedelta(days=400)
    assert evaluating.book.prune(later) > 0
    assert [one.key for one in evaluating.book.open_alerts()] == ["backend:b2"]
    with database.read() as session:
        steps = session.connection().execute(text("SELECT DISTINCT alert_id FROM alert_event")).all()
        waiting = session.exec(select(Delivery).where(Delivery.sent_at != None)).all()  # noqa: E711
    assert len(steps) == 1
    assert waiting == []
    assert len(outbox.undelivered()) == 2, "what was never told is not forgotten"


# --- the rest of the history on both databases ---------------------------------------------------------------------------


def test_states_events_and_minutes_are_the_same_in_both_databases(database: Database) -> None:
    history = History(database)
    many = [sample(START + timedelta(seconds=10 * n), state="DOWN" if n == 3 else "UP") for n in range(18)]
    state = BackendState(name="b1", state="UP", since=START, reason=None, detail=None, last_sample_at=START, standings={"a": 1})
    history.write(Batch(states={"b1": state}))
    state.state = "DOWN"
    history.write(Batch(states={"b1": state}, certificate_names={"b1"}))
    assert (history.states()["b1"].state, history.states()["b1"].since) == ("DOWN", START)
    history.write(Batch(samples=many, events=[Event(at=START, backend="b1", old="UP", new="DOWN", reason="X", detail=None)]))
    roll_up(history, START + timedelta(minutes=2, seconds=30))
    assert history.events(backend="b1", before_id=None, limit=1).total == 1
    found = burn(database, [300, 60], START + timedelta(minutes=2))
    assert found.requests == {300: 12, 60: 6}
    history.ping()


def test_a_second_monitor_is_refused_and_the_lock_ends_with_the_first(database_url: str) -> None:
    first = Database.open(database_url)
    with pytest.raises(StoreBusy, match="another monitor"):
        Database.open(database_url)
    first.close()
    Database.open(database_url).close()


def end_sessions(server: PostgresServer, url: str) -> None:
    """What a restart of the server does to the monitor: its sessions end, and their locks with them."""
    statement = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(statement, (url.rsplit("/", 1)[1],))


def test_postgresql_that_forgot_our_lock_gives_it_back_and_where_another_monitor_has_it_nothing_is_written(
    postgres: PostgresServer,
) -> None:
    url = postgres.new_database()
    first = Database.open(url)
    event = {"backend": "b1", "old": "UP", "new": "DOWN", "reason": None, "detail": None}
    try:
        end_sessions(postgres, url)
        History(first).write(Batch(events=[Event(at=START, **event)]))
        with pytest.raises(StoreBusy):
            Database.open(url)
        end_sessions(postgres, url)
        second = Database.open(url)
        with pytest.raises(OperationalError, match="another monitor"):
            History(first).write(Batch(events=[Event(at=START, **event)]))
        assert History(second).events(backend=None, before_id=None, limit=5).total == 1
        second.close()
        History(first).write(Batch(events=[Event(at=START, **event)]))
        assert History(first).events(backend=None, before_id=None, limit=5).total == 2
    finally:
        first.close()
        postgres.drop(url)


def test_a_database_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="SQLite file"):
        Database.open("mysql://localhost/x")
