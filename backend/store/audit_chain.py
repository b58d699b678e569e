"""The audit trail as a chain of hashes: sealed by one replica at a time, witnessed elsewhere, verified by whoever can read it.

A row that was changed, taken out or moved no longer follows from the one before it. The chain by itself cannot tell that its end
was cut off: for that its head is written to the log after each sealing and given by the API, for somebody else to keep.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlmodel import Session, col, func, select

from backend.store import job_leases
from backend.store.tables import AuditRow

if TYPE_CHECKING:
    from backend.store.database import Store

GENESIS = "0" * 64
JOB = "audit-seal"
LEASE_S = 20.0
AT_ONCE = 500
"""rows sealed in one transaction: the ledger lock is held meanwhile"""
RESTORED = "ledger.restore"
"""The event of a restore. Its detail: `backup_position`, `replaced_position` and `replaced_hash`, the head that was given up."""

log = logging.getLogger(__name__)


# --- sealing ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Head:
    """The last sealed row, and how many wait. `at` is when the row was written; None for an empty chain."""

    position: int
    hash: str
    at: datetime | None
    waiting: int


def head(store: Store) -> Head:
    with store.read() as session:
        newest = _last(store, session)
        waiting = session.exec(select(func.count()).where(*_unsealed(store))).one()
    position, hash_, at = (newest.position or 0, newest.hash, newest.at) if newest else (0, GENESIS, None)
    return Head(position, hash_, at, waiting)


def unsealed(store: Store) -> tuple[int, float]:
    """How many rows wait, and the age of the oldest in seconds."""
    with store.read() as session:
        waiting, oldest = session.exec(select(func.count(), func.min(AuditRow.at)).where(*_unsealed(store))).one()
        return waiting, 0.0 if oldest is None else max(0.0, (store.now(session) - oldest).total_seconds())


def _unsealed(store: Store) -> tuple[Any, ...]:
    return AuditRow.gallery_id == store.gallery_id, col(AuditRow.position).is_(None)


class Sealer:
    """The leased job of each replica."""

    def __init__(self, store: Store, holder: str) -> None:
        self._store, self._holder = store, holder

    def run(self) -> int:
        """Seal what waits, where no other replica does; how many rows."""
        sealed = 0
        while head(self._store).waiting:
            epoch = job_leases.hold(self._store, JOB, holder=self._holder, seconds=LEASE_S)
            if epoch is None:
                break
            with self._store.write() as session:
                if not job_leases.holds(self._store, session, JOB, holder=self._holder, epoch=epoch):
                    break
                sealed += seal(self._store, session)
        if sealed:
            witnessed = head(self._store)
            log.info("audit head", extra={"fields": {"position": witnessed.position, "hash": witnessed.hash}})
        return sealed


def seal(store: Store, session: Session) -> int:
    """The next rows in their order, within a write transaction; how many.

    A row of the first release comes with hashes of its own. It has no place yet, so nobody has witnessed it: sealed as any other.
    """
    position, previous = last(store, session)
    waiting = select(AuditRow).where(*_unsealed(store))
    rows = session.exec(waiting.order_by(col(AuditRow.seq)).limit(AT_ONCE)).all()
    for row in rows:
        position += 1
        row.position, row.previous_hash = position, previous
        row.hash = previous = chained_hash(row)
        session.add(row)
    session.flush()
    return len(rows)


def last(store: Store, session: Session) -> tuple[int, str]:
    """Place and hash of the last sealed row."""
    row = _last(store, session)
    return (row.position or 0, row.hash) if row else (0, GENESIS)


def _last(store: Store, session: Session) -> AuditRow | None:
    sealed = select(AuditRow).where(AuditRow.gallery_id == store.gallery_id, col(AuditRow.position).is_not(None))
    return session.exec(sealed.order_by(col(AuditRow.position).desc()).limit(1)).first()


def chained_hash(row: AuditRow) -> str:
    """SHA-256 over the row before it and every field of this one but its places (`seq`, `position`), in canonical JSON."""
    fields = row.model_dump(exclude={"seq", "hash", "position"})
    return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":"), default=_stable).encode()).hexdigest()


def _stable(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"an audit row cannot hold {type(value).__name__}")


# --- verifying ----------------------------------------------------------------------------------------------------


@dataclass
class Verdict:
    """`broken_at`: the first place where the chain does not hold, and `why`; None where it is whole."""

    position: int = 0
    hash: str = GENESIS
    broken_at: int | None = None
    why: str | None = None
    witnessed: int = 0
    """heads that were kept elsewhere and agree"""
    given_up: int = 0
    """heads that were kept elsewhere and belong to what a restore replaced"""
    restores: list[int] = field(default_factory=list)
    """places of the events that say so"""

    @property
    def holds(self) -> bool:
        return self.broken_at is None


def verify(store: Store, witness: Mapping[int, str] | None = None) -> Verdict:
    """Follow the whole chain; `witness` maps places to hashes that were kept elsewhere. Memory does not grow with its length."""
    verdict, differing = Verdict(), dict[int, str]()
    wanted = witness or {}
    replaced: list[Mapping[str, object]] = []
    for row in _sealed(store):
        if why := trouble(row, verdict):
            verdict.broken_at, verdict.why = verdict.position + 1, why
            return verdict
        verdict.position, verdict.hash = row.position or 0, row.hash
        if row.action == RESTORED:
            verdict.restores.append(verdict.position)
            replaced.append(row.detail)
        if verdict.position in wanted:
            if wanted[verdict.position] == row.hash:
                verdict.witnessed += 1
            else:
                differing[verdict.position] = wanted[verdict.position]
    differing |= {place: hash_ for place, hash_ in wanted.items() if place > verdict.position}
    _judge(verdict, differing, replaced)
    return verdict


def _sealed(store: Store) -> Iterator[AuditRow]:
    rows = select(AuditRow).where(AuditRow.gallery_id == store.gallery_id, col(AuditRow.position).is_not(None))
    streamed = rows.order_by(col(AuditRow.position)).execution_options(yield_per=1000)
    with store.read() as session, closing(session.exec(streamed)) as found:
        yield from found


def trouble(row: AuditRow, before: Verdict) -> str | None:
    """Why `row` cannot come after the one at which `before` stands."""
    if row.position != before.position + 1:
        return f"a row is missing: after place {before.position} comes {row.position}"
    if row.hash != chained_hash(row):
        return f"the row was changed (seq {row.seq})"
    if row.previous_hash != before.hash:
        return f"the row does not follow from the one before it (seq {row.seq})"
    return None


def _judge(verdict: Verdict, differing: Mapping[int, str], replaced: list[Mapping[str, object]]) -> None:
    """A kept head that differs is right only where a restore, itself part of the chain, says that it gave that place up."""
    for place, hash_ in sorted(differing.items()):
        if any(_gave_up(restore, place, hash_) for restore in replaced):
            verdict.given_up += 1
            continue
        verdict.broken_at = place
        verdict.why = (
            f"the chain ends at {verdict.position}, and a head at {place} was witnessed: its end was cut off"
            if place > verdict.position
            else f"another hash was witnessed at {place}: the chain was written anew"
        )
        return


def _gave_up(restore: Mapping[str, object], place: int, hash_: str) -> bool:
    kept, last = restore.get("backup_position"), restore.get("replaced_position")
    if not isinstance(kept, int) or not isinstance(last, int) or not kept < place <= last:
        return False
    return place < last or hash_ == restore.get("replaced_hash")
