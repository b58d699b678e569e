"""Writing the log that every replica's index follows; always under the ledger lock, so seq and count never disagree."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session, col, select

from backend.store.tables import Change, GalleryChange, Template

LENGTHENED = "gallery_log_lengthened"
"""Set in `session.info`, so that the transaction's end announces it."""


def checksum_of(ids: NDArray[np.int64]) -> int:
    """Order-free checksum of a set of ids: exclusive or of their splitmix64 values, as signed 64 bits.

    Taking an id out is the same operation as putting it in. splitmix64: Steele, Lea, Flood, OOPSLA 2014.
    """
    if not len(ids):
        return 0
    with np.errstate(over="ignore"):
        mixed = ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> np.uint64(31))
    return int(np.bitwise_xor.reduce(mixed).astype(np.int64))


def head(session: Session, gallery_id: str) -> GalleryChange | None:
    query = select(GalleryChange).where(GalleryChange.gallery_id == gallery_id).order_by(col(GalleryChange.seq).desc()).limit(1)
    return session.exec(query).first()


def append_add(session: Session, *, gallery_id: str, template_id: str, model_id: str, at: datetime) -> int:
    """The seq of the new row: the template's id in every index."""
    row = _append(session, gallery_id, Change.add, template_id, None, model_id, at)
    assert row.seq is not None  # noqa: S101 - flushed
    count, checksum = row.count + 1, row.checksum ^ checksum_of(np.array([row.seq], dtype=np.int64))
    row.add_seq, row.count, row.checksum = row.seq, count, checksum
    session.flush()
    return row.seq


def append_remove(session: Session, template: Template, *, at: datetime) -> int:
    row = _append(session, template.gallery_id, Change.remove, template.id, template.seq, template.model_id, at)
    row.count -= 1
    row.checksum ^= checksum_of(np.array([template.seq], dtype=np.int64))
    session.flush()
    return row.seq or 0


def _append(
    session: Session, gallery_id: str, kind: Change, template_id: str, add_seq: int | None, model_id: str, at: datetime
) -> GalleryChange:
    last = head(session, gallery_id)
    row = GalleryChange(
        gallery_id=gallery_id,
        kind=kind,
        template_id=template_id,
        add_seq=add_seq,
        model_id=model_id,
        count=last.count if last else 0,
        checksum=last.checksum if last else 0,
        at=at,
    )
    session.add(row)
    session.flush()
    session.info[LENGTHENED] = True
    return row
