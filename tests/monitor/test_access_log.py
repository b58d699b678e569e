"""nginx' access log: over rotations, half-written and broken lines, upstreams that were tried in turn."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.balancer.access_log import AccessLog, Attempt, NotAnEntry, parse
from monitor.balancer.servers import CsvHistory, of_haproxy, of_nginx
from monitor.balancer.stats import HaproxyCsv, NotStats, show_info
from monitor.balancer.tail import MOST_LINE_BYTES, Tail
from monitor.fleet import Backend

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
B1, B2 = "127.0.0.1:8001", "127.0.0.1:8002"


def line(**changes: Any) -> str:
    row = {
        "time": "2026-01-01T13:00:00+01:00", "client": "10.0.0.9", "method": "POST", "path": "/v1/verify", "status": 200,
        "bytes_in": 9, "bytes_out": 9, "seconds": 0.05, "upstream": B1, "upstream_status": "200", "upstream_seconds": "0.050",
        "served_by": "b1", "request_id": "x", "tls": "TLSv1.3", "synthetic": "",
    }  # fmt: skip
    return json.dumps(row | changes)


def backends() -> list[Backend]:
    return [Backend(name=name, url=f"http://{at}", address=at, server_name=name) for name, at in (("b1", B1), ("b2", B2))]


class Written:
    """A log that is written to as nginx does: appended, by a handle that survives a rename."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "access.log"
        self.handle = self.path.open("ab", buffering=0)

    def write(self, *lines: str) -> None:
        self.handle.write("".join(f"{one}\n" for one in lines).encode())

    def reopen(self) -> None:
        self.handle.close()
        self.handle = self.path.open("ab", buffering=0)


@pytest.fixture
def log(tmp_path: Path) -> Any:
    written = Written(tmp_path)
    yield written
    written.handle.close()


def test_what_was_there_before_the_first_look_is_not_counted_and_what_comes_is_counted_once(log: Written) -> None:
    log.write("old")
    tail = Tail(log.path)
    assert tail.look().whole == []
    log.write("one", "two")
    assert tail.look().whole == [b"one", b"two"]
    assert tail.look().whole == []
    tail.close()


def test_a_file_that_comes_later_is_read_from_its_begin(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "access.log")
    assert tail.look().whole == []
    (tmp_path / "access.log").write_text("first\n")
    assert tail.look().whole == [b"first"]
    tail.close()


def test_a_half_written_line_waits_for_its_end(log: Written) -> None:
    tail = Tail(log.path)
    tail.look()
    log.handle.write(b"half")
    assert tail.look().whole == []
    log.handle.write(b" and half\nnext\n")
    assert tail.look().whole == [b"half and half", b"next"]
    tail.close()


def test_a_rename_loses_nothing_of_the_old_file_that_nginx_still_writes_and_nothing_of_the_new_one(log: Written) -> None:
    tail = Tail(log.path)
    tail.look()
    log.write("a")
    log.path.rename(log.path.with_suffix(".1"))
    log.write("b")  # before it is told to reopen
    assert tail.look().whole == [b"a", b"b"]
    old, log.handle = log.handle, log.path.open("ab", buffering=0)
    old.write(b"c\n")
    log.write("d")
    assert sorted(tail.look().whole) == [b"c", b"d"]
    old.write(b"late\n")
    old.close()
    log.write("e")
    assert sorted(tail.look().whole) == [b"e", b"late"]
    log.write("f")
    assert tail.look().whole == [b"f"]
    tail.close()


@pytest.mark.parametrize("grown_beyond", [False, True])
def test_copy_and_truncate_begins_anew_even_where_the_file_has_grown_beyond_its_old_length(
    log: Written, grown_beyond: bool
) -> None:
    tail = Tail(log.path)
    tail.look()
    log.write("a", "b")
    tail.look()
    shutil.copy(log.path, log.path.with_suffix(".1"))
    os.truncate(log.path, 0)
    new = [f"new {number}" for number in range(100 if grown_beyond else 1)]
    log.write(*new)
    assert tail.look().whole == [one.encode() for one in new]
    tail.close()


def test_a_look_is_bounded_and_says_what_it_left(log: Written) -> None:
    tail = Tail(log.path, most_bytes=10)
    tail.look()
    log.write("12345678", "abcdefgh")
    first = tail.look()
    assert (first.whole, first.behind_bytes) == ([b"12345678"], 8)
    assert tail.look().whole == [b"abcdefgh"]
    tail.close()


def test_an_endless_line_is_given_up_once_and_the_next_is_read(log: Written) -> None:
    tail = Tail(log.path)
    tail.look()
    given_up = 0
    for _ in range(3):
        log.handle.write(b"x" * MOST_LINE_BYTES)
        given_up += tail.look().too_long
    log.handle.write(b"x\nnext\n")
    found = tail.look()
    assert (given_up + found.too_long, found.whole) == (1, [b"next"])
    tail.close()


