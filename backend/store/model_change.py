"""A change of the gallery's model, in the ledger: begun, switched, rolled back, ended. Always under the ledger lock.

Between its begin and its end templates of two models are kept. Which of them judges is one column of the gallery, so a switch is
one short transaction; and it is refused unless nobody would be missing afterwards. What a later search looks through is then
whole: every sample that was there has its template, and every later one is written with it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlmodel import Session, col, select

from backend.store import gallery_log
from backend.store.audit import Audit
from backend.store.caller import SYSTEM
from backend.store.forest import chunks
from backend.store.ids import new_id
from backend.store.missing_templates import first_since
from backend.store.tables import ChangeState, ModelChange

if TYPE_CHECKING:
    from backend.store.database import Store

KNOWS_TWO_MODELS = 3
"""The least level of a program that follows one model of a log with two: an older one would count both as one."""
MAY_SWITCH = (ChangeState.filling, ChangeState.rolled_back)


class ModelChangeError(Exception):
    """A step that cannot be done now; the message says which comes first, or what to do."""


class NotComplete(ModelChangeError):
    """Somebody came meanwhile whose template of the other model is missing: make it, and try again."""

    def __init__(self) -> None:
        super().__init__("a sample has no template of the model that is to come into force")


@dataclass(frozen=True)
class Checked:
    """What was looked through before the switch, without the lock: only what is newer is looked through under it.

    `up_to_seq`: the log's head before the look. `left_behind`: samples that will have no template of the model, knowingly.
    """

    up_to_seq: int
    left_behind: Sequence[str] = ()


def current(store: Store, session: Session) -> ModelChange | None:
    """The one that is open."""
    query = select(ModelChange).where(ModelChange.gallery_id == store.gallery_id, col(ModelChange.closed_at).is_(None))
    return session.exec(query).first()


def latest(store: Store, session: Session) -> ModelChange | None:
    query = select(ModelChange).where(ModelChange.gallery_id == store.gallery_id)
    return session.exec(query.order_by(col(ModelChange.created_at).desc(), col(ModelChange.id).desc()).limit(1)).first()


def begin(store: Store, session: Session, to_model_id: str) -> ModelChange:
    """The open one where it is to that model already. Raises ModelChangeError."""
    gallery = store.gallery(session)
    change = current(store, session)
    if change is not None:
        if change.to_model_id != to_model_id:
            raise ModelChangeError(
                f"a change to {change.to_model_id} is open ({change.state}):"
                " end it with --finish, or with --roll-back and --abandon"
            )
        return change
    if gallery.model_id is None:
        raise ModelChangeError("no model is pinned yet: run `python -m backend migrate`")
    if gallery.model_id == to_model_id:
        raise ModelChangeError(f"the gallery's model is {to_model_id} already")
    now = store.now(session)
    change = ModelChange(
        id=new_id("chg"),
        gallery_id=store.gallery_id,
        from_model_id=gallery.model_id,
        to_model_id=to_model_id,
        state=ChangeState.filling,
        created_at=now,
        changed_at=now,
    )
    gallery.other_model_id = to_model_id
    gallery.min_app_level = max(gallery.min_app_level, KNOWS_TWO_MODELS)
    session.add(change)
    session.flush()
    _tell(store, session, "model.start", change)
    return change


def switch(store: Store, session: Session, change_id: str, checked: Checked) -> ModelChange:
    """The new model comes into force. Raises ModelChangeError, NotComplete."""
    change = _open(store, session, change_id, MAY_SWITCH, "it can be switched while it is filling or rolled back")
    return _swap(store, session, change, change.to_model_id, ChangeState.switched, checked, action="model.switch")


def roll_back(store: Store, session: Session, change_id: str, checked: Checked) -> ModelChange:
    """The old model comes into force again. Raises ModelChangeError, NotComplete."""
    change = _open(store, session, change_id, (ChangeState.switched,), "only what was switched is rolled back")
    return _swap(store, session, change, change.from_model_id, ChangeState.rolled_back, checked, action="model.roll_back")


def finish(store: Store, session: Session, change_id: str) -> ModelChange:
    """The old model is given up; its templates are dropped afterwards. Raises ModelChangeError."""
    change = _open(store, session, change_id, (ChangeState.switched,), "only what was switched is finished: --switch comes first")
    return _close(store, session, change, ChangeState.finished, action="model.finish")


def abandon(store: Store, session: Session, change_id: str) -> ModelChange:
    """The new model is given up; its templates are dropped afterwards. Raises ModelChangeError."""
    change = _open(store, session, change_id, MAY_SWITCH, "the new model is in force: --roll-back comes first")
    return _close(store, session, change, ChangeState.abandoned, action="model.abandon")


def _open(store: Store, session: Session, change_id: str, states: Collection[ChangeState], sentence: str) -> ModelChange:
    change = session.get(ModelChange, change_id, populate_existing=True)
    if change is None or change.gallery_id != store.gallery_id or change.state not in states:
        raise ModelChangeError(f"the change of model is {change.state if change else 'gone'}: {sentence}")
    return change


def _swap(
    store: Store, session: Session, change: ModelChange, model_id: str, state: ChangeState, checked: Checked, *, action: str
) -> ModelChange:
    gallery = store.gallery(session)
    if first_since(store, session, model_id, in_force=gallery.model_id or "", after_seq=checked.up_to_seq) is not None:
        raise NotComplete()
    gallery.model_id, gallery.other_model_id = model_id, gallery.model_id
    change.state, change.changed_at = state, store.now(session)
    change.switched_seq = gallery_log.head_seq(session, store.gallery_id)
    change.left_behind = len(checked.left_behind)
    session.flush()
    _tell(store, session, action, change, {"left_behind": len(checked.left_behind)})
    for some in chunks(checked.left_behind):
        _tell(store, session, "model.leave_behind", change, {"samples": list(some)})
    return change


def _close(store: Store, session: Session, change: ModelChange, state: ChangeState, *, action: str) -> ModelChange:
    store.gallery(session).other_model_id = None
    change.state = state
    change.changed_at = change.closed_at = store.now(session)
    session.flush()
    _tell(store, session, action, change)
    return change


def _tell(store: Store, session: Session, action: str, change: ModelChange, more: dict[str, object] | None = None) -> None:
    detail = {"from": change.from_model_id, "to": change.to_model_id, **(more or {})}
    Audit(store).append(session, SYSTEM, action, change.id, detail)
