"""Several people at one queue, in any order: what they may do, what must be refused, and what must hold after every step.

`python -m tests.ledger.review_machine --examples 2000 --db sqlite` prints how often each rule was taken.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from sqlmodel import col, select, update

from backend import wire
from backend.bulk import BulkReviews
from backend.errors import (
    CaseStateConflict,
    DecidedDifferent,
    FaceAuthError,
    Forbidden,
    LeaseHeld,
    LeaseLost,
    NothingToReview,
    SamePerson,
    VersionConflict,
)
from backend.faces.engine import Vector
from backend.review_policy import SecondReview
from backend.store.caller import SYSTEM, Caller
from backend.store.decisions import waiting
from backend.store.forest import roots
from backend.store.tables import Decision, DistinctPair, DuplicateCase, DuplicatePair, Subject
from backend.wire import CaseState, SubjectState, Verdict
from tests.ledger.invariants import (
    assert_each_person_is_in_one_open_case_at_most,
    assert_ledger_is_whole,
    assert_merges_are_a_forest,
    assert_no_pair_is_missed,
    assert_whoever_is_called_one_is_one,
)
from tests.ledger.world import ANNA, BERT, CLIENT, SUSI, THRESHOLDS, Node, People, World, face
from tests.postgres import PostgresServer, postgres_server

CARL = replace(ANNA, id="usr_carl", name="Carl")
STEN = replace(SUSI, id="usr_sten", name="Sten")
EVERYBODY = (ANNA, BERT, CARL, SUSI, STEN)
SUPERVISORS = {SUSI.id, STEN.id}
FACES = 3
LEAST_EACH = 50
MAY_NOT_BE_UNDONE = ("makes the same records one", "There is no decision to undo", "different people")

PICK = st.randoms(use_true_random=False)
WHO = st.sampled_from(EVERYBODY)
CLEAR = (Verdict.same, Verdict.same, Verdict.same, Verdict.different, Verdict.poor_image)
ANY = st.sampled_from([*CLEAR, *CLEAR, Verdict.twin_or_relative, Verdict.unsure, Verdict.suspected_fraud])


@dataclass(frozen=True)
class Begun:
    """What every example begins with: a few people of whom some are enrolled more than once."""

    people: People
    faces: list[Vector]
    enrolled: dict[str, int]
    """subject → which face"""


class Places:
    """Ledgers with a few people in them, each a copy of one that was filled once."""

    def __init__(self, server: PostgresServer | None) -> None:
        self._server = server
        self._folder = Path(tempfile.mkdtemp(prefix="face-auth-review-"))
        self._empty = World(self._folder / "empty", database_url=server.new_database() if server else None)
        self._empty.folder.mkdir()
        self._empty.create()
        self._begun = self._fill(self._empty.node())
        self._empty.close()
        self._made = 0

    def begun(self) -> Begun:
        return deepcopy(self._begun)

    def _fill(self, node: Node) -> Begun:
        people = People()
        faces = people.strangers(FACES)
        return Begun(people, faces, {node.enrol(people.like(faces[which], 0.95)).subject_id: which for which in (0, 0, 0, 1, 1)})

    @contextmanager
    def world(self) -> Iterator[World]:
        self._made += 1
        folder = self._folder / f"{self._made}"
        shutil.copytree(self._empty.folder, folder)
        url = self._server.new_database(template=self._empty.url.rsplit("/", 1)[1]) if self._server else None
        world = World(folder, database_url=url)
        try:
            yield world
        finally:
            world.close()
            if self._server and url:
                self._server.drop(url)
            shutil.rmtree(folder)

    def close(self) -> None:
        shutil.rmtree(self._folder)


class Queue(RuleBasedStateMachine):
    """Few people with many looks, so that cases meet, split and join; two replicas; five at the queue."""

    places: ClassVar[Places]
    taken: ClassVar[Counter[str]] = Counter()
    """how often each rule did what it is for"""
    policy: ClassVar[SecondReview] = SecondReview.all

    @initialize()
    def start(self) -> None:
        self.keeping = self.places.world()
        self.world = self.keeping.__enter__()
        self.nodes = [self.world.node(second_review=self.policy) for _ in range(2)]
        begun = self.places.begun()
        self.people, self.faces, self.enrolled = begun.people, begun.faces, begun.enrolled
        self.said: Counter[tuple[str, str]] = Counter()
        """(actor, verdict) of what was accepted; an undo is one, too"""
        self.turn = 0
        self.seen: list[wire.CaseSummary] | None = None
        self.bulks: list[str] = []
        self.pictures = 0
        self.looked_at: dict[str, int] = {}

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            assert {subject.id for subject in self.reader.subjects.list(limit=200).items} == set(self.enrolled)
            assert_no_pair_is_missed(self.reader.store, threshold=THRESHOLDS.review)
            self.undo_everything()
            assert_no_pair_is_missed(self.reader.store, threshold=THRESHOLDS.review)
            assert_ledger_is_whole(self.world)
        finally:
            self.keeping.__exit__(None, None, None)

    # --- rules ----------------------------------------------------------------------------------------------------

    @rule(which=st.integers(0, FACES - 1))
    def enrol(self, which: int) -> None:
        answer = self.node.enrol(self.people.like(self.faces[which], 0.95))
        self.enrolled[answer.subject_id] = which
        self.count("enrol")

    @rule(which=st.integers(0, FACES - 2))
    def enrol_somebody_between(self, which: int) -> None:
        between = (0.7071 * (self.faces[which] + self.faces[which + 1])).astype("float32")
        self.enrolled[self.node.enrol(between).subject_id] = -1
        self.count("enrol between")

    @precondition(lambda self: self.pictures < 3 and {*self.enrolled.values()} - {-1})  # or it would crowd out the rest
    @rule(pick=PICK)
    def add_a_picture(self, pick: Any) -> None:
        """It shows its subject, and is like people whom nothing paired with this record before."""
        subject = pick.choice(sorted(one for one, which in self.enrolled.items() if which >= 0))
        which = self.enrolled[subject]
        between = (0.7071 * (self.faces[which] + self.faces[(which + 1) % FACES])).astype("float32")
        self.node.enrolments.add_samples(subject, [face(between)], caller=CLIENT)
        self.pictures += 1
        self.count("add a picture")

    @precondition(lambda self: self.unresolved())
    @rule(pick=PICK, who=WHO)
    def claim(self, pick: Any, who: Caller) -> None:
        case = pick.choice(self.unresolved())
        refused = self.refusal(lambda: self.node.adjudication.claim(case.id, None, who), (LeaseHeld, Forbidden))
        if case.lease is not None and case.lease.holder != who.id:
            assert refused is not None, "a case was given to two people"
        if refused is None:
            assert self.node.open_case(case.id).lease.holder == who.id  # type: ignore[union-attr]
            self.count("claim")

    @rule(who=WHO)
    def claim_next(self, who: Caller) -> None:
        held = {case.id: case.lease.holder for case in self.unresolved() if case.lease is not None}
        try:
            case = self.node.adjudication.next(who)
        except NothingToReview:
            return
        assert case.id not in held, "a case that is held was given away"
        self.count("claim next")

    @precondition(lambda self: self.leases())
    @rule(pick=PICK)
    def heartbeat(self, pick: Any) -> None:
        case, holder = pick.choice(self.leases())
        until = self.node.adjudication.heartbeat(case.id, holder).lease.until  # type: ignore[union-attr]
        assert until >= case.lease.until
        self.count("heartbeat")

    @precondition(lambda self: self.leases())
    @rule(pick=PICK, who=WHO)
    def release(self, pick: Any, who: Caller) -> None:
        case, holder = pick.choice(self.leases())
        if who.id != holder.id:
            assert self.refusal(lambda: self.node.adjudication.release(case.id, who), (LeaseLost,)) is not None
        assert self.node.adjudication.release(case.id, holder).lease is None
        self.count("release")

    @precondition(lambda self: self.leases())
    @rule(pick=PICK)
    def a_claim_expires(self, pick: Any) -> None:
        case, holder = pick.choice(self.leases())
        self.expire(case.id)
        assert self.refusal(lambda: self.node.adjudication.heartbeat(case.id, holder), (LeaseLost,)) is not None
        self.count("expiry")

    @precondition(lambda self: self.unresolved())
    @rule(pick=PICK, who=WHO)
    def take_over(self, pick: Any, who: Caller) -> None:
        case = pick.choice(self.unresolved())
        refused = self.refusal(lambda: self.node.adjudication.takeover(case.id, who), (Forbidden,))
        assert refused is not None or who.id in SUPERVISORS
        if refused is None:
            self.count("takeover")

    @precondition(lambda self: self.in_state(CaseState.open))
    @rule(pick=PICK, who=WHO, verdict=ANY)
    def decide_first(self, pick: Any, who: Caller, verdict: Verdict) -> None:
        self.decide(pick, CaseState.open, who, verdict, "first decision")

    @precondition(lambda self: self.free_and_open())
    @rule(pick=PICK, verdict=st.sampled_from(CLEAR))
    def two_agree(self, pick: Any, verdict: Verdict) -> None:
        case = self.node.open_case(pick.choice(self.free_and_open()).id)
        survivor = pick.choice([subject.id for subject in case.subjects]) if verdict is Verdict.same else None
        first, second = pick.sample([who for who in EVERYBODY if who.id not in self.decided(case.id)], 2)
        refused = self.refusal(lambda: self.node.decide(case.id, verdict, survivor, first), (CaseStateConflict,))
        if refused is not None:
            assert "different people" in str(refused)
            return
        assert self.reader.open_case(case.id).state is CaseState.second_review
        self.said[first.id, str(verdict)] += 1
        refused = self.refusal(lambda: self.node.decide(case.id, verdict, survivor, second), (CaseStateConflict,))
        if refused is None:
            self.said[second.id, str(verdict)] += 1
            assert self.node.open_case(case.id).state is CaseState.resolved
            self.count("two agree")

    @precondition(lambda self: self.free_and_open())
    @rule(pick=PICK)
    def two_disagree(self, pick: Any) -> None:
        case = pick.choice(self.free_and_open())
        first, second = pick.sample([who for who in EVERYBODY if who.id not in self.decided(case.id)], 2)
        for who, verdict in zip((first, second), pick.sample((Verdict.different, Verdict.poor_image), 2), strict=True):
            self.node.decide(case.id, verdict, None, who)
            self.said[who.id, str(verdict)] += 1
        assert self.reader.open_case(case.id).state is CaseState.arbitration
        self.count("two disagree")

    @precondition(lambda self: self.in_state(CaseState.second_review))
    @rule(pick=PICK, who=WHO, verdict=ANY, agree=st.booleans())
    def decide_second(self, pick: Any, who: Caller, verdict: Verdict, agree: bool) -> None:
        self.decide(pick, CaseState.second_review, who, verdict, "second decision", agree=agree)

    @precondition(lambda self: self.in_state(CaseState.arbitration))
    @rule(pick=PICK, who=WHO, verdict=ANY)
    def arbitrate(self, pick: Any, who: Caller, verdict: Verdict) -> None:
        self.decide(pick, CaseState.arbitration, who, verdict, "arbitration")

    @precondition(lambda self: self.unresolved())
    @rule(pick=PICK, who=WHO)
    def decide_on_what_was_before(self, pick: Any, who: Caller) -> None:
        case = pick.choice(self.unresolved())
        stale = wire.DecideRequest(verdict=Verdict.unsure, version=case.version - 1) if case.version > 1 else None
        if stale is not None and not self.was_said(case.id, who, stale):
            assert self.refusal(lambda: self.node.adjudication.decide(case.id, stale, who), (VersionConflict,)) is not None
            self.count("stale version")

    @precondition(lambda self: self.in_state(CaseState.resolved))
    @rule(pick=PICK, who=WHO)
    def undo(self, pick: Any, who: Caller) -> None:
        if self.take_back(pick.choice(self.in_state(CaseState.resolved)).id, who):
            self.count("undo")

    @precondition(lambda self: self.in_state(CaseState.second_review) + self.in_state(CaseState.arbitration))
    @rule(pick=PICK, who=WHO)
    def undo_what_waits(self, pick: Any, who: Caller) -> None:
        waiting = self.in_state(CaseState.second_review) + self.in_state(CaseState.arbitration)
        if self.take_back(pick.choice(waiting).id, pick.choice((who, SUSI, STEN))):
            self.count("undo what waits")

    @precondition(lambda self: self.enrolled)
    @rule(pick=PICK)
    def erase(self, pick: Any) -> None:
        victim = pick.choice(sorted(self.enrolled))
        gone = {victim, *self.node.subjects.get(victim).merged}
        self.node.subjects.erase(victim, caller=SUSI)
        self.enrolled = {subject: face for subject, face in self.enrolled.items() if subject not in gone}
        self.count("erase")

    @precondition(lambda self: len(self.enrolled) >= 2)
    @rule(pick=PICK, who=WHO, many=st.integers(2, 3), again=st.booleans())
    def put_together(self, pick: Any, who: Caller, many: int, again: bool) -> None:
        asked = pick.sample(sorted(self.enrolled), min(many, len(self.enrolled)))
        request = wire.TogetherRequest(subject_ids=asked, override_different=again)
        merged = self.pointers()
        refused = self.refusal(lambda: self.node.together.ask(request, who), (SamePerson, DecidedDifferent, Forbidden))
        assert not (isinstance(refused, DecidedDifferent) and again)
        assert isinstance(refused, Forbidden) == (again and who.id not in SUPERVISORS)
        assert self.pointers() == merged, "somebody was merged before anybody decided it"
        if refused is None:
            case, new = self.node.together.ask(request, who)
            assert not new
            assert case.state is not CaseState.resolved
            assert {*asked} <= {subject.id for subject in case.subjects} | set(merged)
            self.count("put together")

    @precondition(lambda self: not self.bulks)  # it needs nothing else: without a bound it would crowd out the rest
    @rule(who=WHO)
    def bulk(self, who: Caller) -> None:
        """Where one may decide alone; the replicas' own policy asks for two, and so leaves all of it out."""
        stranger = self.people.stranger()
        twice = [self.node.enrol(stranger).subject_id for _ in range(2)]
        self.enrolled |= dict.fromkeys(twice, -1)
        assert self.node.bulk.preview(wire.BulkPreviewRequest(), who).items == []
        alone = BulkReviews(self.node.store, SecondReview.none)
        seen = alone.preview(wire.BulkPreviewRequest(), who)
        request = wire.BulkRequest(bulk_id=seen.bulk_id, items=seen.items)
        answer, decided = alone.decide(request, who)
        assert {result.outcome for result in answer.results} == {wire.BulkOutcome.decided}
        assert alone.decide(request, who) == (answer, 0)
        assert twice[0] in {item.survivor_id for item in seen.items}
        self.said[who.id, str(Verdict.same)] += decided
        self.bulks.append(seen.bulk_id)
        self.count("bulk")

    @precondition(lambda self: self.bulks)
    @rule(pick=PICK, who=WHO)
    def undo_bulk(self, pick: Any, who: Caller) -> None:
        bulk_id = pick.choice(self.bulks)
        answer, undone = self.node.bulk.undo(bulk_id, who)
        left = [result for result in answer.results if result.outcome is wire.UndoneOutcome.not_last]
        assert not left, "a bulk decides only what nobody had judged, so its decision is the last until it is taken back"
        self.said[who.id, "undo"] += undone
        assert self.node.bulk.undo(bulk_id, who) == (answer, 0)
        if undone:
            self.count("undo bulk")

    # --- what must hold -------------------------------------------------------------------------------------------

    @invariant()
    def merges_and_cases_are_whole(self) -> None:
        """The rest of the ledger is looked at in the end."""
        if hasattr(self, "world"):
            assert_merges_are_a_forest(self.nodes[0].store)
            assert_each_person_is_in_one_open_case_at_most(self.nodes[0].store)
            assert_whoever_is_called_one_is_one(self.nodes[0].store)

    @invariant()
    def everybody_is_there(self) -> None:
        if hasattr(self, "world"):
            with self.reader.store.read() as session:
                assert set(session.exec(select(Subject.id))) == set(self.enrolled)

    @invariant()
    def no_decision_is_lost_and_none_is_invented(self) -> None:
        if hasattr(self, "world"):
            kept = Counter((row.actor, row.verdict) for row in self.decisions() if row.actor != SYSTEM.id)
            assert kept == self.said

    @invariant()
    def nobody_holds_more_than_two(self) -> None:
        if hasattr(self, "world"):
            held = Counter(holder.id for _, holder in self.leases())
            assert max(held.values(), default=0) <= 2

    @invariant()
    def nothing_is_applied_early(self) -> None:
        """Every pointer and every "different" is of a decision that was due: agreed on by two, or arbitrated by a third."""
        if not hasattr(self, "world"):
            return
        rows = {row.id: row for row in self.decisions()}
        with self.reader.store.read() as session:
            effects = {*session.exec(select(Subject.merged_by)), *session.exec(select(DistinctPair.decision_id))} - {None}
        for decision_id in effects:
            row = rows[decision_id]  # type: ignore[index]
            assert row.applied
            assert row.undone_by is None
        for row in rows.values():
            if row.applied:
                others = [one for one in rows.values() if one.case_id == row.case_id and one.actor != row.actor]
                assert self.was_due(row, others), row

    @invariant()
    def what_waits_for_a_second_is_hidden(self) -> None:
        if not hasattr(self, "world"):
            return
        rows = {row.id: row for row in self.decisions()}
        for case in [*self.in_state(CaseState.open), *self.in_state(CaseState.second_review)]:
            if self.looked_at.get(case.id) == case.version:
                continue  # whatever is said of a case raises its version
            self.looked_at[case.id] = case.version
            for shown in self.reader.open_case(case.id).decisions:
                row = rows[shown.id]
                assert row.applied or (row.undoes is not None and rows[row.undoes].applied)

    @invariant()
    def who_differs_is_one_person_only_where_it_was_asked_again(self) -> None:
        if not hasattr(self, "world"):
            return
        with self.node.store.read() as session:
            distinct = session.exec(select(DistinctPair.a_subject_id, DistinctPair.b_subject_id)).all()
            again = session.exec(select(DuplicatePair).where(col(DuplicatePair.overrides_distinct).is_(True))).all()
            root = roots(session, {*self.enrolled})
        over = {root[pair.a_subject_id] for pair in again if root[pair.a_subject_id] == root[pair.b_subject_id]}
        assert {root[a] for a, b in distinct if root[a] == root[b]} <= over

    def was_due(self, row: Decision, others: list[Decision]) -> bool:
        if row.bulk_id is not None:
            return (row.round, row.verdict) == ("first", "same")
        if row.round == "arbitration":
            return row.actor in SUPERVISORS
        alike = [one for one in others if (one.round, one.verdict, one.survivor_id) == ("first", row.verdict, row.survivor_id)]
        return row.round == "second" and bool(alike)

    # --- doing ----------------------------------------------------------------------------------------------------

    @property
    def node(self) -> Any:
        """The replicas in turn: what one wrote the other must know. For whoever may write: what was seen is forgotten."""
        self.seen = None
        return self.reader

    @property
    def reader(self) -> Any:
        self.turn += 1
        return self.nodes[self.turn % len(self.nodes)]

    def count(self, what: str) -> None:
        type(self).taken[what] += 1

    def refusal(self, do: Callable[[], object], expected: tuple[type[FaceAuthError], ...]) -> FaceAuthError | None:
        try:
            do()
        except expected as error:
            return error
        return None

    def expire(self, case_id: str) -> None:
        with self.node.store.write() as session:
            ended = update(DuplicateCase).where(col(DuplicateCase.id) == case_id)
            session.exec(ended.values(lease_until=self.node.store.now(session)))

    def decide(self, pick: Any, state: CaseState, who: Caller, verdict: Verdict, what: str, *, agree: bool = False) -> None:
        case = self.reader.open_case(pick.choice(self.in_state(state)).id)
        assert case.subjects, "a case under review without anybody in it"
        survivor = pick.choice([subject.id for subject in case.subjects])
        if agree:
            first = self.first_of(case.id)
            verdict, survivor = Verdict(first.verdict), first.survivor_id or survivor
        request = wire.DecideRequest(
            verdict=verdict, version=case.version, survivor_id=survivor if verdict is Verdict.same else None
        )
        before = self.decided(case.id)
        who = self.mostly_fit(pick, case, who)
        refused = self.refusal(
            lambda: self.node.adjudication.decide(case.id, request, who), (LeaseHeld, Forbidden, CaseStateConflict)
        )
        if case.lease is not None and case.lease.holder != who.id:
            assert refused is not None, "a decision was taken from somebody who does not hold the case"
        if state is not CaseState.open and who.id in before:
            assert isinstance(refused, Forbidden), "somebody reviewed his own decision"
        if state is CaseState.arbitration and who.id not in SUPERVISORS:
            assert isinstance(refused, Forbidden)
        if isinstance(refused, CaseStateConflict):
            assert "different people" in str(refused)
        if refused is None:
            self.said[who.id, str(verdict)] += 1
            self.count(what)

    def mostly_fit(self, pick: Any, case: wire.Case, who: Caller) -> Caller:
        """Somebody who may decide it, three times of four: those who may not are most of all, and are refused."""
        fit = [one for one in EVERYBODY if case.lease is None or case.lease.holder == one.id]
        if case.state in (CaseState.second_review, CaseState.arbitration):
            before = self.decided(case.id)
            fit = [one for one in fit if one.id not in before]
        if case.state is CaseState.arbitration:
            fit = [one for one in fit if one.id in SUPERVISORS]
        return pick.choice(fit) if fit and pick.random() < 0.75 else who

    def take_back(self, case_id: str, who: Caller) -> bool:
        refused = self.refusal(lambda: self.node.undo(case_id, who), (CaseStateConflict, Forbidden, LeaseHeld))
        if isinstance(refused, CaseStateConflict):
            assert any(why in str(refused) for why in MAY_NOT_BE_UNDONE), refused
        if refused is None:
            self.said[who.id, "undo"] += 1
        return refused is None

    def undo_everything(self) -> None:
        """Then nobody is merged, nobody is set apart, and every look of a person is found again."""
        for case, _ in self.leases():
            self.expire(case.id)
        while any(self.undo_by_somebody(case.id) for case in self.cases() if self.of(case.id)):
            pass
        people = [self.node.subjects.get(subject_id) for subject_id in self.enrolled]
        assert all(person.state is SubjectState.active and person.merged == [] for person in people)
        for which in set(self.enrolled.values()) - {-1}:
            found = self.node.enrol(self.people.like(self.faces[which], 0.97)).duplicates
            looks = {subject for subject, face in self.enrolled.items() if face == which}
            assert looks <= {duplicate.subject_id for duplicate in found}

    def undo_by_somebody(self, case_id: str) -> bool:
        return self.take_back(case_id, SUSI) or self.take_back(case_id, STEN)

    def pointers(self) -> dict[str, str]:
        """Who is merged → into whom."""
        with self.node.store.read() as session:
            rows = session.exec(select(Subject.id, Subject.merged_into).where(col(Subject.merged_into).is_not(None))).all()
        return {loser: into for loser, into in rows if into is not None}

    # --- asking ---------------------------------------------------------------------------------------------------

    def cases(self) -> list[wire.CaseSummary]:
        """Looked up once between two writes: every precondition of every rule asks."""
        if self.seen is None:
            self.seen = list(self.reader.cases())
        return self.seen

    def in_state(self, state: CaseState) -> list[wire.CaseSummary]:
        also = {CaseState.open: {CaseState.claimed}}.get(state, set())
        return [case for case in self.cases() if case.state in {state, *also}]

    def unresolved(self) -> list[wire.CaseSummary]:
        return [case for case in self.cases() if case.state is not CaseState.resolved]

    def free_and_open(self) -> list[wire.CaseSummary]:
        """Cases of which at least two people have not said anything that stands."""
        free = [case for case in self.cases() if case.state is CaseState.open and case.lease is None]
        return [case for case in free if len(EVERYBODY) - len(self.decided(case.id)) >= 2]

    def leases(self) -> list[tuple[Any, Caller]]:
        by_id = {one.id: one for one in EVERYBODY}
        return [(case, by_id[case.lease.holder]) for case in self.cases() if case.lease is not None]

    def decisions(self) -> list[Decision]:
        with self.reader.store.read() as session:
            return list(session.exec(select(Decision).order_by(col(Decision.at), col(Decision.id))))

    def of(self, case_id: str) -> list[Decision]:
        return [row for row in self.decisions() if row.case_id == case_id and row.verdict != "undo" and row.undone_by is None]

    def decided(self, case_id: str) -> set[str]:
        """Who has judged it since it was settled last, if it ever was."""
        return {row.actor for row in waiting(self.of(case_id))}

    def first_of(self, case_id: str) -> Decision:
        return self.of(case_id)[-1]

    def was_said(self, case_id: str, who: Caller, request: wire.DecideRequest) -> bool:
        """The very same request as the last decision is answered again, not refused."""
        last = self.of(case_id)[-1:]
        return [(row.actor, row.verdict, row.version) for row in last] == [(who.id, str(request.verdict), request.version)]


