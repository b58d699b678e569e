"""Which samples have no template of a model: found, made from their stored crops, and the templates of a model dropped again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement
from sqlalchemy.orm import aliased, defer
from sqlmodel import Session, col, delete, exists, func, select

from backend.store import gallery_log, index_snapshots, scrubbing
from backend.store.admission import add_template
from backend.store.forest import chunks
from backend.store.sealing import key_of, open_crop
from backend.store.tables import ModelChange, Sample, SampleState, Subject, Template

if TYPE_CHECKING:
    from backend.store.database import Store

IN_LOG = (SampleState.active, SampleState.pending)


class ChangeClosed(Exception):
    """The change of model that templates were made for is not open any more."""


@dataclass(frozen=True)
class Missing:
    sample_id: str
    state: SampleState


def page(store: Store, session: Session, model_id: str, *, after: str = "", limit: int) -> list[Missing]:
    """Samples without a template of the model, in the order of their ids. Held and refused ones too: they may be accepted."""
    query = select(Sample.id, Sample.state).where(*_lacking(store, model_id), Sample.id > after)
    rows = session.exec(query.order_by(col(Sample.id)).limit(limit)).all()
    return [Missing(sample_id, SampleState(state)) for sample_id, state in rows]


def count(store: Store, session: Session, model_id: str) -> int:
    return session.exec(select(func.count()).select_from(Sample).where(*_lacking(store, model_id))).one()


def first_since(store: Store, session: Session, model_id: str, *, in_force: str, after_seq: int) -> str | None:
    """A sample that entered the log of the model in force after that number and has no template of `model_id`, if any."""
    mine = aliased(Template)
    query = (
        select(Sample.id)
        .join(mine, col(mine.sample_id) == Sample.id)
        .where(mine.gallery_id == store.gallery_id, mine.model_id == in_force, col(mine.seq) > after_seq)
        .where(*_lacking(store, model_id))
    )
    return session.exec(query.limit(1)).first()


def _lacking(store: Store, model_id: str) -> tuple[ColumnElement[bool] | bool, ...]:
    """Whose key was destroyed has nothing that could be embedded, and nothing that is searched."""
    theirs = aliased(Template)
    has = exists().where(
        col(theirs.gallery_id) == store.gallery_id, col(theirs.sample_id) == col(Sample.id), col(theirs.model_id) == model_id
    )
    owner = aliased(Subject)
    readable = exists().where(col(owner.id) == col(Sample.subject_id), col(owner.wrapped_key).is_not(None))
    return Sample.gallery_id == store.gallery_id, ~has, readable


def crops(store: Store, session: Session, sample_ids: Collection[str]) -> dict[str, bytes]:
    """JPEG by sample, of those that are still there and have one."""
    found: dict[str, bytes] = {}
    for some in chunks(sample_ids):
        query = select(Sample, Subject).join(Subject, col(Subject.id) == Sample.subject_id).where(col(Sample.id).in_(some))
        for sample, subject in session.exec(query):
            key = key_of(store.keyring, subject)
            if key is not None and (crop := open_crop(key, sample)) is not None:
                found[sample.id] = crop
    return found


def fill(store: Store, session: Session, change_id: str, model_id: str, vectors: Mapping[str, NDArray[np.float32]]) -> int:
    """Write the templates of those samples that are still there and still lack one; how many. Raises ChangeClosed.

    In the log like any other; one of a sample that has left the log leaves it at once, and is there when it is accepted.
    """
    change = session.get(ModelChange, change_id, populate_existing=True)
    if change is None or change.closed_at is not None or model_id not in (change.from_model_id, change.to_model_id):
        raise ChangeClosed()
    at, made = store.now(session), 0
    for sample, subject in _still_lacking(store, session, model_id, sorted(vectors)):
        if (key := key_of(store.keyring, subject)) is None:
            continue
        add_template(session, sample, key, vectors[sample.id], model_id=model_id, at=at)
        if sample.state not in IN_LOG:
            query = select(Template).where(Template.sample_id == sample.id, Template.model_id == model_id)
            gallery_log.append_remove(session, session.exec(query).one(), at=at)
        made += 1
    change.filled += made
    session.flush()
    return made


def _still_lacking(store: Store, session: Session, model_id: str, sample_ids: Iterable[str]) -> Iterable[tuple[Sample, Subject]]:
    for some in chunks(sample_ids):
        query = (
            select(Sample, Subject)
            .join(Subject, col(Subject.id) == Sample.subject_id)
            .where(col(Sample.id).in_(some), *_lacking(store, model_id))
            .order_by(col(Sample.id))
            .options(defer(Sample.sealed_crop), defer(Sample.sealed_details))  # type: ignore[arg-type]
        )
        yield from session.exec(query).all()


# --- a model that was given up ------------------------------------------------------------------------------------


def given_up(store: Store, session: Session) -> Sequence[str]:
    """Models that are not the gallery's any more and of which templates are still there."""
    gallery = store.gallery(session)
    query = select(Template.model_id).where(Template.gallery_id == store.gallery_id).distinct()
    return sorted(set(session.exec(query)) - {gallery.model_id, gallery.other_model_id})


def drop_some(store: Store, session: Session, model_id: str, *, limit: int) -> int:
    """Some templates of a given-up model: out of the log and deleted; how many, 0 at the end."""
    gallery = store.gallery(session)
    if model_id in (gallery.model_id, gallery.other_model_id):
        return 0
    query: Any = (
        select(Template, Sample.state)
        .join(Sample, col(Sample.id) == Template.sample_id)
        .where(Template.gallery_id == store.gallery_id, Template.model_id == model_id)
    )
    rows = session.exec(query.order_by(col(Template.seq)).limit(limit)).all()
    at = store.now(session)
    for template, state in rows:
        if state in IN_LOG:
            gallery_log.append_remove(session, template, at=at)
    session.exec(delete(Template).where(col(Template.id).in_([template.id for template, _ in rows])))
    index_snapshots.destroy_of_model(store, session, model_id)
    scrubbing.ask(session, gallery_id=store.gallery_id, at=at)
    return len(rows)
