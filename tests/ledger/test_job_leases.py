"""Leases of background jobs: one process at a time, and a fence against those who come back late."""

from __future__ import annotations

from datetime import timedelta

from sqlmodel import col, select, update

from backend.store import job_leases
from backend.store.job_leases import new_holder
from backend.store.tables import JobLease, Outbox
from backend.sweep import HOUSEKEEPING, Sweep
from tests.ledger.world import Node, World

JOB = "some-job"


def run_out(node: Node, name: str = JOB) -> None:
    with node.store.write() as session:
        session.exec(update(JobLease).where(col(JobLease.name) == name).values(until=node.store.now(session)))


def test_a_process_and_its_successor_of_the_same_name_are_two_holders(node: Node) -> None:
    """The old one may only be frozen: it must not go on with the lease that its successor took."""
    frozen, restarted = new_holder("b1"), new_holder("b1")
    assert {name.split(".")[0] for name in (frozen, restarted)} == {"b1"}
    epoch = job_leases.hold(node.store, JOB, holder=frozen, seconds=60)
    assert epoch is not None
    assert job_leases.hold(node.store, JOB, holder=restarted, seconds=60) is None
    run_out(node)
    assert job_leases.hold(node.store, JOB, holder=restarted, seconds=60) == epoch + 1
    with node.store.write() as session:
        assert not job_leases.holds(node.store, session, JOB, holder=frozen, epoch=epoch)


def test_the_fence_rises_where_ones_own_lease_had_run_out_and_stays_where_it_is_renewed(node: Node) -> None:
    first = job_leases.hold(node.store, JOB, holder="b1.a", seconds=60)
    assert job_leases.hold(node.store, JOB, holder="b1.a", seconds=600) == first, "longer than half of 600 s was not left"
    run_out(node)
    assert job_leases.hold(node.store, JOB, holder="b1.a", seconds=60) == (first or 0) + 1


def test_a_released_lease_is_free_at_once_and_only_its_holder_releases_it(node: Node) -> None:
    epoch = job_leases.hold(node.store, JOB, holder="b1.a", seconds=60) or 0
    job_leases.release(node.store, JOB, holder="b2.b", epoch=epoch)
    assert not job_leases.is_free(node.store, JOB)
    job_leases.release(node.store, JOB, holder="b1.a", epoch=epoch)
    assert job_leases.is_free(node.store, JOB)


def test_one_replica_keeps_house_in_each_term(world: World) -> None:
    one, other = world.node(), world.node()
    sweeps = [
        Sweep(node.store, lambda _: None, is_fit_for=lambda _: True, holder=f"b{i}", lease_s=20)
        for i, node in enumerate((one, other))
    ]
    sweeps[0].run()
    put_old_message(one)
    for sweep in sweeps:
        sweep.run()
    assert messages(one) == 1, "the term of the first is not over"
    run_out(one, HOUSEKEEPING)
    sweeps[1].run()
    assert messages(one) == 0


def put_old_message(node: Node) -> None:
    with node.store.write() as session:
        session.add(Outbox(gallery_id="main", topic="old", created_at=node.store.now(session) - timedelta(days=2)))


def messages(node: Node) -> int:
    with node.store.read() as session:
        return len(session.exec(select(Outbox).where(Outbox.topic == "old")).all())
