"""Probing many backends over real sockets: only so many at once, how late each began, and none that holds up its duty."""

from __future__ import annotations

import asyncio

from monitor.metrics import _lateness
from monitor.probe.connection import Target, TrustStore
from monitor.probe.outcome import Round
from monitor.probe.round import Plan, probe_round
from monitor.schedule import Duty, Lane, Schedule
from tests.monitor.misbehaving import serving
from tests.monitor.test_schedule import settle, ticking

DEADLINE_S = 0.5


def backends(port: int, count: int, lane: Lane, found: list[Round], enough: asyncio.Event) -> list[Duty]:
    target = Target.of(url=f"http://127.0.0.1:{port}", address=f"127.0.0.1:{port}", server_name="b", ca_file=None)

    async def probe() -> None:
        plan = Plan("b", target, "face-auth-system", DEADLINE_S)
        found.append(await probe_round(plan, TrustStore()))
        if len(found) >= count:
            enough.set()

    return [Duty(f"backend:b{n}", lambda: 0.2, probe, lane) for n in range(count)]


def test_only_so_many_backends_are_probed_at_once_and_the_wait_for_a_place_counts_as_lateness() -> None:
    open_now, most = 0, 0

    async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        try:
            await reader.read()  # never answers; ends when the probe closes
        finally:
            open_now -= 1

    async def run() -> tuple[Lane, list[Round], Schedule]:
        lane, found, enough = Lane(2), list[Round](), asyncio.Event()
        async with serving(hangs) as port:
            schedule = Schedule(tick_s=0.05)
            schedule.assign(backends(port, 6, lane, found, enough))
            schedule.start()
            await asyncio.wait_for(enough.wait(), 30)
            await schedule.stop(drain_s=10)
        return lane, found, schedule

    lane, found, schedule = asyncio.run(run())
    # The server may see a closed connection a moment after the probe that closed it made room for the next.
    assert 2 <= most <= 3
    assert {one.results["live"].reason.code[:11] for one in found if one.results["live"].reason} == {"NET.TIMEOUT"}  # type: ignore[index]
    assert lane.running == 0
    assert sum(lane.late.values()) >= 6
    assert lane.late_sum_s > DEADLINE_S, "four of six waited for a place, one or two deadlines long"
    assert schedule.worst_lateness_s > DEADLINE_S / 2
    assert schedule.failures == schedule.overruns == 0


def test_lateness_is_told_as_a_histogram() -> None:
    lane = Lane(1)
    for late in (0.0, 0.02, 0.02, 0.3, 99.0):
        lane.note(late)
    told = {s.labels.get("le", s.name.rpartition("_")[2]): s.value for s in _lateness(lane).samples}
    assert (told["0.005"], told["0.025"], told["0.25"], told["0.5"], told["+Inf"], told["count"]) == (1, 3, 3, 4, 5, 5)
    assert told["sum"] == sum((0.02, 0.02, 0.3, 99.0))


def test_a_duty_that_hangs_in_spite_of_its_own_deadlines_is_given_up_and_runs_again() -> None:
    async def run() -> tuple[int, int, int]:
        count = 0

        async def work() -> None:
            nonlocal count
            count += 1
            await asyncio.Event().wait()

        schedule, hands = ticking(work)
        schedule.assign([Duty("b1", lambda: 2.0, work, deadline_s=lambda: 0.01)])
        for _ in range(12):
            hands.now += 0.5
            await schedule.tick()
            await settle()
            await asyncio.sleep(0.02)
        return count, schedule.overruns, schedule.failures

    assert asyncio.run(run()) == (3, 3, 0)


def test_a_timeout_of_the_work_itself_is_a_defect_and_no_overrun() -> None:
    async def run() -> tuple[int, int]:
        async def work() -> None:
            raise TimeoutError

        schedule, hands = ticking(work)
        hands.now += 2
        await schedule.tick()
        await settle()
        return schedule.overruns, schedule.failures

    assert asyncio.run(run()) == (0, 1)
