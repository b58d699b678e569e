"""Writing the log that every replica's indexes follow; always under the ledger lock, so seq and count never disagree.

One log with one numbering; of each model it counts by itself, so that an index of one model is checked by that model's rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from backend.store.tables import Change, GalleryChange, Template
from backend.store.tables.base import Table

LENGTHENED = "gallery_log_lengthened"
"""Set in `session.info`, so that the transaction's end announces it."""
_ROWS = Table.metadata.tables["gallery_change"]
_INSERT = _ROWS.insert()
_NUMBER = (
    _ROWS.update().where(_ROWS.c.seq == bindparam("row")).values(add_seq=bindparam("own_seq"), checksum=bindparam("with_it"))
)
"""An add row's own seq, which is known once it is there."""
_HEAD_SEQ = (
    select(GalleryChange.seq)
    .where(GalleryChange.gallery_id == bindparam("gallery_id"))
    .order_by(col(GalleryChange.seq).desc())
    .limit(1)
)
_HEAD = (
    select(GalleryChange)
    .where(GalleryChange.gallery_id == bindparam("gallery_id"), GalleryChange.model_id == bindparam("model_id"))
    .order_by(col(GalleryChange.seq).desc())
    .limit(1)
)
_COUNTED = (
    select(GalleryChange.count, GalleryChange.checksum)
    .where(GalleryChange.gallery_id == bindparam("gallery_id"), GalleryChange.model_id == bindparam("model_id"))
    .order_by(col(GalleryChange.seq).desc())
    .limit(1)
)
_HEAD_UP_TO = _HEAD.where(col(GalleryChange.seq) <= bindparam("up_to"))


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


def head_seq(session: Session, gallery_id: str) -> int:
    """The log's last number, of whatever model; 0 where it is empty."""
    return session.connection().execute(_HEAD_SEQ, {"gallery_id": gallery_id}).scalar() or 0


def head(session: Session, gallery_id: str, model_id: str, *, up_to: int | None = None) -> GalleryChange | None:
    """The last row of a model, with its count and checksum; of those up to a number, where one is given."""
    asked = {"gallery_id": gallery_id, "model_id": model_id}
    if up_to is None:
        return session.exec(_HEAD, params=asked).first()
    return session.exec(_HEAD_UP_TO, params={**asked, "up_to": up_to}).first()


def append_add(session: Session, *, gallery_id: str, template_id: str, model_id: str, at: datetime) -> int:
    """The seq of the new row: the template's id in every index."""
    count, checksum = _count_and_checksum(session, gallery_id, model_id)
    row = {"gallery_id": gallery_id, "kind": Change.add, "template_id": template_id, "model_id": model_id, "at": at}
    seq = _append(session, {**row, "add_seq": None, "count": count + 1, "checksum": checksum})
    session.connection().execute(_NUMBER, {"row": seq, "own_seq": seq, "with_it": checksum ^ _of_one(seq)})
    return seq


def append_remove(session: Session, template: Template, *, at: datetime) -> int:
    count, checksum = _count_and_checksum(session, template.gallery_id, template.model_id)
    row = {"gallery_id": template.gallery_id, "kind": Change.remove, "template_id": template.id, "model_id": template.model_id}
    after = {"add_seq": template.seq, "count": count - 1, "checksum": checksum ^ _of_one(template.seq), "at": at}
    return _append(session, {**row, **after})


def _count_and_checksum(session: Session, gallery_id: str, model_id: str) -> tuple[int, int]:
    last = session.connection().execute(_COUNTED, {"gallery_id": gallery_id, "model_id": model_id}).first()
    return (0, 0) if last is None else (last[0], last[1])


def _append(session: Session, row: Mapping[str, object]) -> int:
    """The new row's seq. Not by the session's own means, which take three times as long under the ledger lock."""
    made = session.connection().execute(_INSERT, row).inserted_primary_key
    assert made is not None  # noqa: S101 - of one row
    session.info[LENGTHENED] = True
    return int(made[0])


def _of_one(seq: int) -> int:
    return checksum_of(np.array([seq], dtype=np.int64))
