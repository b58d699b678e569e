"""Whole-gallery scans against brute force; stopped, killed, taken over; nothing twice, nothing missed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from sqlmodel import select, update

from backend import scan_block, scan_job, scan_turn, wire
from backend.errors import InvalidThreshold, ModelMismatch, ScanNotFound, ScanStateConflict, ScanUnderWay
from backend.faces.engine import ModelCard
from backend.gallery import flat
from backend.gallery.memory import Room
from backend.gallery.replica import Replica
from backend.scan_job import ScanJob
from backend.scan_turn import Turn
from backend.scans import Scans
from backend.store import job_leases, schema
from backend.store.job_leases import new_holder
from backend.store.scans import JOB
from backend.store.tables import DuplicatePair, JobLease, Scan
from tests.ledger.test_races import begin
from tests.ledger.world import ANNA, CARD, CLIENT, SUSI, THRESHOLDS, Node, People, World, unit, wait_until

ROOT = Path(__file__).parents[2]


def scans_of(node: Node) -> Scans:
    return Scans(node.store, CARD, THRESHOLDS)


def job_of(node: Node, holder: str = "b1", lease_s: float = 30.0) -> ScanJob:
    return ScanJob(node.store, node.replica, CARD, THRESHOLDS, holder=holder, lease_s=lease_s)


def run(node: Node, **options: object) -> wire.Scan:
    started = scans_of(node).start(wire.ScanRequest(**options), SUSI)  # type: ignore[arg-type]
    job_of(node).work()
    return scans_of(node).read(started.id)


def pairs(node: Node, source: str = "scan") -> set[frozenset[str]]:
    with node.store.read() as session:
        found = session.exec(select(DuplicatePair).where(DuplicatePair.source == source, DuplicatePair.state == "open"))
        return {frozenset((pair.a_subject_id, pair.b_subject_id)) for pair in found}


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_job, "BLOCK", 4)
    monkeypatch.setattr(scan_job, "AT_ONCE", 2)


@pytest.mark.usefixtures("small_blocks")
def test_a_scan_finds_what_brute_force_finds_and_enrolment_left(world: World, people: People) -> None:
    """Below the review threshold of enrolment (0.6) there are pairs that only a scan asks about."""
    node = world.node()
    vectors = [people.stranger() for _ in range(6)]
    vectors += [people.like(vectors[i % 6], 0.45 + 0.02 * i) for i in range(7)]
    ids = [node.enrol(vector).subject_id for vector in vectors]
    gone = ids.pop(3)
    vectors.pop(3)
    node.subjects.erase(gone, caller=CLIENT)
    scan = run(node, threshold=0.4)
    truth = {
        frozenset((ids[i], ids[j])) for i, j in combinations(range(len(ids)), 2) if float(np.dot(vectors[i], vectors[j])) >= 0.4
    }
    assert pairs(node) | pairs(node, "enrolment") == truth
    assert (scan.state, scan.templates_done, scan.templates_total) == (wire.ScanState.done, 12, 12)
    assert scan.pairs_found == len(pairs(node)) > 3
    assert scan.rate_per_s
    assert scan.estimated_s is None
    about = [event.action for event in node.audit.list().items if event.object_id == scan.id]
    assert about == ["scan.done", "scan.start"]


def test_a_second_scan_finds_nothing_new_and_the_next_looks_at_newcomers_alone(node: Node, people: People) -> None:
    vector = people.stranger()
    node.enrol(vector)
    node.enrol(people.like(vector, 0.5))
    assert run(node, threshold=0.4).pairs_found == 1
    version = node.cases()[0].version
    again = run(node, threshold=0.4, whole=True)
    assert (again.pairs_found, again.templates_done) == (0, 2)
    assert node.cases()[0].version == version
    node.enrol(people.like(vector, 0.55))
    newer = run(node, threshold=0.4)
    assert (newer.since_seq, newer.templates_total, newer.pairs_found >= 1) == (again.up_to_seq, 1, True)
    assert run(node, threshold=0.35).since_seq == 0, "nobody looked so low before"


def test_who_is_pending_while_a_scan_passes_is_compared_by_the_next_one_and_keeps_nobody_else_back(
    node: Node, people: People
) -> None:
    late, one, other, third, fourth = people.strangers(5)
    o = node.enrol(unit(0.5 * late + 0.75**0.5 * one)).subject_id
    pending = begin(node, late)
    n = node.enrol(unit(0.5 * late + 0.75**0.5 * other)).subject_id
    a, b = node.enrol(third).subject_id, node.enrol(unit(0.5 * third + 0.75**0.5 * fourth)).subject_id
    first = run(node, threshold=0.4)
    assert first.state is wire.ScanState.done
    assert frozenset((a, b)) in pairs(node), "the pending one kept the scan from who is newer"
    p = node.enrolments._finish(pending).answer.subject_id
    assert not any(p in pair for pair in pairs(node) | pairs(node, "enrolment"))
    again = run(node, threshold=0.4)
    assert {frozenset((o, p)), frozenset((p, n))} <= pairs(node)
    assert 0 < again.since_seq < again.up_to_seq
    assert run(node, threshold=0.4).templates_total == 0


@pytest.mark.usefixtures("small_blocks")
def test_an_interrupted_scan_goes_on_from_its_last_block_in_another_replica(world: World, people: People) -> None:
    first, second = world.node(), world.node()
    vectors = people.strangers(10)
    ids = [first.enrol(vector).subject_id for vector in vectors]
    ids += [first.enrol(people.like(vectors[i], 0.5)).subject_id for i in range(10)]
    scan = scans_of(first).start(wire.ScanRequest(threshold=0.45), SUSI)
    dying, taking_over = job_of(first, "b1"), job_of(second, "b2")
    steps = 0
    real = dying._step

    def two_steps(*given: object) -> bool:
        nonlocal steps
        steps += 1
        return steps <= 2 and real(*given)  # type: ignore[arg-type]

    dying._step = two_steps  # type: ignore[method-assign]
    turn = dying._turn()
    assert turn is not None
    while dying._step(turn):
        pass
    assert taking_over.work() == 0, "the lease of the first still runs"
    half = scans_of(first).read(scan.id)
    assert (half.state, half.templates_done) == (wire.ScanState.running, 8)
    assert half.estimated_s is not None
    expire(first)
    assert taking_over.work() == 3
    done = scans_of(second).read(scan.id)
    assert (done.state, done.templates_done, done.pairs_found) == (wire.ScanState.done, 20, 10)
    assert len(pairs(first)) == 10


def expire(node: Node) -> None:
    with node.store.write() as session:
        session.exec(update(JobLease).where(JobLease.name == JOB).values(until=node.store.now(session)))


def test_what_a_frozen_worker_still_wants_to_write_is_refused(world: World, people: People) -> None:
    first, second = world.node(), world.node()
    vector = people.stranger()
    first.enrol(vector)
    first.enrol(people.like(vector, 0.5))
    scan = scans_of(first).start(wire.ScanRequest(threshold=0.4), SUSI)
    frozen = job_of(first, "b1")
    real = frozen._compared

    def freeze(scan: Scan, turn: Turn) -> object:
        block = real(scan, turn)
        expire(first)
        assert job_of(second, "b2").work() == 1  # the other does all of it meanwhile
        return block

    frozen._compared = freeze  # type: ignore[method-assign,assignment]
    frozen.work()
    done = scans_of(first).read(scan.id)
    assert (done.state, done.pairs_found, done.templates_done) == (wire.ScanState.done, 1, 2)


@pytest.mark.usefixtures("small_blocks")
def test_a_frozen_worker_never_moves_the_scan_back_before_its_restarted_successor(world: World, people: People) -> None:
    """Both processes have one instance name; the old one wakes up with a block that the new one did long ago."""
    first, second = world.node(), world.node()
    for vector in people.strangers(14):
        first.enrol(vector)
    scan = scans_of(first).start(wire.ScanRequest(threshold=0.4), SUSI)
    frozen, successor = job_of(first, new_holder("b1")), job_of(second, new_holder("b1"))
    real = frozen._write
    reached: list[int] = []

    def freeze(row: Scan, turn: Turn, block: object) -> bool:
        expire(first)
        later = successor._turn()
        assert later is not None
        assert successor._step(later)
        assert successor._step(later)
        reached.append(position(first, scan.id))
        written = real(row, turn, block)  # type: ignore[arg-type]
        reached.append(position(first, scan.id))
        assert not written
        later.end()
        return written

    frozen._write = freeze  # type: ignore[method-assign,assignment]
    assert frozen.work() == 0
    assert reached[0] == reached[1] > 4
    assert scans_of(first).read(scan.id).templates_done == 8
    assert job_of(second, "b2").work() == 2
    assert scans_of(first).read(scan.id).templates_done == 14


def position(node: Node, scan_id: str) -> int:
    with node.store.read() as session:
        return session.get_one(Scan, scan_id).position_seq


@pytest.mark.usefixtures("small_blocks")
def test_a_killed_worker_loses_nothing_and_counts_nothing_twice(world: World, people: People, tmp_path: Path) -> None:
    node = world.node()
    vectors = people.strangers(12)
    for vector in vectors:
        node.enrol(vector)
    for vector in vectors:
        node.enrol(people.like(vector, 0.5))
    scan = scans_of(node).start(wire.ScanRequest(threshold=0.45), SUSI)
    kills = 0
    for _ in range(6):
        done = scans_of(node).read(scan.id).templates_done
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.ledger.scanning_process", str(tmp_path), world.url],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert worker.stdout is not None
        wait_until(lambda done=done, worker=worker: moved(node, scan.id, done) or worker.poll() is not None, 60)  # type: ignore[misc]
        worker.send_signal(signal.SIGKILL)
        kills += worker.wait() == -signal.SIGKILL
        worker.stdout.close()
        expire(node)
        if scans_of(node).read(scan.id).state is wire.ScanState.done:
            break
    job_of(node).work()
    done_scan = scans_of(node).read(scan.id)
    assert kills >= 2
    assert (done_scan.state, done_scan.templates_done, done_scan.pairs_found) == (wire.ScanState.done, 24, 12)
    assert len(pairs(node)) == 12


def moved(node: Node, scan_id: str, done: int) -> bool:
    time.sleep(0.01)
    return scans_of(node).read(scan_id).templates_done > done


def test_people_who_were_decided_different_stay_so_unless_the_scan_is_told_to_ask_again(node: Node, people: People) -> None:
    vector = people.stranger()
    a, b = node.enrol(vector), node.enrol(people.like(vector, 0.8))
    case = node.cases()[0]
    node.adjudication.claim(case.id, wire.ClaimRequest(version=case.version), ANNA)
    node.decide(case.id, wire.Verdict.different)
    assert run(node, threshold=0.4, whole=True).pairs_found == 0
    before = node.open_case(case.id)
    dry = run(node, threshold=0.4, reopen_distinct=True, dry_run=True)
    assert (dry.pairs_found, dry.reopened) == (1, 1)
    assert node.open_case(case.id) == before
    real = run(node, threshold=0.4, reopen_distinct=True)
    assert (real.pairs_found, real.reopened) == (1, 1)
    (reopened,) = node.cases(wire.CaseState.open)
    members = str(node.open_case(reopened.id).model_dump())
    assert a.subject_id in members
    assert b.subject_id in members
    events = node.audit.list().items
    (asked_again,) = [event for event in events if event.action == "decision.reopen"]
    (decided,) = [event for event in events if event.action == "case.decide"]
    assert (asked_again.actor, asked_again.object_id) == ("system", reopened.id)
    assert asked_again.detail == {"scan": real.id, "decisions": [decided.detail["decision"]]}
    assert [event.object_id for event in events if event.action == "case.reopen"] == [reopened.id]
    (done,) = [event for event in events if event.action == "scan.done" and event.object_id == real.id]
    assert done.detail == {"pairs": 1, "reopened": 1}
    assert run(node, threshold=0.4, reopen_distinct=True, dry_run=True).reopened == 0


def test_each_case_that_a_scan_opens_or_joins_stands_in_the_audit_trail(node: Node, people: People) -> None:
    a, b, c, d, e, f, g = people.strangers(7)
    node.enrol(a)
    first = node.enrol(unit(0.8 * a + 0.6 * e)).case_id
    node.enrol(b)
    second = node.enrol(unit(0.8 * b + 0.6 * f)).case_id
    node.enrol(unit(0.5 * a + 0.5 * b + 0.5**0.5 * c))
    node.enrol(d)
    node.enrol(unit(0.5 * d + 0.75**0.5 * g))
    dry = run(node, threshold=0.45, dry_run=True)
    assert dry.pairs_found >= 3
    assert told(node, dry) == []
    scan = run(node, threshold=0.45)
    open_cases = {case.id for case in node.cases(wire.CaseState.open)}
    assert first in open_cases
    ((_, opened, _),) = [event for event in told(node, scan) if event[0] == "case.open"]
    assert open_cases == {first, opened}
    assert [event for event in told(node, scan) if event[0] != "case.open"] == [("case.join", first, [second])]


def told(node: Node, scan: wire.Scan) -> list[tuple[str, str | None, object]]:
    """Of cases, by this scan."""
    events = [event for event in node.audit.list().items if event.detail.get("scan") == scan.id]
    return [(event.action, event.object_id, event.detail.get("joined")) for event in events]


def test_merged_people_are_one_and_their_parts_are_not_asked_about(node: Node, people: People) -> None:
    vector = people.stranger()
    a = node.enrol(vector)
    node.enrol(people.like(vector, 0.8))
    case = node.cases()[0]
    node.adjudication.claim(case.id, wire.ClaimRequest(version=case.version), ANNA)
    node.decide(case.id, wire.Verdict.same, survivor_id=a.subject_id)
    assert run(node, threshold=0.4, whole=True).pairs_found == 0


def test_one_scan_at_a_time_and_a_cancelled_one_writes_no_more(world: World, people: People) -> None:
    node = world.node()
    vector = people.stranger()
    node.enrol(vector)
    node.enrol(people.like(vector, 0.5))
    scans, job = scans_of(node), job_of(node)
    scan = scans.start(wire.ScanRequest(threshold=0.4), SUSI)
    with pytest.raises(ScanUnderWay, match=scan.id):
        scans.start(wire.ScanRequest(), SUSI)
    real = job._compared

    def cancelled_meanwhile(row: Scan, turn: Turn) -> object:
        scans.cancel(scan.id, SUSI)
        return real(row, turn)

    job._compared = cancelled_meanwhile  # type: ignore[method-assign,assignment]
    job.work()
    assert scans.read(scan.id).state is wire.ScanState.cancelled
    assert pairs(node) == set()
    with pytest.raises(ScanStateConflict):
        scans.cancel(scan.id, SUSI)
    with pytest.raises(ScanNotFound):
        scans.read("scan_nobody")
    assert [item.id for item in scans.list().items] == [scan.id]


def test_what_a_scan_would_cost_is_told_before_it_is_started(node: Node, people: People) -> None:
    for vector in people.strangers(4):
        node.enrol(vector)
    scans = scans_of(node)
    before = scans.plan(whole=True)
    assert (before.since_seq, before.templates_total, before.comparisons, before.estimated_s) == (0, 4, 6, None)
    assert scans.list().items == []
    done = run(node)
    assert (done.templates_total, done.up_to_seq) == (4, before.up_to_seq)
    for vector in people.strangers(2):
        node.enrol(vector)
    next_one = scans.plan()
    assert (next_one.since_seq, next_one.templates_total, next_one.templates_older) == (done.up_to_seq, 2, 4)
    assert next_one.comparisons == 2 * 4 + 1
    assert next_one.estimated_s is not None
    assert scans.plan(whole=True).comparisons == 15
    with pytest.raises(InvalidThreshold):
        scans.plan(threshold=0.1)


@pytest.mark.usefixtures("small_blocks")
def test_a_cancelled_scan_goes_on_where_it_stopped_and_finds_what_an_undisturbed_one_finds(world: World, people: People) -> None:
    node = world.node()
    vectors = [people.stranger() for _ in range(5)]
    vectors += [people.like(vectors[i], 0.5) for i in range(5)]
    ids = [node.enrol(vector).subject_id for vector in vectors]
    truth = {frozenset((ids[i], ids[j])) for i, j in combinations(range(10), 2) if float(np.dot(vectors[i], vectors[j])) >= 0.4}
    scans, job = scans_of(node), job_of(node)
    scan = scans.start(wire.ScanRequest(threshold=0.4), SUSI)
    assert (scan.started_by, scan.started_by_name) == (SUSI.id, SUSI.name)
    real, blocks = job._compared, iter((False, True))

    def cancelled_in_the_second_block(row: Scan, turn: Turn) -> object:
        if next(blocks):
            scans.cancel(scan.id, SUSI)
        return real(row, turn)

    job._compared = cancelled_in_the_second_block  # type: ignore[method-assign,assignment]
    job.work()
    stopped = scans.read(scan.id)
    assert (stopped.state, stopped.templates_done) == (wire.ScanState.cancelled, 4)
    assert stopped.finished_at is not None
    newcomer = node.enrol(people.like(vectors[0], 0.45)).subject_id
    resumed = scans.resume(scan.id, ANNA)
    assert (resumed.state, resumed.templates_done, resumed.finished_at) == (wire.ScanState.waiting, 4, None)
    assert resumed.started_by == SUSI.id
    assert job_of(world.node(), holder="b2").work() == 2, "the blocks that were left"
    done = scans.read(scan.id)
    assert (done.state, done.templates_done, done.up_to_seq) == (wire.ScanState.done, 10, scan.up_to_seq)
    assert pairs(node) | pairs(node, "enrolment") == truth
    assert done.pairs_found == len(pairs(node))
    after = run(node, threshold=0.4)
    assert (after.since_seq, after.templates_total) == (scan.up_to_seq, 1), "who came meanwhile is the next scan's"
    assert any(newcomer in pair for pair in pairs(node))
    about = [(event.action, event.actor) for event in node.audit.list().items if event.object_id == scan.id]
    assert about == [("scan.done", "system"), ("scan.resume", ANNA.id), ("scan.cancel", SUSI.id), ("scan.start", SUSI.id)]


def test_a_scan_is_resumed_only_where_it_stopped_and_no_other_runs(node: Node, people: People) -> None:
    node.enrol(people.stranger())
    scans = scans_of(node)
    first = scans.start(wire.ScanRequest(), SUSI)
    with pytest.raises(ScanStateConflict, match="waiting"):
        scans.resume(first.id, SUSI)
    scans.cancel(first.id, SUSI)
    second = scans.start(wire.ScanRequest(), SUSI)
    with pytest.raises(ScanUnderWay, match=second.id):
        scans.resume(first.id, SUSI)
    job_of(node).work()
    with pytest.raises(ScanStateConflict, match="done"):
        scans.resume(second.id, SUSI)
    with node.store.write() as session:
        node.store.gallery(session).epoch = "restored"
    with pytest.raises(ScanStateConflict, match="start a new scan"):
        scans.resume(first.id, SUSI)
    with pytest.raises(ScanNotFound):
        scans.resume("scan_nobody", SUSI)


def test_a_restore_meanwhile_ends_the_scan_with_what_to_do(node: Node, people: People) -> None:
    node.enrol(people.stranger())
    scan = scans_of(node).start(wire.ScanRequest(), SUSI)
    with node.store.write() as session:
        node.store.gallery(session).epoch = "restored"
    job_of(node).work()
    ended = scans_of(node).read(scan.id)
    assert ended.state is wire.ScanState.failed
    assert "start a new scan" in (ended.problem or "")
    assert run(node).since_seq == 0


def test_a_threshold_that_finds_nearly_everybody_is_refused(node: Node, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidThreshold, match="half of the review threshold"):
        scans_of(node).start(wire.ScanRequest(threshold=0.29), SUSI)
    monkeypatch.setattr(scan_block, "MOST_PAIRS", 2)
    vector = people.stranger()
    for score in (1.0, 0.5, 0.5, 0.5):
        node.enrol(people.like(vector, score) if score < 1 else vector)
    ended = run(node, threshold=0.4)
    assert ended.state is wire.ScanState.failed
    assert "raise the threshold" in (ended.problem or "")


def test_stopping_lets_another_replica_go_on_at_once(world: World, people: People, small_blocks: None) -> None:
    first, second = world.node(), world.node()
    for vector in people.strangers(12):
        first.enrol(vector)
    scans_of(first).start(wire.ScanRequest(), SUSI)
    stopped = job_of(first, "b1")
    real = stopped._compared

    def then_stop(scan: Scan, turn: Turn) -> object:
        stopped.stop()
        return real(scan, turn)

    stopped._compared = then_stop  # type: ignore[method-assign,assignment]
    assert stopped.work() == 0, "it did not give up the block under way"
    assert job_leases.is_free(first.store, JOB)
    assert job_of(second, "b2").work() == 3


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flat, "TILE", 2)
    monkeypatch.setattr(scan_turn, "KEEP_EVERY", 0.0)


def between_tiles(node: Node, monkeypatch: pytest.MonkeyPatch, do: Callable[[int], None]) -> list[int]:
    """`do` is called after each tile of a block, with its number; those numbers."""
    real, tiles = node.replica.block_within, list[int]()

    def watched(*given: object) -> Iterator[object]:
        for hits in real(*given):  # type: ignore[arg-type]
            tiles.append(len(tiles))
            do(tiles[-1])
            yield hits

    monkeypatch.setattr(node.replica, "block_within", watched)
    return tiles


@pytest.mark.usefixtures("small_tiles")
def test_the_lease_is_kept_however_long_a_block_takes(world: World, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    node, other = world.node(), world.node()
    for vector in people.strangers(9):
        node.enrol(vector)
    scans_of(node).start(wire.ScanRequest(), SUSI)

    def nearly_over(_: int) -> None:
        with node.store.write() as session:
            lease = session.exec(select(JobLease).where(JobLease.name == JOB)).one()
            now = node.store.now(session)
            assert lease.until > now + timedelta(seconds=10), "it was not renewed since the last tile"
            lease.until = now + timedelta(seconds=5)
        assert job_of(other, "b2").work() == 0

    tiles = between_tiles(node, monkeypatch, nearly_over)
    assert job_of(node, "b1").work() == 1
    assert len(tiles) == 4


@pytest.mark.usefixtures("small_tiles")
def test_who_lost_the_lease_in_the_midst_of_a_block_gives_it_up(
    world: World, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, other = world.node(), world.node()
    for vector in people.strangers(9):
        node.enrol(vector)
    scan = scans_of(node).start(wire.ScanRequest(), SUSI)
    blocks: list[int] = []

    def lose(tile: int) -> None:
        if tile == 1:
            expire(node)
            blocks.append(job_of(other, "b2").work())

    tiles = between_tiles(node, monkeypatch, lose)
    assert job_of(node, "b1").work() == 0
    assert (blocks, len(tiles)) == ([1], 2)
    assert scans_of(node).read(scan.id).templates_done == 9


@pytest.mark.usefixtures("small_tiles")
def test_a_stop_is_heard_in_the_midst_of_a_block(node: Node, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    for vector in people.strangers(9):
        node.enrol(vector)
    scans_of(node).start(wire.ScanRequest(), SUSI)
    job = job_of(node)
    tiles = between_tiles(node, monkeypatch, lambda _: job.stop())
    assert (job.work(), len(tiles)) == (0, 1)
    assert job_leases.is_free(node.store, JOB)


def test_no_pair_is_lost_behind_the_many_samples_of_one_person(
    node: Node, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_block, "MOST_PAIRS", 2)
    person, other = people.strangers(2)
    looks = [people.like(person, 0.97) for _ in range(9)]
    node.enrol(*looks)
    node.enrol(other)
    late = node.enrol(people.like(other, 0.5))
    scan = run(node, threshold=0.45)
    assert (scan.state, scan.pairs_found) == (wire.ScanState.done, 1)
    assert any(late.subject_id in pair for pair in pairs(node))


def test_two_people_of_many_samples_are_one_pair_with_the_best_of_them(node: Node, people: People) -> None:
    person = people.stranger()
    one = [people.like(person, 0.9) for _ in range(6)]
    a = node.enrol(*one)
    far = people.like(person, 0.45)
    other = [people.like(far, 0.97) for _ in range(6)]
    b = node.enrol(*other)
    run(node, threshold=0.3)
    best = max(float(np.dot(v, w)) for v in one for w in other)
    with node.store.read() as session:
        (pair,) = session.exec(select(DuplicatePair).where(DuplicatePair.kind == "duplicate")).all()
    assert {pair.a_subject_id, pair.b_subject_id} == {a.subject_id, b.subject_id}
    assert pair.score == pytest.approx(best, abs=1e-5)


# --- who may work on a scan ---------------------------------------------------------------------------------------

NEWER = replace(CARD, model_id="newer-model")


def of_card(node: Node, card: ModelCard, room: Room | None = None) -> ScanJob:
    """A replica of its own over the same ledger, with another model or less room."""
    replica = Replica(node.store, card, room=room)
    return ScanJob(node.store, replica, card, THRESHOLDS, holder="b9")


def assert_left_alone(node: Node, scan_id: str) -> None:
    assert scans_of(node).read(scan_id).state is wire.ScanState.waiting
    with node.store.read() as session:
        assert session.get(JobLease, (node.store.gallery_id, JOB)) is None, "the lease was taken, if only for a while"


def test_a_replica_with_the_wrong_model_leaves_the_scan_to_the_others(node: Node, people: People) -> None:
    node.enrol(people.stranger())
    scan = scans_of(node).start(wire.ScanRequest(), SUSI)
    assert of_card(node, NEWER).work() == 0
    assert_left_alone(node, scan.id)
    assert job_of(node).work() == 1
    assert scans_of(node).read(scan.id).state is wire.ScanState.done


def test_a_scan_of_a_model_that_the_gallery_had_before_ends_with_what_to_do(node: Node, people: People) -> None:
    node.enrol(people.stranger())
    scan = scans_of(node).start(wire.ScanRequest(), SUSI)
    with node.store.write() as session:
        node.store.gallery(session).model_id = NEWER.model_id
    node.replica.catch_up()
    assert job_of(node).work() == 0
    assert_left_alone(node, scan.id)
    of_card(node, NEWER).work()
    ended = scans_of(node).read(scan.id)
    assert (ended.state, ended.problem) == (wire.ScanState.failed, "the gallery's model changed since: start a new scan")


def test_nobody_starts_a_scan_with_another_model_than_the_gallerys(node: Node) -> None:
    with pytest.raises(ModelMismatch):
        Scans(node.store, NEWER, THRESHOLDS).start(wire.ScanRequest(), SUSI)


def test_a_replica_that_cannot_hold_the_gallery_leaves_the_scan_to_the_others(node: Node, people: People) -> None:
    for vector in people.strangers(3):
        node.enrol(vector)
    scan = scans_of(node).start(wire.ScanRequest(), SUSI)
    assert of_card(node, CARD, room=Room(bytes_per_template=272, limit=2 * 272)).work() == 0
    assert_left_alone(node, scan.id)


def test_a_program_too_old_for_the_schema_leaves_the_scan_to_the_others(
    node: Node, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.enrol(people.stranger())
    scan = scans_of(node).start(wire.ScanRequest(), SUSI)
    with node.store.write() as session:
        node.store.gallery(session).min_app_level = schema.APP_LEVEL
    with monkeypatch.context() as older:
        older.setattr(schema, "APP_LEVEL", schema.APP_LEVEL - 1)
        assert job_of(node).work() == 0
    assert_left_alone(node, scan.id)


@pytest.mark.usefixtures("small_tiles")
def test_a_replica_that_comes_into_doubt_in_the_midst_of_a_block_gives_the_lease_back(
    world: World, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, other = world.node(), world.node()
    for vector in people.strangers(9):
        node.enrol(vector)
    scan = scans_of(node).start(wire.ScanRequest(), SUSI)
    tiles = between_tiles(node, monkeypatch, lambda _: setattr(node.replica, "_problem", "in doubt"))
    assert job_of(node, "b1").work() == 0
    assert len(tiles) == 1
    assert job_leases.is_free(node.store, JOB)
    assert job_of(other, "b2").work() == 1
    assert scans_of(node).read(scan.id).state is wire.ScanState.done


def test_progress_is_told_while_a_scan_is_under_way(node: Node, people: People) -> None:
    node.enrol(people.stranger())
    assert scans_of(node).progress() == (0, 0)
    scans_of(node).start(wire.ScanRequest(), SUSI)
    assert scans_of(node).progress() == (0, 1)
    job_of(node).work()
    assert scans_of(node).progress() == (0, 0)
