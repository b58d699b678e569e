"""Pages by cursor: opaque text that names the last row seen, so that pages neither skip nor repeat while rows come and go."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Literal

from sqlmodel import Session, func, select
from sqlmodel.sql.expression import SelectOfScalar

from backend.errors import BadCursor

EXACT_UP_TO = 10_000


def encode_cursor(*last: str | float) -> str:
    return base64.urlsafe_b64encode(json.dumps(last).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type) -> list[Any]:
    """The values that `encode_cursor` was given, of the stated kinds; raises BadCursor for any other text."""
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError) as error:
        raise BadCursor() from error
    if not isinstance(values, list) or [type(value) for value in values] != list(kinds):
        raise BadCursor()
    return values


def total_of(session: Session, rows: SelectOfScalar[Any]) -> tuple[int, Literal["exact", "at_least"]]:
    """How many rows a query has, exact up to `EXACT_UP_TO`."""
    count = session.exec(select(func.count()).select_from(rows.order_by(None).limit(EXACT_UP_TO + 1).subquery())).one()
    return (count, "exact") if count <= EXACT_UP_TO else (EXACT_UP_TO, "at_least")
