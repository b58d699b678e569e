"""History on both databases: roll-ups say what the samples said, at any resolution, late or repeated; gaps stay gaps."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise, zip_longest

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from monitor.histogram import Histogram, of_values
from monitor.store.bucket import Bucket, Seen, merged, of_samples, rebucketed
from monitor.store.bucket_rows import DAY_MS, HOUR_MS, LEVELS, MINUTE_MS, read_buckets
from monitor.store.database import Database
from monitor.store.history import Batch, History
from monitor.store.retention import DELETE_AT_ONCE, KEEP_MINUTES
from monitor.store.series import MOST_POINTS, step_for
from monitor.store.tables import BackendState, Event, Sample
from tests.monitor.rolling import prune, roll_up

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
START_MS = round(START.timestamp() * 1000)


@pytest.fixture
def history(database: Database) -> History:
    return History(database)


def sample(
    after_s: float, state: str = "UP", *, backend: str = "b1", valid_s: float | None = 21.0, requests: float | None = 1.0
) -> Sample:
    return Sample(
        at=START + timedelta(seconds=after_s),
        backend=backend,
        state=state,
        up=state == "UP",
        probe_ms=3.0,
        requests=requests,
        errors=None if requests is None else 0.0,
        latency=None if requests is None else [[0.1, requests]],
        valid_s=valid_s,
        in_flight=2.0,
    )


def at(after_s: float) -> datetime:
    return START + timedelta(seconds=after_s)


def seen_of(samples: Sequence[Sample]) -> list[Seen]:
    return [Seen(**one.model_dump(exclude={"id", "at"}), at_ms=round(one.at.timestamp() * 1000)) for one in samples]


def stored(database: Database, level: str) -> list[Bucket]:
    with database.read() as session:
        rows = read_buckets(session.connection(), level, backend=None, start_ms=0, end_ms=1 << 50)
    return sorted(rows, key=lambda one: (one.at_ms, one.backend))


def plain(buckets: Iterable[Bucket]) -> list[Bucket]:
    """Without the buckets of histograms that say nothing: they are not stored."""
    return [
        replace(
            one, **{name: Histogram.from_pairs(getattr(one, name).to_pairs()) for name in ("probe_ms", "latency", "in_flight")}
        )
        for one in buckets
    ]


def first_difference(found: list[Bucket], expected: list[Bucket]) -> tuple[Bucket | None, Bucket | None] | None:
    """A whole difference of thousands of buckets would take minutes to print."""
    return next((pair for pair in zip_longest(found, expected) if pair[0] != pair[1]), None)


# --- buckets of samples ----------------------------------------------------------------------------------------------


def test_a_state_stands_until_the_next_sample_to_the_millisecond() -> None:
    many = seen_of([sample(0), sample(10.25, "DOWN"), sample(30.5)])
    (minute,) = of_samples(many, start_ms=START_MS, end_ms=START_MS + 40_000, step_ms=MINUTE_MS)
    assert minute.held_ms == {"UP": 10_250 + 9_500, "DOWN": 20_250}
    assert minute.state == "DOWN"
    assert minute.availability == 19_750 / 40_000


def test_what_was_never_watched_is_in_no_state_and_has_no_bucket() -> None:
    many = seen_of([sample(0), sample(3600)])
    minutes = of_samples(many, start_ms=START_MS, end_ms=START_MS + 2 * HOUR_MS, step_ms=MINUTE_MS)
    assert [(one.at_ms - START_MS, one.held_ms) for one in minutes] == [(0, {"UP": 21_000}), (HOUR_MS, {"UP": 21_000})]


def test_a_state_reaches_over_minutes_without_a_sample_while_it_is_valid() -> None:
    many = seen_of([sample(50, "DOWN", valid_s=100)])
    minutes = of_samples(many, start_ms=START_MS, end_ms=START_MS + HOUR_MS, step_ms=MINUTE_MS)
    assert [(one.samples, one.held_ms, one.requests) for one in minutes] == [
        (1, {"DOWN": 10_000}, 1.0),
        (0, {"DOWN": 60_000}, None),
        (0, {"DOWN": 30_000}, None),
    ]


def test_a_sample_that_was_written_twice_counts_once() -> None:
    (minute,) = of_samples(seen_of([sample(0), sample(0)]), start_ms=START_MS, end_ms=START_MS + MINUTE_MS, step_ms=MINUTE_MS)
    assert (minute.samples, minute.requests) == (1, 1.0)


STATES = st.sampled_from(["UP", "DOWN", "DEGRADED", "STARTING"])
SAMPLES = st.lists(
    st.builds(
        Seen,
        backend=st.sampled_from(["b1", "b2"]),
        at_ms=st.integers(START_MS - 600_000, START_MS + 3 * HOUR_MS),
        state=STATES,
        up=st.booleans(),
        probe_ms=st.none() | st.floats(0, 1e5),
        requests=st.none() | st.integers(0, 1000).map(float),
        errors=st.none() | st.integers(0, 1000).map(float),
        latency=st.none() | st.just([[0.1, 3], ["inf", 1]]),
        in_flight=st.none() | st.integers(0, 300).map(float),
        valid_s=st.none() | st.floats(0, 5000),
    ),
    max_size=30,
    unique_by=lambda one: (one.backend, one.at_ms),
)


@given(SAMPLES, st.sampled_from([120_000, 600_000, HOUR_MS]))
def test_wider_buckets_of_buckets_are_those_of_the_samples(samples: list[Seen], step_ms: int) -> None:
    span = {"start_ms": START_MS, "end_ms": START_MS + 3 * HOUR_MS}
    minutes = of_samples(samples, **span, step_ms=MINUTE_MS)
    assert first_difference(rebucketed(minutes, step_ms), of_samples(samples, **span, step_ms=step_ms)) is None
    for one in minutes:
        assert 0 <= one.watched_ms <= MINUTE_MS


@given(st.lists(st.floats(0, 20_000), min_size=1, max_size=30), st.floats(0.01, 0.99))
def test_a_stored_histogram_has_the_percentiles_of_the_one_that_was_measured(values: list[float], q: float) -> None:
    measured = of_values(values)
    assert Histogram.from_pairs(measured.to_pairs()).quantile(q) == measured.quantile(q)


# --- rolled up -------------------------------------------------------------------------------------------------------


def some_days(rng: random.Random) -> list[Sample]:
    """Two backends at changing speeds, with holes, over three days."""
    found = []
    for backend in ("b1", "b2"):
        after = rng.uniform(0, 100)
        while after < 3 * 86_400:
            state = rng.choice(["UP", "UP", "UP", "DOWN", "DEGRADED"])
            requests = rng.choice([None, 0.0, 5.0])
            found.append(sample(round(after, 3), state, backend=backend, valid_s=rng.choice([21.0, 400.0]), requests=requests))
            after += rng.choice([60, 900, 1800, 1800, 20_000 if rng.random() < 0.03 else 900]) * rng.uniform(0.5, 1)
    return found


@pytest.mark.parametrize("seed", range(2))
def test_roll_ups_of_roll_ups_say_what_all_samples_say_late_ones_too(database: Database, seed: int) -> None:
    rng = random.Random(seed)
    many = some_days(rng)
    # Most are written at once, some only when the database came back; the monitor restarts, rolls up and deletes meanwhile.
    arriving = sorted(
        many, key=lambda one: one.at + timedelta(seconds=rng.choice([1, 1, 1, 8, 36_000 if rng.random() < 0.1 else 3]))
    )
    arrived = 0
    for hour in range(2, 3 * 24 + 30, 4):
        now, history = at(hour * 3600 + rng.uniform(0, 3599)), History(database)
        fresh = [one for one in arriving[arrived:] if one.at <= now]
        some = fresh if hour >= 72 else fresh[: int(len(fresh) * rng.uniform(0.5, 1))]
        history.write(Batch(samples=some))
        arriving[arrived:] = [*some, *(one for one in arriving[arrived:] if one not in some)]
        arrived += len(some)
        roll_up(history, now)
        if hour % 20 == 2:
            prune(history, now)
    assert arrived == len(many)
    end = START_MS + 5 * DAY_MS
    for level, (_, step_ms) in LEVELS.items():
        expected = of_samples(seen_of(many), start_ms=START_MS - DAY_MS, end_ms=end, step_ms=step_ms)
        assert first_difference(plain(stored(database, level)), plain(expected)) is None, level


def test_minutes_are_rolled_up_once_and_the_minute_that_still_runs_is_left(history: History, database: Database) -> None:
    history.write(Batch(samples=[sample(10 * n, "DOWN" if n == 3 else "UP") for n in range(18)]))
    assert roll_up(history, at(150)) == 2
    assert roll_up(history, at(150)) == 0
    first, second = stored(database, "minute")
    assert (first.at, first.state, first.samples, first.up, first.requests) == (START, "DOWN", 6, 5, 6.0)
    assert first.held_ms == {"UP": 50_000, "DOWN": 10_000}
    assert second.held_ms == {"UP": 60_000}
    assert first.in_flight.quantile(0.5) == pytest.approx(1.5)


def test_a_late_sample_changes_its_minute_its_hour_and_its_day(history: History, database: Database) -> None:
    history.write(Batch(samples=[sample(10, "UP", valid_s=60)]))
    roll_up(history, at(2 * 86_400))
    assert [one.requests for one in stored(database, "day")] == [1.0]
    history.write(Batch(samples=[sample(30, "DOWN", valid_s=10, requests=4.0)]))
    assert roll_up(history, at(86_400 + 3600)) > 0
    for level in LEVELS:
        (first, *_) = stored(database, level)
        assert (first.requests, first.state) == (5.0, "DOWN"), level
    assert stored(database, "day")[0].held_ms == {"UP": 20_000, "DOWN": 10_000}


def test_a_late_sample_of_a_minute_whose_others_are_gone_does_not_replace_it(history: History, database: Database) -> None:
    history.write(Batch(samples=[sample(5 * n) for n in range(12)]))
    roll_up(history, at(600))
    with database.write() as session:
        session.connection().execute(text("DELETE FROM sample WHERE id < (SELECT max(id) FROM sample)"))
    history.write(Batch(samples=[sample(7)]))
    roll_up(history, at(700))
    assert stored(database, "minute")[0].samples == 12


def test_minutes_from_before_states_were_timed_become_hours_and_days(history: History, database: Database) -> None:
    with database.write() as session:
        for number in range(60):
            row = {"at": START_MS + number * MINUTE_MS, "state": "DOWN" if number == 0 else "UP", "up": 3 if number == 0 else 6}
            session.connection().execute(
                text(
                    "INSERT INTO minute (backend, at, state, samples, up, probe_ms, requests, errors, latency)"
                    " VALUES ('b1', :at, :state, 6, :up, '[]', 5, 0, '[]')"
                ),
                row,
            )
    roll_up(history, at(2 * 86_400))
    (day,) = stored(database, "day")
    assert day.held_ms == {"UP": 59 * 60_000 + 30_000, "DOWN": 30_000}
    assert day.requests == 300


# --- read ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step_s", [10, 600, 3600, 86_400])
def test_a_series_is_the_same_before_while_and_after_it_is_rolled_up(history: History, step_s: int) -> None:
    many = [sample(n * 97.3, "DOWN" if n % 7 == 0 else "UP", backend=f"b{n % 2 + 1}", valid_s=150) for n in range(150)]
    history.write(Batch(samples=many))
    now = at(150 * 97.3)
    span = {"since": at(-3000), "until": now, "step_s": step_s}
    raw = plain(history.series(backend="b1", **span))  # type: ignore[arg-type]
    all_of_them = plain(history.series(backend=None, **span))  # type: ignore[arg-type]
    assert first_difference([one for one in all_of_them if one.backend == "b1"], raw) is None
    assert sum(one.requests or 0 for one in all_of_them) == 150
    for upto in (at(1000), at(9_000), now):
        while history.roll_up_some(upto) is not None:
            assert first_difference(plain(history.series(backend="b1", **span)), raw) is None  # type: ignore[arg-type]
    assert first_difference(plain(history.series(backend=None, **span)), all_of_them) is None  # type: ignore[arg-type]


def test_availability_over_a_day_is_exact(history: History) -> None:
    """Down for 86.4 seconds of a day that is otherwise watched without a hole: 99.9 %."""
    before = datetime(2026, 1, 1, tzinfo=UTC) - START
    begin = before.total_seconds()
    many = [sample(begin + 60 * n, valid_s=90) for n in range(1440)]
    many += [
        sample(begin + 30_000.1, "DOWN", valid_s=200),
        sample(begin + 30_060.0, "DOWN", valid_s=200),
        sample(begin + 30_086.5, valid_s=90),
    ]
    many = [one for one in many if not (one.state == "UP" and one.at == at(begin + 30_060.0))]
    history.write(Batch(samples=many))
    roll_up(history, at(2 * 86_400))
    day = merged(history.series(backend="b1", since=at(begin), until=at(begin + 86_400), step_s=86_400))
    assert day.watched_ms == DAY_MS
    assert day.held_ms["DOWN"] == 86_400
    assert day.availability == 0.999


@given(
    st.timedeltas(timedelta(minutes=1), timedelta(days=700)),
    st.timedeltas(timedelta(0), timedelta(days=31)),
    st.none() | st.integers(10, 86_400),
)
def test_a_step_is_never_finer_than_what_is_kept_and_never_gives_too_many_points(
    span: timedelta, before: timedelta, asked: int | None
) -> None:
    now = at(0)
    until = now - before
    step = step_for(until - span, until, now, asked_s=asked)
    age = before + span
    assert step >= (3600 if age > KEEP_MINUTES else 60 if age > timedelta(hours=48) else 1)
    assert step >= (asked or 60)
    assert step < 60 or step % 60 == 0
    assert step < 3600 or step % 3600 == 0
    if asked is None:
        assert span.total_seconds() / step <= MOST_POINTS


# --- written and deleted ---------------------------------------------------------------------------------------------


def state_row(name: str, state: str) -> BackendState:
    return BackendState(
        name=name, state=state, since=START, reason=None, detail=None, last_sample_at=START, standings={"address": "x"}
    )


def test_a_tick_is_written_whole_or_not_at_all_and_states_are_replaced(history: History) -> None:
    history.write(Batch(states={"b1": state_row("b1", "UP")}))
    broken = sample(0)
    broken.backend = None  # type: ignore[assignment]
    event = Event(at=START, backend="b1", old="UP", new="DOWN", reason=None, detail=None)
    with pytest.raises(Exception, match=r"(?i)not.null"):
        history.write(Batch(states={"b1": state_row("b1", "DOWN")}, events=[event], samples=[sample(1), broken]))
    assert history.states()["b1"].state == "UP"
    assert history.events(backend=None, before_id=None, limit=5).total == 0
    assert history.series(backend="b1", since=START, until=at(60), step_s=60) == []
    history.write(Batch(states={"b1": state_row("b1", "DOWN"), "b2": state_row("b2", "UP")}, events=[event]))
    assert {name: row.state for name, row in history.states().items()} == {"b1": "DOWN", "b2": "UP"}


def test_what_is_too_old_goes_in_small_steps_and_only_when_it_is_rolled_up(history: History, database: Database) -> None:
    history.write(Batch(samples=[*(sample(n) for n in range(4500)), sample(60 * 3600)]))
    later = at(61 * 3600)
    assert prune(history, later) == [], "nothing goes before it is in a minute"
    roll_up(history, later)
    steps = prune(history, later)
    assert sum(steps) == 4500
    assert max(steps) <= DELETE_AT_ONCE
    assert sum(one.samples for one in stored(database, "minute")) == 4501
    much_later = at(20 * 86_400)
    roll_up(history, much_later)
    prune(history, much_later)
    assert stored(database, "minute") == []
    assert sum(one.samples for one in stored(database, "day")) == 4501
    roll_up(history, at(800 * 86_400))
    prune(history, at(800 * 86_400))
    assert stored(database, "day") == stored(database, "hour") == []


def test_after_everything_was_deleted_new_samples_are_still_rolled_up(history: History, database: Database) -> None:
    """SQLite gives the id of a deleted last row again: the roll-up must not take such a sample for one that it knows."""
    history.write(Batch(samples=[sample(n) for n in range(100)]))
    roll_up(history, at(10 * 86_400))
    prune(history, at(10 * 86_400))
    history.write(Batch(samples=[sample(10 * 86_400 + n) for n in range(100)]))
    roll_up(history, at(10 * 86_400 + 600))
    assert sum(one.samples for one in stored(database, "minute")) == 200


def test_ids_of_samples_go_beyond_thirty_two_bits(database: Database, history: History) -> None:
    with database.write() as session:
        if session.connection().dialect.name == "postgresql":
            session.connection().execute(text("ALTER SEQUENCE sample_id_seq RESTART WITH 3000000000"))
        else:
            session.connection().execute(
                text("INSERT INTO sample (id, at, backend, state, up) VALUES (3000000000, 0, 'b9', 'UP', true)")
            )
    history.write(Batch(samples=[sample(0), sample(1)]))
    with database.read() as session:
        ids = [row[0] for row in session.connection().execute(text("SELECT id FROM sample WHERE backend = 'b1' ORDER BY id"))]
    assert min(ids) >= 3_000_000_000
    assert [b - a for a, b in pairwise(ids)] == [1]
