"""Background work on several replicas: one process of them has the lease, by the database's clock.

The epoch is the fence: it rises whenever the lease was not the holder's own and running. So what was begun before a lease ran
out is never written after it, whoever took it, and a lease that nobody renews is a term of its length.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlmodel import Session

from backend.store.tables import JobLease

if TYPE_CHECKING:
    from backend.store.database import Store


def new_holder(instance: str) -> str:
    """This process and no other: one that was restarted under the same name is somebody else."""
    return f"{instance}.{secrets.token_hex(4)}"


def instance_of(holder: str) -> str:
    return holder.rpartition(".")[0]


def is_free(store: Store, name: str) -> bool:
    """A look without the ledger lock, so that idle replicas do not write."""
    with store.read() as session:
        lease = session.get(JobLease, (store.gallery_id, name))
        return lease is None or lease.until <= store.now(session)


def hold(store: Store, name: str, *, holder: str, seconds: float) -> int | None:
    """`take` in a transaction of its own, which costs a write only where something is to be changed: an own lease is renewed
    when half of it has passed."""
    with store.read() as session:
        lease, now = session.get(JobLease, (store.gallery_id, name)), store.now(session)
        if lease is not None and lease.until > now:
            if lease.holder != holder:
                return None
            if lease.until > now + timedelta(seconds=seconds / 2):
                return lease.epoch
    with store.write() as session:
        return take(store, session, name, holder=holder, seconds=seconds)


def take(store: Store, session: Session, name: str, *, holder: str, seconds: float) -> int | None:
    """Take a free lease, or renew one's own, within a write transaction; its epoch, or None while somebody else has it."""
    now = store.now(session)
    until = now + timedelta(seconds=seconds)
    lease = session.get(JobLease, (store.gallery_id, name))
    if lease is None:
        session.add(JobLease(gallery_id=store.gallery_id, name=name, holder=holder, epoch=1, until=until))
        return 1
    runs = lease.until > now
    if runs and lease.holder != holder:
        return None
    lease.epoch += not runs
    lease.holder, lease.until = holder, until
    return lease.epoch


def holds(store: Store, session: Session, name: str, *, holder: str, epoch: int) -> bool:
    """The fence, within a write transaction: what was begun under an older epoch must not be written any more."""
    lease = session.get(JobLease, (store.gallery_id, name))
    return lease is not None and (lease.holder, lease.epoch) == (holder, epoch)


def release(store: Store, name: str, *, holder: str, epoch: int) -> None:
    """Let another replica go on at once; nothing where the lease is no longer one's own."""
    with store.write() as session:
        if holds(store, session, name, holder=holder, epoch=epoch):
            lease = session.get_one(JobLease, (store.gallery_id, name))
            lease.until = store.now(session)
