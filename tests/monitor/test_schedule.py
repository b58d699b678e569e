"""The tick: fixed phases, no two runs of one duty at once, speeds, lateness, and a stop that drains."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import zlib
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.schedule import Duty, Schedule, next_due, phase


class Hands:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(st.text(max_size=20), st.floats(0.1, 3600), st.floats(0, 1e7))
def test_the_next_time_is_later_within_one_interval_and_on_the_grid(name: str, interval: float, after: float) -> None:
    due = next_due(after, interval_s=interval, name=name)
    assert after - 1e-6 <= due <= after + interval + 1e-6
    steps = (due - phase(name, interval)) / interval
    assert steps == pytest.approx(round(steps), abs=1e-3)


def test_a_phase_is_the_same_in_every_process() -> None:
    code = "from monitor.schedule import phase; print(phase('b1', 5.0))"
    printed = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in range(2)}
    assert printed == {f"{phase('b1', 5.0)}\n"}
    assert phase("b1", 5.0) == zlib.crc32(b"b1") / 2**32 * 5.0


def test_phases_spread_a_fleet_over_the_interval() -> None:
    found = sorted(phase(f"backend:b{number}", 5.0) for number in range(50))
    gaps = [b - a for a, b in itertools.pairwise(found)]
    assert max(gaps) < 1.0


def ticking(work: Callable[[], Awaitable[None]], *, interval_s: float = 2.0, tick_s: float = 0.5) -> tuple[Schedule, Hands]:
    hands = Hands()
    schedule = Schedule(tick_s=tick_s, monotonic=hands)
    schedule.assign([Duty("b1", lambda: interval_s, work)])
    return schedule, hands


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_duty_runs_once_per_interval_without_drift() -> None:
    starts: list[float] = []

    async def run() -> None:
        async def work() -> None:
            starts.append(hands.now)

        schedule, hands = ticking(work)
        for _ in range(200):
            hands.now += 0.5
            await schedule.tick()
            await settle()

    asyncio.run(run())
    assert len(starts) == 50
    assert {round(b - a, 6) for a, b in itertools.pairwise(starts)} == {2.0}


def test_a_slow_run_is_never_doubled_and_is_not_called_late() -> None:
    async def run() -> None:
        running, most = 0, 0
        gate = asyncio.Event()

        async def work() -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await gate.wait()
            running -= 1

        schedule, hands = ticking(work)
        for _ in range(40):
            hands.now += 0.5
            await schedule.tick()
            await settle()
        assert most == 1
        gate.set()
        await settle()
        hands.now += 0.5
        await schedule.tick()
        await settle()
        assert schedule.worst_lateness_s <= 1.5

    asyncio.run(run())


def test_a_stall_shows_as_lateness_and_is_made_up_once() -> None:
    async def run() -> None:
        count = 0

        async def work() -> None:
            nonlocal count
            count += 1

        schedule, hands = ticking(work)
        for _ in range(4):
            hands.now += 0.5
            await schedule.tick()
            await settle()
        before = count
        hands.now += 30
        await schedule.tick()
        await settle()
        assert count == before + 1
        assert schedule.worst_lateness_s > 25

    asyncio.run(run())


def test_a_duty_that_raises_is_counted_and_runs_again() -> None:
    async def run() -> int:
        async def work() -> None:
            raise RuntimeError("a defect")

        schedule, hands = ticking(work)
        for _ in range(12):
            hands.now += 0.5
            await schedule.tick()
            await settle()
        return schedule.failures

    assert asyncio.run(run()) == 3


def test_an_urged_duty_runs_at_the_next_tick() -> None:
    async def run() -> int:
        count = 0

        async def work() -> None:
            nonlocal count
            count += 1

        schedule, _ = ticking(work, interval_s=3600)
        await schedule.tick()
        schedule.urge("b1")
        schedule.urge("nobody")
        await schedule.tick()
        await settle()
        return count

    assert asyncio.run(run()) == 1


@pytest.mark.parametrize(("takes", "finished"), [("short", True), ("for ever", False)])
def test_a_stop_waits_for_what_is_in_flight_and_no_longer_than_it_may(takes: str, finished: bool) -> None:
    async def run() -> bool:
        done = False
        started = asyncio.Event()

        async def work() -> None:
            nonlocal done
            started.set()
            await (asyncio.sleep(0.05) if takes == "short" else asyncio.Event().wait())
            done = True

        schedule = Schedule(tick_s=0.01)
        schedule.assign([Duty("b1", lambda: 0.02, work)])
        schedule.start()
        await asyncio.wait_for(started.wait(), 10)
        await schedule.stop(drain_s=5 if takes == "short" else 0.1)
        assert schedule.in_flight == 0
        return done

    assert asyncio.run(run()) is finished


def test_a_duty_that_is_assigned_again_keeps_its_place() -> None:
    async def run() -> list[float]:
        starts: list[float] = []

        async def work() -> None:
            starts.append(hands.now)

        schedule, hands = ticking(work)
        for number in range(40):
            hands.now += 0.5
            if number % 3 == 0:
                schedule.assign([Duty("b1", lambda: 2.0, work)])
            await schedule.tick()
            await settle()
        schedule.assign([])
        hands.now += 10
        await schedule.tick()
        await settle()
        return starts

    starts = asyncio.run(run())
    assert len(starts) == 10
