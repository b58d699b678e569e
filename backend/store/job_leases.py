"""Background work on several replicas: one of them has the lease, by the database's clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlmodel import Session

from backend.store.tables import JobLease

if TYPE_CHECKING:
    from backend.store.database import Store


def is_free(store: Store, name: str) -> bool:
    """A look without the ledger lock, so that idle replicas do not write."""
    with store.read() as session:
        lease = session.get(JobLease, (store.gallery_id, name))
        return lease is None or lease.until <= store.now(session)


def take(store: Store, session: Session, name: str, *, holder: str, until: datetime) -> bool:
    """In a write transaction. False where somebody else took it meanwhile."""
    lease = session.get(JobLease, (store.gallery_id, name))
    if lease is None:
        session.add(JobLease(gallery_id=store.gallery_id, name=name, holder=holder, epoch=1, until=until))
        return True
    if lease.until > store.now(session):
        return False
    lease.epoch += lease.holder != holder
    lease.holder, lease.until = holder, until
    return True


def hold(store: Store, name: str, *, holder: str, seconds: float) -> int | None:
    """Take the lease, or renew one's own; its epoch (the fence), or None while somebody else has it.

    Costs a write only where something is to be changed: an own lease is renewed when half of it has passed.
    """
    with store.read() as session:
        lease, now = session.get(JobLease, (store.gallery_id, name)), store.now(session)
        if lease is not None and lease.until > now:
            if lease.holder != holder:
                return None
            if lease.until > now + timedelta(seconds=seconds / 2):
                return lease.epoch
    with store.write() as session:
        return _take_or_renew(store, session, name, holder=holder, seconds=seconds)


def _take_or_renew(store: Store, session: Session, name: str, *, holder: str, seconds: float) -> int | None:
    now = store.now(session)
    until = now + timedelta(seconds=seconds)
    lease = session.get(JobLease, (store.gallery_id, name))
    if lease is None:
        session.add(JobLease(gallery_id=store.gallery_id, name=name, holder=holder, epoch=1, until=until))
        return 1
    if lease.until > now and lease.holder != holder:
        return None
    lease.epoch += lease.until <= now or lease.holder != holder
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
