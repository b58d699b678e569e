"""Rows about two records, which may stand in either column: pairs, and people who were decided to be different.

Each column is asked by itself: databases without statistics (SQLite as it comes) read every row for one condition with OR.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, union_all
from sqlmodel import col, select

from backend.store.tables import DistinctPair, DuplicatePair


def of_either(
    table: type[DuplicatePair] | type[DistinctPair], *, gallery_id: Any, records: Sequence[str] | BindParameter[Any]
) -> ColumnElement[bool]:
    """The condition that one of `records` is on either side. Both values may be bind parameters, that of `records` expanding."""
    sides = (col(table.a_subject_id), col(table.b_subject_id))
    by_side = [select(table.id).where(table.gallery_id == gallery_id, side.in_(records)) for side in sides]
    return col(table.id).in_(union_all(*by_side))
