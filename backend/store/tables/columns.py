"""Column kinds that several tables share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Integer
from sqlmodel import Field

from backend.store.times import UTCDateTime


def moment(*, index: bool = False) -> Any:
    return Field(sa_type=UTCDateTime, index=index)


def maybe_moment() -> Any:
    return Field(default=None, sa_type=UTCDateTime)


def ordinal() -> Any:
    """A number that is never used twice (with `AUTOINCREMENT`); SQLite wants plain INTEGER for that."""
    return Field(default=None, primary_key=True, sa_type=BigInteger().with_variant(Integer, "sqlite"))


def big(*, default: int | None = None) -> Any:
    return Field(default=default, sa_type=BigInteger)
