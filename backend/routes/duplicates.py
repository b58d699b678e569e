"""The review queue: cases of possible duplicates, and the people who decide them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from backend import wire
from backend.errors import (
    CaseJoined,
    CaseNotFound,
    CaseStateConflict,
    DecidedDifferent,
    LeaseHeld,
    LeaseLost,
    ModelMismatch,
    NotComparable,
    NoteRequired,
    NothingToReview,
    PersonNeeded,
    SamePerson,
    SubjectNotFound,
    SurvivorNotInCase,
    UnknownReason,
    VerdictNotOffered,
    VersionConflict,
)
from backend.openapi import refuses, takes
from backend.routes.deps import (
    ClaimBody,
    CountDecision,
    Cursor,
    DecideBody,
    IdempotencyKey,
    Limit,
    MayReadCases,
    MayReadReviewNumbers,
    Reviewer,
    Supervisor,
    TheParts,
    TogetherBody,
    UndoBody,
)
from backend.store.queue import Filters
from backend.store.review_numbers import review_numbers

router = APIRouter(prefix="/v1/duplicates", tags=["duplicates"])
IN_HAND = (PersonNeeded, CaseNotFound, CaseJoined, CaseStateConflict)
"""what work on one case may be refused with"""


@router.get("", response_model=wire.Page[wire.CaseSummary], responses=refuses())
async def list_cases(
    caller: MayReadCases,
    parts: TheParts,
    state: wire.CaseState | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
    min_score: float | None = None,
    max_score: float | None = None,
    created_from: Annotated[wire.Moment | None, Query(description="Made then or later.")] = None,
    created_until: Annotated[wire.Moment | None, Query(description="Made before then.")] = None,
    source: Literal["enrolment", "scan", "manual"] | None = None,
    band: Annotated[Literal["review", "certain"] | None, Query(description="Of the case's best pair.")] = None,
    assignee: Annotated[str | None, Query(max_length=200, description="Id of who holds the case now.")] = None,
    held: Annotated[
        bool | None, Query(description="True: waiting cases that somebody holds now; false: that nobody does.")
    ] = None,
    overdue: Annotated[bool | None, Query(description="True: past their due time; false: all others.")] = None,
    subject_id: Annotated[
        str | None, Query(max_length=200, description="Cases in which this record, or one merged into it, stands in a pair.")
    ] = None,
    order: Annotated[
        Literal["priority", "due"], Query(description="`due`: the longest overdue first, without resolved ones.")
    ] = "priority",
) -> wire.Page[wire.CaseSummary]:
    """The most pressing first."""
    asked: Filters = {
        "state": state,
        "min_score": min_score,
        "max_score": max_score,
        "created_from": created_from,
        "created_until": created_until,
        "source": source,
        "band": band,
        "assignee": assignee,
        "held": held,
        "overdue": overdue,
        "subject_id": subject_id,
    }
    return await parts.threads.ledger(parts.adjudication.list, cursor=cursor, limit=limit, order=order, **asked)


@router.post(
    "",
    response_model=wire.Case,
    status_code=201,
    responses={
        **refuses(PersonNeeded, SubjectNotFound, SamePerson, DecidedDifferent, NotComparable, ModelMismatch, CaseStateConflict),
        200: {"model": wire.Case, "description": "They are in one open case already"},
    },
    openapi_extra=takes(wire.TogetherRequest),
)
async def put_together(caller: Reviewer, body: TogetherBody, parts: TheParts, response: Response) -> wire.Case:
    """Put records before the reviewers that no search put together; nothing is merged by it."""
    case, is_new = await parts.models.asked(lambda it: it.together.ask(body.content, caller))
    response.status_code = 201 if is_new else 200
    return case


@router.get("/codes", response_model=wire.ReviewCodes, responses=refuses())
async def read_codes(caller: MayReadCases, parts: TheParts) -> wire.ReviewCodes:
    """Which verdicts and reasons are offered here."""
    return parts.codes.told()


@router.post("/next", response_model=wire.Case, responses=refuses(PersonNeeded, NothingToReview))
async def claim_next(caller: Reviewer, parts: TheParts, idempotency_key: IdempotencyKey = None) -> wire.Case:
    """Claim the most pressing case that is free, in one step."""
    return await parts.threads.ledger(parts.adjudication.next, caller, idempotency_key)


@router.get("/numbers", response_model=wire.ReviewNumbers, responses=refuses())
async def read_review_numbers(
    caller: MayReadReviewNumbers, parts: TheParts, days: Annotated[int, Query(ge=1, le=365)] = 30
) -> wire.ReviewNumbers:
    """How reviewing went of late: by reviewer, how far two agree, what was overturned."""
    return await parts.threads.ledger(review_numbers, parts.store, days=days)


@router.get("/{case_id}", response_model=wire.Case, responses=refuses(CaseNotFound, CaseJoined))
async def read_case(case_id: str, caller: MayReadCases, parts: TheParts) -> wire.Case:
    """One case with its subjects, the evidence for each pair, and how alike every two members are."""
    return await parts.threads.ledger(parts.adjudication.read, case_id, caller)


@router.post(
    "/{case_id}/claim",
    response_model=wire.Case,
    responses=refuses(*IN_HAND, LeaseHeld, VersionConflict),
    openapi_extra=takes(wire.ClaimRequest, required=False),
)
async def claim(case_id: str, caller: Reviewer, body: ClaimBody, parts: TheParts) -> wire.Case:
    """Hold the case, so that nobody else works on it meanwhile."""
    return await parts.threads.ledger(parts.adjudication.claim, case_id, body.content, caller)


@router.post("/{case_id}/heartbeat", response_model=wire.Case, responses=refuses(*IN_HAND, LeaseLost))
async def heartbeat(case_id: str, caller: Reviewer, parts: TheParts) -> wire.Case:
    """Keep holding it."""
    return await parts.threads.ledger(parts.adjudication.heartbeat, case_id, caller)


@router.post("/{case_id}/release", response_model=wire.Case, responses=refuses(*IN_HAND, LeaseLost))
async def release(case_id: str, caller: Reviewer, parts: TheParts) -> wire.Case:
    """Give it back undecided."""
    return await parts.threads.ledger(parts.adjudication.release, case_id, caller)


@router.post("/{case_id}/takeover", response_model=wire.Case, responses=refuses(*IN_HAND))
async def takeover(case_id: str, caller: Supervisor, parts: TheParts) -> wire.Case:
    """Take it from whoever holds it."""
    return await parts.threads.ledger(parts.adjudication.takeover, case_id, caller)


@router.post(
    "/{case_id}/decide",
    response_model=wire.Case,
    responses=refuses(*IN_HAND, LeaseHeld, VersionConflict, SurvivorNotInCase, VerdictNotOffered, UnknownReason, NoteRequired),
    openapi_extra=takes(wire.DecideRequest),
)
async def decide(case_id: str, caller: Reviewer, body: DecideBody, parts: TheParts, decided: CountDecision) -> wire.Case:
    """Decide it; `same` merges the others into the survivor."""
    case = await parts.threads.ledger(parts.adjudication.decide, case_id, body.content, caller)
    blind = case.state is wire.CaseState.second_review  # the number would tell what the first of two decided
    decided("adjudicate", "first_of_two" if blind else str(body.content.verdict))
    return case


@router.post(
    "/{case_id}/undo",
    response_model=wire.Case,
    responses=refuses(*IN_HAND, LeaseHeld, VersionConflict),
    openapi_extra=takes(wire.UndoRequest),
)
async def undo(case_id: str, caller: Reviewer, body: UndoBody, parts: TheParts, decided: CountDecision) -> wire.Case:
    """Take the last decision back; the case is open again."""
    case = await parts.threads.ledger(parts.adjudication.undo, case_id, body.content, caller)
    decided("adjudicate", "undo")
    return case
