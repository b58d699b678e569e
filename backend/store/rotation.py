"""Replacing the key that wraps all others: what it wrapped is wrapped anew, while replicas work.

One short transaction names the newest key of the file in the gallery. Whoever stores a wrapped key reads that name under the
ledger lock, so from that commit on nothing more is wrapped by the old key; what is there already follows in batches. Every
step may be killed and repeated: what is wrapped by the new key is told by opening it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlmodel import col, select, update

from backend.store import index_snapshots, scrubbing
from backend.store.audit import Audit
from backend.store.caller import SYSTEM
from backend.store.database import Store
from backend.store.keyring import Keyring
from backend.store.tables import IndexSnapshot, Subject

BATCH = 500
KNOWS_TWO_KEYS = 2
"""The least level of a program that finds external ids by the kept index: an older one would make another of the new key."""


class RotationError(Exception):
    """A step was asked for in the wrong order; the message says which comes first."""


@dataclass(frozen=True)
class Rewrapped:
    """`began`: this run named the new key; the others count keys that it wrapped anew."""

    began: bool
    subjects: int
    snapshots: int


def rotate(store: Store) -> Rewrapped:
    """Wrap everything with the newest key of the file. Every replica must hold that key before this.

    Raises:
        RotationError: the file holds no newer key.
        KeyringError: a stored key opens with none of the file's.
        Unavailable.
    """
    began = _begin(store)
    subjects = sum(_rewrap_subjects(store, ids) for ids in _wrapped_by_others(store))
    snapshots = _rewrap_snapshots(store)
    scrubbing.settle(store)
    return Rewrapped(began, subjects, snapshots)


def retire(store: Store) -> int:
    """Make sure that nothing needs an older key of the file, which the caller then takes out; how many those are.

    Raises:
        RotationError: something is wrapped by one, or its bytes could not be scrubbed yet.
    """
    keys = store.keyring.check_values
    with store.read() as session:
        present = store.gallery(session).key_check
    if present != keys[-1]:
        raise RotationError("the newest key of the file is not in use yet: run `python -m backend rotate-keys` first")
    if any(_wrapped_by_others(store)) or _stale_snapshots(store):
        raise RotationError("some keys are still wrapped by the old one: run `python -m backend rotate-keys` again")
    if not scrubbing.settle(store):
        raise RotationError("a reader keeps the old wrapped keys in the database's log: try again in a moment")
    if len(keys) > 1:
        Audit(store).record(SYSTEM, "key.retire", None, {"kept": keys[-1], "retired": list(keys[:-1])})
    return len(keys) - 1


def _begin(store: Store) -> bool:
    """Name the newest key, keep the index of external ids as it is, shut out who knows neither; False where that was done."""
    newest = store.keyring.check_values[-1]
    with store.write() as session:
        gallery, old = store.gallery(session), store.keyring_of(session)
        if gallery.key_check is None:
            raise RotationError("no key is pinned yet: run `python -m backend migrate`")
        if gallery.key_check == newest:
            if len(store.keyring.check_values) == 1:
                raise RotationError("the key file holds one key alone: run `python -m backend rotate-keys --prepare` first")
            return False
        new = store.keyring.wrapping_with(newest)
        gallery.sealed_index_key = new.seal_index_key(gallery.id, old, gallery.sealed_index_key)
        gallery.key_check = newest
        gallery.min_app_level = max(gallery.min_app_level, KNOWS_TWO_KEYS)
        Audit(store).append(session, SYSTEM, "key.rotate", None, {"old": old.check_value, "new": newest})
    return True


def _wrapped_by_others(store: Store) -> Iterator[Sequence[str]]:
    """Ids of subjects whose key is wrapped by another than the gallery's, a batch at a time."""
    after = ""
    while True:
        with store.read() as session:
            keyring = store.keyring_of(session)
            query = select(Subject.id, Subject.wrapped_key).where(Subject.gallery_id == store.gallery_id, Subject.id > after)
            rows = session.exec(query.where(col(Subject.wrapped_key).is_not(None)).order_by(col(Subject.id)).limit(BATCH)).all()
        if not rows:
            return
        after = rows[-1][0]
        if found := [id_ for id_, wrapped in rows if wrapped is not None and keyring.wrapped_anew(id_, wrapped) is not None]:
            yield found


def _rewrap_subjects(store: Store, ids: Sequence[str]) -> int:
    count = 0
    with store.write() as session:
        keyring = store.keyring_of(session)
        for id_, wrapped in session.exec(select(Subject.id, Subject.wrapped_key).where(col(Subject.id).in_(ids))).all():
            anew = None if wrapped is None else keyring.wrapped_anew(id_, wrapped)  # None: erased meanwhile
            if anew is not None:
                session.exec(update(Subject).where(col(Subject.id) == id_).values(wrapped_key=anew))
                count += 1
        scrubbing.ask(session, gallery_id=store.gallery_id, at=store.now(session))
    return count


def _stale_snapshots(store: Store) -> list[IndexSnapshot]:
    with store.read() as session:
        keyring = store.keyring_of(session)
        rows = session.exec(select(IndexSnapshot).where(IndexSnapshot.gallery_id == store.gallery_id)).all()
    return [row for row in rows if _anew(keyring, row) is not None]


def _rewrap_snapshots(store: Store) -> int:
    stale = {row.id for row in _stale_snapshots(store)}
    if not stale:
        return 0
    with store.write() as session:
        keyring = store.keyring_of(session)
        for row in session.exec(select(IndexSnapshot).where(col(IndexSnapshot.id).in_(stale))).all():
            row.wrapped_key = _anew(keyring, row) or row.wrapped_key
        scrubbing.ask(session, gallery_id=store.gallery_id, at=store.now(session))
    return len(stale)


def _anew(keyring: Keyring, row: IndexSnapshot) -> bytes | None:
    return keyring.wrapped_anew(index_snapshots.context_of(row.id), row.wrapped_key)
