from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import anyio
import anyio.to_thread
import pytest

from backend import health
from backend.shared_check import SharedCheck
from backend.wire import Check

MIB = 1 << 20


def resources(disk: int, memory: int) -> Check:
    return health.resources(health.Resources(disk * MIB, memory * MIB), min_disk=200 * MIB, min_memory=64 * MIB)


@pytest.mark.parametrize(
    ("check", "status"),
    [
        (health.database(None, 1.0), "ok"),
        (health.database("does not answer", 1.0), "fail"),
        (health.schema(True, "fits"), "ok"),
        (health.schema(False, "too old"), "fail"),
        (health.model(["a"], "a"), "ok"),
        (health.model(["a"], "b"), "fail"),
        (health.model(["a"], None), "fail"),
        (health.gallery(None, lag_s=0.2, max_lag_s=10), "ok"),
        (health.gallery(None, lag_s=6.0, max_lag_s=10), "warn"),
        (health.gallery(None, lag_s=10.1, max_lag_s=10), "fail"),
        (health.gallery("not read yet", lag_s=0, max_lag_s=10), "fail"),
        (health.inference(stuck_for_s=0, busy=2, waiting=0, queue=16), "ok"),
        (health.inference(stuck_for_s=29, busy=2, waiting=7, queue=16), "ok"),
        (health.inference(stuck_for_s=29, busy=2, waiting=16, queue=16), "warn"),
        (health.inference(stuck_for_s=31, busy=2, waiting=1, queue=16), "fail"),
        (health.inference(stuck_for_s=0, busy=1, waiting=0, queue=0), "ok"),
        (resources(1001, 321), "ok"),
        (resources(999, 321), "warn"),
        (resources(1001, 319), "warn"),
        (resources(199, 321), "fail"),
        (resources(1001, 63), "fail"),
        (health.resources(None, min_disk=1, min_memory=1), "warn"),
        (health.draining(False), "ok"),
        (health.draining(True), "fail"),
    ],
)
def test_what_fails_and_what_only_warns(check: Check, status: str) -> None:
    assert check.status == status
    assert check.detail


def test_the_reason_is_the_first_that_fails_before_any_that_warns() -> None:
    warns, fails, fine = resources(999, 321), health.draining(True), health.draining(False)
    assert health.first_reason({"a": fine, "b": warns, "c": fails}) == "c"
    assert health.first_reason({"a": fine, "b": warns}) == "b"
    assert health.first_reason({"a": fine}) is None
    assert health.is_ready({"a": fine, "b": warns})
    assert not health.is_ready({"a": fine, "c": fails})


def test_times_are_utc_with_microseconds_and_z() -> None:
    assert health.timestamp(datetime(2026, 1, 31, 12, 0, tzinfo=UTC)) == "2026-01-31T12:00:00.000000Z"


class Asked:
    """A check that counts how often it really ran; `release` lets it end."""

    def __init__(self) -> None:
        self.times = 0
        self.release = threading.Event()
        self.release.set()

    def __call__(self) -> int:
        self.times += 1
        self.release.wait(20)
        return self.times


async def gather(count: int, what: Callable[[], object]) -> list[object]:
    found: list[object] = []

    async def one() -> None:
        found.append(await what())  # type: ignore[misc]

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(one)
    return found


def test_a_hundred_callers_share_one_check_and_its_answer_ages_a_second() -> None:
    async def run() -> None:
        asked = Asked()
        check = SharedCheck(asked, max_age_s=0.3)
        assert await gather(100, check.value) == [1] * 100
        assert asked.times == 1
        deadline = time.monotonic() + 10
        while await check.value() == 1:
            assert time.monotonic() < deadline
            await anyio.sleep(0.01)
        assert asked.times == 2

    anyio.run(run)


def test_a_check_that_hangs_is_late_for_everybody_and_is_not_started_again() -> None:
    async def run() -> None:
        asked = Asked()
        asked.release.clear()
        check = SharedCheck(asked, max_age_s=0.0, deadline_s=0.1)
        assert await gather(20, check.value) == [None] * 20
        assert await check.value() is None
        assert asked.times == 1
        asked.release.set()
        assert await check.value() is not None

    anyio.run(run)


def test_a_check_runs_while_every_thread_of_the_default_pool_is_busy() -> None:
    async def run() -> None:
        busy = threading.Event()
        limiter = anyio.to_thread.current_default_thread_limiter()
        async with anyio.create_task_group() as group:
            for _ in range(int(limiter.total_tokens)):
                group.start_soon(anyio.to_thread.run_sync, busy.wait, 20)
            while limiter.available_tokens:  # noqa: ASYNC110 - a limiter tells nobody when it is exhausted
                await anyio.sleep(0.01)
            assert await SharedCheck(lambda: "answered", deadline_s=5).value() == "answered"
            busy.set()

    anyio.run(run)
