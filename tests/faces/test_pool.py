"""The inference pool: bounded, with a deadline, and honest about being stuck."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from backend.errors import DeadlineExceeded, Overloaded
from backend.faces.pool import NICENESS, InferencePool

Within = 10.0


class Gate(threading.Event):
    """Holds up a job, and not for ever: one that nobody lets go must not outlive its test."""

    def wait(self, timeout: float | None = Within) -> bool:
        return super().wait(timeout)


@contextmanager
def pool(workers: int = 1, queue: int = 1, deadline_s: float = Within) -> Iterator[InferencePool]:
    made = InferencePool(workers, queue, deadline_s)
    try:
        yield made
    finally:
        made.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(Within):
        while not condition():  # noqa: ASYNC110 (threads change what is waited for)
            await asyncio.sleep(0.002)


def spawned(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(work)


def test_a_job_runs_in_another_thread_and_its_result_comes_back() -> None:
    with pool() as here:
        assert asyncio.run(here.run(threading.get_ident)) != threading.get_ident()


def test_what_a_job_raises_reaches_the_caller() -> None:
    def fails() -> None:
        raise ZeroDivisionError

    with pool() as here, pytest.raises(ZeroDivisionError):
        asyncio.run(here.run(fails))


def test_a_job_sees_the_callers_context() -> None:
    request: contextvars.ContextVar[str] = contextvars.ContextVar("request")
    request.set("req_1")
    with pool() as here:
        assert asyncio.run(here.run(request.get)) == "req_1"


def test_a_full_pool_says_no_at_once_and_recovers() -> None:
    async def scenario(here: InferencePool) -> None:
        gate = Gate()
        held = [spawned(here.run(gate.wait)) for _ in range(3)]
        await until(lambda: here.busy == 1 and here.waiting == 2)
        began = time.perf_counter()
        with pytest.raises(Overloaded) as refused:
            await here.run(gate.wait)
        assert time.perf_counter() - began < 1
        assert refused.value.status == 503
        assert refused.value.retry_after_s >= 1
        gate.set()
        assert await asyncio.gather(*held) == [True] * 3
        assert await here.run(lambda: "again") == "again"
        assert (here.busy, here.waiting) == (0, 0)

    with pool(workers=1, queue=2) as here:
        asyncio.run(scenario(here))


def test_a_job_past_its_deadline_is_given_up_and_its_slot_stays_busy_until_it_ends() -> None:
    async def scenario(here: InferencePool) -> None:
        gate = Gate()
        with pytest.raises(DeadlineExceeded):
            await here.run(gate.wait)
        assert here.busy == 1
        gate.set()
        await until(lambda: here.busy == 0)
        assert await here.run(lambda: 1) == 1

    with pool(deadline_s=0.1) as here:
        asyncio.run(scenario(here))


def test_a_job_that_waited_past_its_deadline_never_runs() -> None:
    async def scenario(here: InferencePool) -> None:
        gate, ran = Gate(), Gate()
        first, second = spawned(here.run(gate.wait)), spawned(here.run(ran.set))
        results = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(result) for result in results] == [DeadlineExceeded] * 2
        assert here.waiting == 0
        gate.set()
        await until(lambda: here.busy == 0)
        assert not ran.is_set()

    with pool(deadline_s=0.1) as here:
        asyncio.run(scenario(here))


def test_a_caller_that_goes_away_frees_its_place_in_the_queue() -> None:
    async def scenario(here: InferencePool) -> None:
        gate = Gate()
        first, second = spawned(here.run(gate.wait)), spawned(here.run(gate.wait))
        await until(lambda: here.waiting == 1)
        second.cancel()
        await until(lambda: here.waiting == 0)
        gate.set()
        assert await first

    with pool() as here:
        asyncio.run(scenario(here))


def test_the_event_loop_turns_while_every_slot_is_busy() -> None:
    async def scenario(here: InferencePool) -> None:
        gate = Gate()
        held = [spawned(here.run(gate.wait)) for _ in range(2)]
        await until(lambda: here.busy == 2)
        for _ in range(50):
            await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*held)

    with pool(workers=2) as here:
        asyncio.run(scenario(here))


def test_an_idle_pool_is_not_stuck() -> None:
    with pool() as here:
        assert here.stuck_for_s(time.monotonic() + 1000) == 0
        asyncio.run(here.run(lambda: None))
        assert here.stuck_for_s(time.monotonic() + 1000) == 0


def test_a_busy_pool_where_nobody_waits_is_not_stuck_before_its_deadline() -> None:
    async def scenario(here: InferencePool) -> None:
        gate = Gate()
        held = spawned(here.run(gate.wait))
        await until(lambda: here.busy == 1)
        assert here.stuck_for_s(time.monotonic() + Within / 2) == 0
        assert here.stuck_for_s(time.monotonic() + 3 * Within) > 2 * Within
        gate.set()
        await held

    with pool() as here:
        asyncio.run(scenario(here))


def test_time_since_the_last_progress_counts_while_some_wait() -> None:
    async def scenario(here: InferencePool) -> None:
        gate = Gate()
        held = [spawned(here.run(gate.wait)) for _ in range(2)]
        await until(lambda: here.busy == 1 and here.waiting == 1)
        now = time.monotonic()
        assert here.stuck_for_s(now + 40) - here.stuck_for_s(now) == pytest.approx(40, abs=1e-6)
        gate.set()
        await asyncio.gather(*held)
        assert here.stuck_for_s(now + 40) == 0

    with pool() as here:
        asyncio.run(scenario(here))


def test_a_closed_pool_refuses_with_503() -> None:
    here = InferencePool(1, 1, 1.0)
    here.close()
    with pytest.raises(Overloaded):
        asyncio.run(here.run(lambda: None))
    assert here.waiting == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux knows priorities of threads")
def test_inference_stands_back_behind_every_other_thread_and_changes_no_other() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = niceness()
    with pool() as made:
        assert asyncio.run(made.run(niceness)) == NICENESS > before
    assert niceness() == before
