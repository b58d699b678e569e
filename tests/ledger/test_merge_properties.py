"""Whatever the order of enrolling, deciding, undoing and erasing: the ledger is whole, and undoing everything restores all."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from backend import wire
from backend.errors import CaseStateConflict
from backend.wire import CaseState, SubjectState, Verdict
from tests.ledger.invariants import assert_ledger_is_whole
from tests.ledger.world import CLIENT, People, World

FACES = 3
PICK = st.randoms(use_true_random=False)


class Review(RuleBasedStateMachine):
    """Few people with many looks, so that cases meet, split and join."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.world = World(Path(self.folder.name)).create()
        self.node = self.world.node()
        self.people = People()
        self.faces = self.people.strangers(FACES)
        self.enrolled: dict[str, int] = {}

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.undo_everything()
        assert_ledger_is_whole(self.world)
        self.world.close()
        self.folder.cleanup()

    @rule(which=st.integers(0, FACES - 1))
    def enrol(self, which: int) -> None:
        answer = self.node.enrol(self.people.like(self.faces[which], 0.95))
        self.enrolled[answer.subject_id] = which

    @rule(which=st.integers(0, FACES - 2))
    def enrol_somebody_between(self, which: int) -> None:
        between = (0.7071 * (self.faces[which] + self.faces[which + 1])).astype("float32")
        self.enrolled[self.node.enrol(between).subject_id] = -1

    @precondition(lambda self: self.open_cases())
    @rule(pick=PICK, verdict=st.sampled_from([Verdict.same, Verdict.same, Verdict.different, Verdict.poor_image]))
    def decide(self, pick: object, verdict: Verdict) -> None:
        case = self.node.open_case(pick.choice(self.open_cases()).id)  # type: ignore[attr-defined]
        assert case.subjects, "an open case without anybody in it"
        survivor = pick.choice([s.id for s in case.subjects])  # type: ignore[attr-defined]
        try:
            self.node.decide(case.id, verdict, survivor if verdict is Verdict.same else None)
        except CaseStateConflict as refused:
            if "different people" not in str(refused):
                raise
            return
        if verdict is Verdict.same:
            people = [self.node.subjects.get(s.id) for s in case.subjects]
            assert sum(person.state is SubjectState.active for person in people) == 1

    @precondition(lambda self: self.resolved_cases())
    @rule(pick=PICK)
    def undo(self, pick: object) -> None:
        self.try_undo(pick.choice(self.resolved_cases()).id)  # type: ignore[attr-defined]

    @precondition(lambda self: self.enrolled)
    @rule(pick=PICK)
    def erase(self, pick: object) -> None:
        victim = pick.choice(sorted(self.enrolled))  # type: ignore[attr-defined]
        gone = {victim, *self.node.subjects.get(victim).merged}
        self.node.subjects.erase(victim, caller=CLIENT)
        self.enrolled = {subject: face for subject, face in self.enrolled.items() if subject not in gone}

    @invariant()
    def the_ledger_is_whole(self) -> None:
        if hasattr(self, "world"):
            assert_ledger_is_whole(self.world)

    @invariant()
    def everybody_is_there(self) -> None:
        if hasattr(self, "world"):
            assert {subject.id for subject in self.node.subjects.list(limit=200).items} == set(self.enrolled)

    def open_cases(self) -> list[wire.CaseSummary]:
        return self.node.cases(CaseState.open)

    def resolved_cases(self) -> list[wire.CaseSummary]:
        return self.node.cases(CaseState.resolved)

    def try_undo(self, case_id: str) -> bool:
        try:
            self.node.undo(case_id)
        except CaseStateConflict:
            return False  # resolved because nobody was left in it
        return True

    def undo_everything(self) -> None:
        """Then nobody is merged, nobody is set apart, and every look of a person is found again."""
        cases: Callable[[], list[str]] = lambda: [case.id for case in self.resolved_cases()]  # noqa: E731
        while any(self.try_undo(case_id) for case_id in cases()):
            pass
        people = [self.node.subjects.get(subject_id) for subject_id in self.enrolled]
        assert all(person.state is SubjectState.active for person in people)
        assert all(person.merged == [] for person in people)
        for which in set(self.enrolled.values()) - {-1}:
            found = self.node.enrol(self.people.like(self.faces[which], 0.97)).duplicates
            looks = {subject for subject, face in self.enrolled.items() if face == which}
            assert looks <= {duplicate.subject_id for duplicate in found}


TestReviewInAnyOrder = Review.TestCase
TestReviewInAnyOrder.settings = settings(
    max_examples=8, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
