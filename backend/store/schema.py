"""Which programs run on which schema: compared in both directions, so that old and new replicas can run side by side.

A revision writes `min_app_level`, the least level of a program that may run on it; a program states the lowest revision
that it runs on. Expand first (level stays), contract a release later (level rises). A rotation of the file key raises it, too,
and so does a change of model.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect
from sqlmodel import Session, select, text

from backend.errors import NotReady
from backend.store.keyring import Keyring
from backend.store.tables import Gallery

APP_LEVEL = 3
LOWEST_REVISION = "0004"


class SchemaState(NamedTuple):
    revision: str | None
    ok: bool
    sentence: str


def migration_config() -> Config:
    config = Config()
    config.set_main_option("script_location", "backend.store:migrations")
    config.set_main_option("path_separator", "os")
    return config


@cache
def known_revisions() -> tuple[str, ...]:
    """Oldest first."""
    script = ScriptDirectory.from_config(migration_config())
    return tuple(reversed([revision.revision for revision in script.walk_revisions()]))


def schema_state(session: Session, gallery_id: str, keyring: Keyring) -> SchemaState:
    """The database's revision, whether this program may run on it, and the sentence for /ready."""
    if not inspect(session.connection()).has_table("alembic_version"):
        return SchemaState(None, False, "The database has no schema yet: run `python -m backend migrate`")
    revision = session.connection().execute(text("SELECT version_num FROM alembic_version")).scalar()
    # These two columns alone: an older schema lacks others, and is to be named, not to be tripped over.
    row = session.exec(select(Gallery.min_app_level, Gallery.key_check).where(Gallery.id == gallery_id)).first()
    if revision is None or row is None:
        return SchemaState(revision, False, "The database's schema is not complete: run `python -m backend migrate`")
    min_app_level, key_check = row
    trouble = range_trouble(revision, min_app_level) or _key_trouble(key_check, keyring)
    return SchemaState(revision, trouble is None, trouble or f"Schema {revision} fits this program")


def refuse_if_too_old(min_app_level: int) -> None:
    """Raise NotReady where the schema was contracted beyond this program: it may not write what it no longer understands.

    Readiness says so too, but not every balancer asks for that.
    """
    if (trouble := level_trouble(min_app_level)) is not None:
        raise NotReady(trouble)


def level_trouble(min_app_level: int) -> str | None:
    if min_app_level > APP_LEVEL:
        return f"The database needs a newer program (level {min_app_level}, this one has {APP_LEVEL}): upgrade this replica"
    return None


def range_trouble(revision: str, min_app_level: int) -> str | None:
    """None where a program of `APP_LEVEL` may run on `revision`."""
    known = known_revisions()
    if (trouble := level_trouble(min_app_level)) is not None:
        return trouble
    if revision in known and known.index(revision) < known.index(LOWEST_REVISION):
        return f"The database is at {revision}, this program needs {LOWEST_REVISION}: run `python -m backend migrate`"
    return None


def _key_trouble(key_check: str | None, keyring: Keyring) -> str | None:
    if key_check is None:
        return "No model and key are pinned yet: run `python -m backend migrate`"
    if key_check not in keyring.check_values:
        return "The key file is not the one that this database was encrypted with"
    return None
