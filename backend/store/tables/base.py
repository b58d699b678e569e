"""The root of the ledger's tables, with metadata of its own: another program's tables in one process stay apart."""

from __future__ import annotations

from sqlalchemy.orm import registry
from sqlmodel import SQLModel


class Table(SQLModel, registry=registry()):
    pass
