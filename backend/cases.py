"""A review case and whoever asks for it: finding it, holding it, giving it back. Within a transaction."""

from __future__ import annotations

from sqlmodel import Session

from backend.errors import CaseJoined, CaseNotFound, CaseStateConflict, Forbidden, LeaseHeld, LeaseLost
from backend.review_policy import may_work_on
from backend.store.caller import Caller
from backend.store.case_view import holder
from backend.store.database import Store
from backend.store.decisions import standing, waiting
from backend.store.tables import DuplicateCase
from backend.wire import CaseState


def the_case(store: Store, session: Session, case_id: str) -> DuplicateCase:
    """Raises CaseNotFound, and CaseJoined with the id of the case that lives on."""
    case = living_case(store, session, case_id)
    if case.id != case_id:
        raise CaseJoined(case.id)
    return case


def living_case(store: Store, session: Session, case_id: str) -> DuplicateCase:
    """It, or the one that it was joined into. Raises CaseNotFound."""
    case = session.get(DuplicateCase, case_id)
    if case is None or case.gallery_id != store.gallery_id:
        raise CaseNotFound()
    while case.joined_into is not None:
        case = session.get_one(DuplicateCase, case.joined_into)
    return case


def held_case(store: Store, session: Session, case_id: str, caller: Caller) -> DuplicateCase:
    """Raises LeaseLost where `caller` does not hold it, and as `the_case`."""
    case = the_case(store, session, case_id)
    if holder(case, store.now(session)) != caller.id:
        raise LeaseLost()
    return case


def must_be_free(store: Store, session: Session, case: DuplicateCase, caller: Caller) -> None:
    """Raises LeaseHeld where somebody else holds it."""
    if holder(case, store.now(session)) not in (None, caller.id):
        raise LeaseHeld()


def must_be_workable(session: Session, case: DuplicateCase, caller: Caller) -> None:
    """Raises CaseStateConflict where it is resolved, Forbidden where its round is not for `caller`."""
    state = CaseState(case.state)
    if state is CaseState.resolved:
        raise CaseStateConflict("The case is resolved: undo its decision to open it again")
    deciders = {row.actor for row in waiting(standing(session, case.id))}
    if not may_work_on(state, actor=caller.id, supervises=caller.supervises, deciders=deciders):
        raise Forbidden("This round of the case is for somebody else: a person who has not decided it, with the right role")