@given(st.lists(st.sampled_from(["line", "look", "rename", "truncate"]), max_size=40), st.integers(8, 60))
@settings(max_examples=60, deadline=None)
def test_whatever_the_order_each_line_is_read_exactly_once(steps: list[str], most: int) -> None:
    """What was not read when it was truncated is gone, and a file that came and went between two looks was never seen: so there,
    and there alone, the test looks first."""
    with tempfile.TemporaryDirectory() as name:
        log, read, number = Written(Path(name)), [], 0
        tail = Tail(log.path, most_bytes=most)
        tail.look()
        for step in steps:
            if step == "line":
                log.write(f"line {number}")
                number += 1
            elif step == "look":
                read += tail.look().whole
            elif step == "rename":
                log.path.rename(log.path.with_name(f"old{number}-{len(read)}"))
                read += tail.look().whole
                log.reopen()
                read += tail.look().whole
            else:
                for _ in range(200):
                    read += tail.look().whole
                os.truncate(log.path, 0)
        for _ in range(200):
            read += tail.look().whole
        log.handle.close()
        tail.close()
    assert sorted(read) == sorted(f"line {one}".encode() for one in range(number))


def test_a_line_names_route_upstream_status_and_time() -> None:
    entry = parse(line(path="/v1/subjects/sub_1/samples").encode())
    assert entry is not None
    assert (entry.at, entry.route) == (AT, "POST /v1/subjects")
    assert entry.attempts == (Attempt(B1, 200, 0.05, True),)


@pytest.mark.parametrize("between", [", ", " : "])
def test_a_repeated_request_counts_for_each_upstream_that_was_asked(between: str) -> None:
    entry = parse(
        line(upstream=B1 + between + B2, upstream_status=f"502{between}200", upstream_seconds=f"0.002{between}0.1").encode()
    )
    assert entry is not None
    assert entry.attempts == (Attempt(B1, 502, 0.002, False), Attempt(B2, 200, 0.1, True))


@pytest.mark.parametrize(
    "changes", [{"path": "/health"}, {"synthetic": "1"}, {"upstream": "", "upstream_status": "", "upstream_seconds": ""}]
)
def test_probes_demo_traffic_and_what_nginx_answered_itself_count_nowhere(changes: dict[str, str]) -> None:
    assert parse(line(**changes).encode()) is None


@pytest.mark.parametrize(
    "broken",
    [b"{", b"[]", b'"x"', b"\xff\xfe", b"{}", line(time="yesterday").encode(), line(upstream=f"{B1}, {B2}").encode(),
     line(upstream_status="abc").encode(), line(time="2026-01-01T13:00:00").encode(), line(upstream=7).encode()],
)  # fmt: skip
def test_a_broken_line_is_told_apart_from_an_entry(broken: bytes) -> None:
    with pytest.raises(NotAnEntry):
        parse(broken)


def test_the_servers_are_shown_with_shares_errors_times_and_repeated_attempts(log: Written) -> None:
    found = AccessLog(log.path)
    found.look()
    log.write(*[line(upstream=B1) for _ in range(30)], "garbage", line(upstream=B2, upstream_status="500"))
    log.write(line(upstream=f"{B2}, {B1}", upstream_status="504, 200", upstream_seconds="2.0, 0.05"))
    found.look()
    b1, b2 = of_nginx(found, backends(), AT + timedelta(seconds=30))
    assert (found.garbage, found.entries) == (1, 32)
    assert (b1.requests, b1.errors, b1.failed_attempts, b1.opinion) == (31, 0, 0, None)
    assert (b2.requests, b2.errors, b2.failed_attempts) == (2, 2, 1)
    assert b1.share == pytest.approx(31 / 33)
    assert b1.p95_ms == pytest.approx(50, abs=25)
    later = of_nginx(found, backends(), AT + timedelta(seconds=200))
    assert [one.requests for one in later] == [0, 0], "of the last minute alone"
    found.close()


def test_a_log_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    found = AccessLog(tmp_path)  # a folder
    found.look()
    assert "cannot be read" in (found.reason or "")
    missing = AccessLog(tmp_path / "none.log")
    missing.look()
    assert "does not exist" in (missing.reason or "")


CSV = "# pxname,svname,scur,stot,econ,eresp,hrsp_5xx,rtime,status,addr\n"


def csv(b1: tuple[int, int], b2: tuple[int, int]) -> str:
    rows = "".join(f"b,{n},2,{stot},1,0,{bad},12,UP,{a}\n" for n, a, (stot, bad) in (("b1", B1, b1), ("b2", B2, b2)))
    return CSV + rows


def test_haproxys_counters_are_shown_as_what_came_within_the_window_and_a_restart_is_no_negative_number() -> None:
    history, reader = CsvHistory(), HaproxyCsv()
    for second, b1, b2 in ((0, (100, 0), (90, 5)), (30, (130, 0), (110, 9)), (40, (10, 0), (5, 1))):
        stats = reader.read(csv(b1, b2))
        history.add(stats.servers, AT + timedelta(seconds=second))
    one, two = of_haproxy(history, stats, backends())
    assert (one.requests, one.errors, one.opinion, one.connections, one.window_s) == (40, 0, "up", 2, 40)
    assert (two.requests, two.errors) == (25, 5)
    assert two.error_ratio == pytest.approx(0.2)
    assert one.share == pytest.approx(40 / 65)


def test_show_info_gives_haproxys_own_cpu_and_memory() -> None:
    info = show_info("# TYPE x gauge\nhaproxy_process_idle_time_percent 97\nhaproxy_process_pool_used_bytes 1.5e6\n")
    assert (info.cpu_percent, info.pool_bytes) == (3.0, 1_500_000)
    with pytest.raises(NotStats):
        show_info("<html>")
