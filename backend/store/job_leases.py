"""Background work on several replicas: one of them has the lease, by the database's clock."""

from __future__ import annotations

from datetime import datetime
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