def play(places: Places, *, examples: int, steps: int, derandomize: bool = False, shrink: bool = True) -> Counter[str]:
    """Raises what hypothesis found, smallest first; gives how often each rule was taken."""
    machine = type("Queue", (Queue,), {"places": places, "taken": Counter()})
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=derandomize,
        database=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink) if shrink else (Phase.explicit, Phase.generate),
    )
    run_state_machine_as_test(machine, settings=chosen)  # type: ignore[no-untyped-call]
    return machine.taken  # type: ignore[attr-defined, no-any-return]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--db", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--no-shrink", dest="shrink", action="store_false", help="the first failure as it is, at once")
    options = parser.parse_args()
    with postgres_server() if options.db == "postgresql" else nullcontext() as server:
        places = Places(server)
        try:
            taken = play(places, examples=options.examples, steps=options.steps, shrink=options.shrink)
        finally:
            places.close()
    for what, times in sorted(taken.items(), key=lambda item: -item[1]):
        print(f"{what:24} {times}")
    rules = [name for name in dir(Queue) if hasattr(getattr(Queue, name), "hypothesis_stateful_rule")]
    rare = [what for what, times in taken.items() if times < LEAST_EACH]
    print(
        f"db={options.db} examples={options.examples} steps={sum(taken.values())} rules={len(taken)} of {len(rules)} rare={rare}"
    )
    return 1 if rare or len(taken) < len(rules) else 0


if __name__ == "__main__":
    sys.exit(main())
