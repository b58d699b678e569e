"""Rows written by constant statements: by the session's own means each takes three times as long, under the ledger lock."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Insert, Update, bindparam
from sqlalchemy.orm import class_mapper
from sqlalchemy.orm.attributes import set_committed_value
from sqlmodel import Session

from backend.store.tables import AuditRow, Enrolment, Gallery, Sample, Subject, Template
from backend.store.tables.base import Table

Row = TypeVar("Row", bound=Table)

_INSERT: Mapping[type[Table], Insert] = {
    table: Table.metadata.tables[str(table.__tablename__)].insert() for table in (AuditRow, Enrolment, Sample, Subject, Template)
}


def as_read(table: type[Row], values: Mapping[Any, Any]) -> Row:
    """A row that is in the database already, by its columns. SQLModel makes new ones, which takes five times as long."""
    row: Row = class_mapper(table).class_manager.new_instance()
    for name, value in values.items():
        set_committed_value(row, name, value)
    return row


def insert(session: Session, table: type[Table], row: Mapping[str, Any]) -> None:
    """At once; columns that `row` leaves out are null. What the session itself has yet to write, it has not written by then."""
    session.connection().execute(_INSERT[table], row)


def change(session: Session, row: Gallery | Enrolment | Sample | Subject, **values: Any) -> None:
    """As setting these attributes, but in the database at once; of a row that this transaction read, under the ledger lock."""
    session.connection().execute(_update(type(row), tuple(values)), {**values, "of_id": row.id})
    for name, value in values.items():
        set_committed_value(row, name, value)


@cache
def _update(table: type[Table], columns: tuple[str, ...]) -> Update:
    rows = Table.metadata.tables[str(table.__tablename__)]
    return rows.update().where(rows.c.id == bindparam("of_id")).values({name: bindparam(name) for name in columns})
