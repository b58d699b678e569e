"""API keys of machines: shown once, kept as a hash, scoped, revocable."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam
from sqlmodel import col, select
from sqlmodel.sql.expression import Select

from backend import wire
from backend.errors import KeyNotFound, Unavailable
from backend.store.audit import Audit
from backend.store.caller import SYSTEM, Caller
from backend.store.ids import new_id
from backend.store.tables import ApiKey

if TYPE_CHECKING:
    from backend.store.database import Store

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
).where(col(ApiKey.id) == bindparam("id"))


class Keys:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._audit = Audit(store)
        self._noting = threading.Lock()

    def create(
        self, name: str, scopes: Sequence[wire.Scope], expires_at: datetime | None = None, *, caller: Caller = SYSTEM
    ) -> wire.NewKey:
        """The only time that the secret is shown: `fa_<id>_<256 random bits>`."""
        key_id = new_id("key")
        secret = f"fa_{key_id.removeprefix('key_')}_{secrets.token_urlsafe(32)}"
        with self._store.write() as session:
            row = ApiKey(
                id=key_id,
                gallery_id=self._store.gallery_id,
                name=name,
                scopes=[str(scope) for scope in scopes],
                secret_sha256=_sha256(secret),
                created_at=self._store.now(session),
                expires_at=expires_at,
            )
            session.add(row)
            self._audit.append(session, caller, "key.create", key_id, {"scopes": row.scopes})
        return wire.NewKey(secret=secret, **_key(row).model_dump())

    def list(self) -> list[wire.Key]:
        """Newest first, revoked and expired ones too."""
        with self._store.read() as session:
            query = select(ApiKey).where(ApiKey.gallery_id == self._store.gallery_id).order_by(col(ApiKey.id).desc())
            return [_key(row) for row in session.exec(query)]

    def revoke(self, key_id: str, *, caller: Caller = SYSTEM) -> wire.Key:
        """At once, on every replica; revoking twice is harmless. Raises KeyNotFound."""
        with self._store.write() as session:
            row = session.get(ApiKey, key_id)
            if row is None or row.gallery_id != self._store.gallery_id:
                raise KeyNotFound()
            if row.revoked_at is None:
                row.revoked_at = self._store.now(session)
                self._audit.append(session, caller, "key.revoke", key_id)
        return _key(row)

    def authenticate(self, secret: str) -> Caller | None:
        """Whose secret this is; None for an unknown, revoked or expired one."""
        match = SECRET.fullmatch(secret)
        if match is None:
            return None
        key_id = f"key_{match['id']}"
        with self._store.read() as session:
            row = session.exec(_OF_ID, params={"id": key_id}).one_or_none()
            if row is None:
                return None
            name, scopes, secret_sha256, expires_at, revoked_at, last_used_at = row
            expired = expires_at is not None and expires_at <= self._store.now(session)
        if not hmac.compare_digest(secret_sha256, _sha256(secret)) or revoked_at is not None or expired:
            return None
        # This machine's clock does: it is but a convenience for the operator.
        if last_used_at is None or datetime.now(UTC) - last_used_at > USE_IS_NOTED_EVERY:
            self._note_use_later(key_id)
        return Caller(id=key_id, name=name, kind="key", roles=frozenset(scopes))

    def _note_use_later(self, key_id: str) -> None:
        """Outside the request's path, one note at a time: a request that finds one under way leaves it to the next."""
        if self._noting.acquire(blocking=False):
            threading.Thread(target=self._note_use, args=(key_id,), name="key-use", daemon=True).start()

    def _note_use(self, key_id: str) -> None:
        try:
            with self._store.write() as session:
                row = session.get(ApiKey, key_id)
                if row is not None:
                    row.last_used_at = self._store.now(session)
        except Unavailable:
            return  # the next use notes it
        finally:
            self._noting.release()


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
    )
