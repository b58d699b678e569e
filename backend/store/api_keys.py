"""API keys of machines: shown once, kept as a hash, scoped, revocable."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam
from sqlmodel import Session, col, select, update
from sqlmodel.sql.expression import Select

from backend import wire
from backend.errors import FaceAuthError, KeyNotFound, KeyStateConflict, SecretGone
from backend.store import answers
from backend.store.answers import Idempotency
from backend.store.audit import Audit
from backend.store.caller import SYSTEM, Caller
from backend.store.ids import new_id
from backend.store.tables import ApiKey
from backend.store.tables import Idempotency as IdempotencyRow

if TYPE_CHECKING:
    from backend.store.database import Store

log = logging.getLogger(__name__)
SECRET = re.compile(r"fa_(?P<id>[0-9a-f]{32})_[A-Za-z0-9_-]{43}")
USE_IS_NOTED_EVERY = timedelta(minutes=1)
# Written once, and columns alone: every request begins with it.
_OF_ID: Select[*tuple[Any, ...]] = Select(
    col(ApiKey.name),
    col(ApiKey.scopes),
    col(ApiKey.secret_sha256),
    col(ApiKey.expires_at),
    col(ApiKey.revoked_at),
    col(ApiKey.last_used_at),
    col(ApiKey.rate_per_minute),
    col(ApiKey.synthetic),
).where(col(ApiKey.id) == bindparam("id"))


class Keys:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._audit = Audit(store)
        self._lock = threading.Lock()
        self._used: set[str] = set()
        self._noting = False

    def create(
        self,
        asked: wire.KeyRequest,
        *,
        caller: Caller = SYSTEM,
        idempotency: Idempotency | None = None,
    ) -> wire.NewKey:
        """The only time that the secret is shown: `fa_<id>_<256 secret bits>`. The same request again gets the same answer.

        Raises:
            IdempotencyKeyReused: the key came with another body.
            SecretGone: the same request, but a newer key file cannot make the same secret again.
        """
        with self._store.write() as session:
            if idempotency and (known := answers.earlier_row(self._store, session, caller, idempotency)) is not None:
                return self._again(session, known, idempotency, caller)
            row_id = new_id("idem")
            row, secret = self._made(session, asked, idempotency, row_id)
            answers.remember_made(session, row, caller, idempotency, row_id=row_id)
            self._audit.append(session, caller, "key.create", row.id, _terms(row))
        return wire.NewKey(secret=secret, **_key(row).model_dump())

    def change(self, key_id: str, change: wire.KeyChange, *, caller: Caller = SYSTEM) -> wire.Key:
        """What `change` names, on every replica from its next request on. Raises KeyNotFound."""
        with self._store.write() as session:
            row = self._get(session, key_id)
            before = _terms(row)
            row.sqlmodel_update(change.model_dump(exclude_unset=True))
            if (terms := _terms(row)) != before:
                self._audit.append(session, caller, "key.change", key_id, terms)
        return _key(row)

    def replace(self, key_id: str, *, overlap: timedelta, caller: Caller = SYSTEM) -> wire.NewKey:
        """A new key of the same name, scopes, limit and lifetime; the old one ends after `overlap`, or is revoked at once for 0.

        Raises:
            KeyNotFound.
            KeyStateConflict: it is revoked or has expired.
        """
        with self._store.write() as session:
            old, now = self._get(session, key_id), self._store.now(session)
            if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
                raise KeyStateConflict()
            lifetime = old.expires_at - old.created_at if old.expires_at else None
            asked = wire.KeyRequest(
                name=old.name,
                scopes=[wire.Scope(scope) for scope in old.scopes],
                expires_at=now + lifetime if lifetime else None,
                rate_per_minute=old.rate_per_minute,
                synthetic=old.synthetic,
            )
            row, secret = self._made(session, asked, None, "")
            self._audit.append(session, caller, "key.create", row.id, {**_terms(row), "replaces": key_id})
            if overlap <= timedelta():
                self._revoke(session, old, caller)
            else:
                old.expires_at = min(old.expires_at or now + overlap, now + overlap)
                self._audit.append(session, caller, "key.replace", key_id, {"by": row.id})
        return wire.NewKey(secret=secret, **_key(row).model_dump())

    def _made(self, session: Session, asked: wire.KeyRequest, idempotency: Idempotency | None, row_id: str) -> tuple[ApiKey, str]:
        key_id = new_id("key")
        bits = next(self._repeatable(session, key_id, row_id, idempotency)) if idempotency else secrets.token_bytes(32)
        secret = _secret(key_id, bits)
        row = ApiKey(
            id=key_id,
            gallery_id=self._store.gallery_id,
            name=asked.name,
            scopes=[str(scope) for scope in asked.scopes],
            secret_sha256=_sha256(secret),
            created_at=self._store.now(session),
            expires_at=asked.expires_at,
            rate_per_minute=asked.rate_per_minute,
            synthetic=asked.synthetic,
        )
        session.add(row)
        return row, secret

    def _again(self, session: Session, known: IdempotencyRow, idempotency: Idempotency, caller: Caller) -> wire.NewKey:
        row = session.get_one(ApiKey, known.enrolment_id)
        for bits in self._repeatable(session, row.id, known.id, idempotency):
            if _sha256(secret := _secret(row.id, bits)) == row.secret_sha256:
                self._audit.append(session, caller, "key.show_again", row.id)
                return wire.NewKey(secret=secret, **_key(row).model_dump())
        raise SecretGone(row.id)

    def _repeatable(self, session: Session, key_id: str, row_id: str, idempotency: Idempotency) -> Iterator[bytes]:
        """Takes the key file, the request's own key, and the id (74 random bits) of a row that the ledger has for 24 hours.

        The request's key alone is no secret: a balancer that gives one writes it into its log.
        """
        return self._store.keyring_of(session).secrets_for(f"{key_id}\0{row_id}\0{idempotency.key}")

    def list(self) -> list[wire.Key]:
        """Newest first, revoked and expired ones too."""
        with self._store.read() as session:
            query = select(ApiKey).where(ApiKey.gallery_id == self._store.gallery_id).order_by(col(ApiKey.id).desc())
            return [_key(row) for row in session.exec(query)]

    def revoke(self, key_id: str, *, caller: Caller = SYSTEM) -> wire.Key:
        """At once, on every replica; revoking twice is harmless. Raises KeyNotFound."""
        with self._store.write() as session:
            row = self._get(session, key_id)
            self._revoke(session, row, caller)
        return _key(row)

    def _revoke(self, session: Session, row: ApiKey, caller: Caller) -> None:
        if row.revoked_at is None:
            row.revoked_at = self._store.now(session)
            self._audit.append(session, caller, "key.revoke", row.id)

    def _get(self, session: Session, key_id: str) -> ApiKey:
        row = session.get(ApiKey, key_id)
        if row is None or row.gallery_id != self._store.gallery_id:
            raise KeyNotFound()
        return row

    def authenticate(self, secret: str) -> Caller | None:
        """Whose secret this is; None for an unknown, revoked or expired one."""
        match = SECRET.fullmatch(secret)
        if match is None:
            return None
        key_id = f"key_{match['id']}"
        with self._store.read() as session:
            row = session.connection().execute(_OF_ID, {"id": key_id}).one_or_none()
            if row is None:
                return None
            name, scopes, secret_sha256, expires_at, revoked_at, last_used_at, rate, synthetic = row
            expired = expires_at is not None and expires_at <= self._store.now(session)
        if not hmac.compare_digest(secret_sha256, _sha256(secret)) or revoked_at is not None or expired:
            return None
        # This machine's clock does: it is but a convenience for the operator.
        if last_used_at is None or datetime.now(UTC) - last_used_at > USE_IS_NOTED_EVERY:
            self._note_use_later(key_id)
        return Caller(id=key_id, name=name, kind="key", roles=frozenset(scopes), rate_per_minute=rate, synthetic=synthetic)

    def _note_use_later(self, key_id: str) -> None:
        """Outside the request's path, by one thread at a time: what is used while it writes, it writes next."""
        with self._lock:
            self._used.add(key_id)
            if self._noting:
                return
            self._noting = True
        threading.Thread(target=self._note_uses, name="key-use", daemon=True).start()

    def _note_uses(self) -> None:
        while used := self._to_note():
            try:
                with self._store.write() as session:
                    now = self._store.now(session)
                    session.exec(update(ApiKey).where(col(ApiKey.id).in_(used)).values(last_used_at=now))
            except FaceAuthError:
                continue  # the next use notes it
            except Exception:
                log.exception("The use of keys could not be noted")

    def _to_note(self) -> set[str]:
        """Nothing ends the thread."""
        with self._lock:
            used, self._used = self._used, set()
            self._noting = bool(used)
            return used


def _secret(key_id: str, bits: bytes) -> str:
    return f"fa_{key_id.removeprefix('key_')}_{urlsafe_b64encode(bits).rstrip(b'=').decode('ascii')}"


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: ApiKey) -> wire.Key:
    return wire.Key(
        id=row.id,
        name=row.name,
        scopes=[wire.Scope(scope) for scope in row.scopes],
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        rate_per_minute=row.rate_per_minute,
        synthetic=row.synthetic,
    )


def _terms(row: ApiKey) -> dict[str, Any]:
    return {"scopes": row.scopes, "rate_per_minute": row.rate_per_minute, "synthetic": row.synthetic}
