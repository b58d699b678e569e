"""What makes a repeated request harmless: its key, the digest of its body, and the answer it had.

A row names what the request made: mostly an enrolment, else an API key or a scan, which has no stored answer and is shown again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, delete, select, update

from backend import wire
from backend.errors import IdempotencyKeyReused, SubjectNotFound
from backend.store import tables
from backend.store.caller import Caller
from backend.store.ids import new_id
from backend.store.sealing import key_of
from backend.store.tables import ApiKey, Enrolment, Scan, Subject

if TYPE_CHECKING:
    from backend.store.database import Store

KEPT_FOR = timedelta(hours=24)


@dataclass(frozen=True)
class Idempotency:
    """`key`: the header as sent; `body_sha256`: hex digest of the request's body."""

    key: str
    body_sha256: str

    @property
    def key_sha256(self) -> str:
        return hashlib.sha256(self.key.encode()).hexdigest()


def repeat(key: str | None, body_sha256: str, *, of: str) -> Idempotency | None:
    """`of`: what the request makes, so that the same key and bytes sent to another path are another request."""
    return None if key is None else Idempotency(key, hashlib.sha256(f"{of}\0{body_sha256}".encode()).hexdigest())


def earlier(store: Store, session: Session, caller: Caller, idempotency: Idempotency) -> str | None:
    """The id of what this very request made before, within 24 h; raises IdempotencyKeyReused for another body."""
    row = earlier_row(store, session, caller, idempotency)
    return None if row is None else row.enrolment_id


def earlier_row(store: Store, session: Session, caller: Caller, idempotency: Idempotency) -> tables.Idempotency | None:
    row = session.exec(select(tables.Idempotency).where(*_same(store.gallery_id, caller, idempotency))).first()
    if row is None or row.created_at < store.now(session) - KEPT_FOR:
        return None
    if row.body_sha256 != idempotency.body_sha256:
        raise IdempotencyKeyReused()
    return row


def remember(session: Session, enrolment: Enrolment, caller: Caller, idempotency: Idempotency) -> None:
    """In T1."""
    _remember(session, enrolment, caller, idempotency, subject_id=enrolment.subject_id)


def remember_made(
    session: Session, made: ApiKey | Scan, caller: Caller, idempotency: Idempotency | None, *, row_id: str | None = None
) -> None:
    """In the transaction that makes it. Its `body_sha256` tells one kind of request from another. `row_id`: of the row."""
    if idempotency is not None:
        _remember(session, made, caller, idempotency, subject_id="", row_id=row_id)


def _remember(
    session: Session,
    made: Enrolment | ApiKey | Scan,
    caller: Caller,
    idempotency: Idempotency,
    *,
    subject_id: str,
    row_id: str | None = None,
) -> None:
    """A key of the same name that has had its day makes room."""
    session.exec(delete(tables.Idempotency).where(*_same(made.gallery_id, caller, idempotency)))
    row = tables.Idempotency(
        id=row_id or new_id("idem"),
        gallery_id=made.gallery_id,
        caller_id=caller.id,
        key_sha256=idempotency.key_sha256,
        body_sha256=idempotency.body_sha256,
        enrolment_id=made.id,
        subject_id=subject_id,
        created_at=made.created_at,
    )
    session.add(row)
    session.flush()


def _same(gallery_id: str, caller: Caller, idempotency: Idempotency) -> tuple[ColumnElement[bool], ...]:
    return (
        col(tables.Idempotency.gallery_id) == gallery_id,
        col(tables.Idempotency.caller_id) == caller.id,
        col(tables.Idempotency.key_sha256) == idempotency.key_sha256,
    )


def kept(store: Store, enrolment: Enrolment, subject: Subject, status: int, answer: wire.Enrolment) -> dict[str, Any]:
    """What T2 writes into the enrolment's row: the answer sealed with the subject's key, or plain where that is destroyed and the
    answer holds ids only.
    """
    key = key_of(store.keyring, subject)
    if key is None:
        return {"status": status, "plain_answer": answer.model_dump(mode="json")}
    return {"status": status, "sealed_answer": key.seal(answer.model_dump_json().encode(), context=f"answer:{enrolment.id}")}


def read(store: Store, session: Session, enrolment: Enrolment) -> tuple[int, wire.Enrolment]:
    """What was answered; raises SubjectNotFound where the subject was erased since, or the day is over."""
    if enrolment.status is None:
        raise SubjectNotFound()
    if enrolment.plain_answer is not None:
        return enrolment.status, wire.Enrolment.model_validate(enrolment.plain_answer)
    subject = session.get(Subject, enrolment.subject_id)
    key = key_of(store.keyring, subject) if subject is not None else None
    if key is None or enrolment.sealed_answer is None:
        raise SubjectNotFound()
    opened = key.open(enrolment.sealed_answer, context=f"answer:{enrolment.id}")
    return enrolment.status, wire.Enrolment.model_validate_json(opened)


def forget_old(store: Store, session: Session, *, now: datetime) -> None:
    """Retention: answers live 24 h."""
    before = now - KEPT_FOR
    session.exec(delete(tables.Idempotency).where(col(tables.Idempotency.created_at) < before))
    old = (col(Enrolment.gallery_id) == store.gallery_id, col(Enrolment.finished_at) < before)
    session.exec(update(Enrolment).where(*old).values(sealed_answer=None, plain_answer=None))
