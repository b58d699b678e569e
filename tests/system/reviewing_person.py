"""A person at the review queue, over HTTP: claims, looks, thinks, decides; sleeps in, walks away, loses answers, asks again."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from backend import wire
from backend.client import BackendClient, ProblemError, Unreachable
from backend.wire import CaseState, Verdict
from tests.system.review_log import Hold, ReviewLog, Said, Takeover

T = TypeVar("T")

HELD_AT_MOST = 2
"""Claiming a third gives back the one whose lease ends first."""
GIVE_UP_S = 60.0
NOTHING_S = 0.15
BLIND = (CaseState.open, CaseState.claimed, CaseState.second_review)
CLEAR = (Verdict.same, Verdict.different, Verdict.twin_or_relative, Verdict.poor_image)


@dataclass(frozen=True)
class Habits:
    """Shares of the cases that come to somebody."""

    think_s: float = 0.12
    looks: float = 0.7
    sees_images: float = 0.15
    beats: float = 0.25
    releases: float = 0.05
    sleeps: float = 0.03
    walks_away: float = 0.02
    repeats: float = 0.08
    undoes: float = 0.04
    takes_over: float = 0.1
    agrees: float = 0.8


@dataclass
class Person:
    """`truth`: what everybody mostly sees in a case; `lease_s`: how long a claim lasts."""

    name: str
    urls: Sequence[str]
    token: Callable[[], str]
    rng: random.Random
    log: ReviewLog
    truth: Mapping[str, tuple[Verdict, str | None]]
    lease_s: float
    habits: Habits = field(default_factory=Habits)
    ahead: bool = False
    """holds the next case already while it decides one"""
    arbiter: bool = False
    """takes what is for a supervisor, and leaves first and second reviews to the others"""
    idle: bool = False
    holds: dict[str, Hold] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"usr_{self.name}"

    def work(self, done: threading.Event) -> None:
        """Until nothing is left to do for anybody."""
        self._client = BackendClient(self.urls, token=self.token, timeout=20)
        self._other = BackendClient(list(reversed(self.urls)), token=self.token, timeout=20)
        with self._client, self._other:
            waiting: wire.Case | None = None
            while not done.is_set():
                case, waiting = waiting or self._take(), None
                if case is None:
                    self.idle = True
                    done.wait(NOTHING_S)
                    continue
                self.idle = False
                if self.ahead:
                    waiting = self._take()
                self._review(case)

    # --- claims ---------------------------------------------------------------------------------------------------

    def _take(self) -> wire.Case | None:
        if not self.arbiter:
            return self._claim(None, self._client.next_case)
        if self.rng.random() < self.habits.takes_over:
            self._take_over()
        found = self._ask(lambda: self._client.cases(state=CaseState.arbitration, limit=5))
        if found is None or not found.items:
            return None
        chosen = self.rng.choice(found.items)
        return self._claim(chosen.id, lambda: self._client.claim(chosen.id, version=chosen.version))

    def _take_over(self) -> None:
        """Whoever holds it loses it; given back at once, or soon."""
        found = self._ask(lambda: self._client.cases(state=CaseState.claimed, limit=5))
        if found is None or not found.items:
            return
        case_id = self.rng.choice(found.items).id
        sent = time.time()
        claimed = self._claim(case_id, lambda: self._client.takeover(case_id))
        self.log.takeovers.append(Takeover(self.id, case_id, sent, time.time()))
        if claimed is not None:
            self._think()
            self._release(case_id)

    def _claim(self, case_id: str | None, claim: Callable[[], wire.Case]) -> wire.Case | None:
        asked = time.time()
        held = sorted((hold for hold in self.holds.values() if hold.end > asked), key=lambda hold: hold.until)
        for surplus in held[: -(HELD_AT_MOST - 1)]:
            surplus.end_at(asked)

        def unanswered() -> None:
            self.log.unanswered_claims.append((self.id, case_id))
            for hold in self.holds.values():  # there may be one more that is not known of
                hold.end_at(time.time())

        case = self._ask(claim, unanswered=unanswered)
        if case is None:
            return None
        assert case.lease is not None
        assert case.lease.holder == self.id
        self._end(case.id, asked)
        self.holds[case.id] = Hold(self.id, case.id, asked, time.time(), case.lease.until.timestamp())
        self.log.holds.append(self.holds[case.id])
        self._judge_blindness(case)
        return case

    def _release(self, case_id: str) -> None:
        self._end(case_id)
        self._ask(lambda: self._client.release(case_id))

    def _end(self, case_id: str, at: float | None = None) -> None:
        if case_id in self.holds:
            self.holds.pop(case_id).end_at(time.time() if at is None else at)

    # --- one case -------------------------------------------------------------------------------------------------

    def _review(self, case: wire.Case) -> None:
        self._look(case)
        self._think()
        if self._chance(self.habits.beats) and not self._beat(case.id):
            return None
        fate, habits = self.rng.random(), self.habits
        if fate < habits.releases:
            return self._release(case.id)
        if fate < habits.releases + habits.walks_away:
            return None  # the claim ends by itself
        if fate < habits.releases + habits.walks_away + habits.sleeps:
            self.log.slept += 1
            time.sleep(self.lease_s + self.rng.uniform(0.2, 1.5))
        return self._decide(case)

    def _look(self, case: wire.Case) -> None:
        if self._chance(self.habits.looks):
            seen = self._ask(lambda: self._client.case(case.id))
            if seen is not None:
                self._judge_blindness(seen)
        if self._chance(self.habits.sees_images):
            for subject in case.subjects:
                sample = subject.samples[0].id
                self._ask(lambda subject=subject, sample=sample: self._client.sample_image(subject.id, sample))

    def _think(self) -> None:
        time.sleep(self.rng.uniform(0, self.habits.think_s))

    def _beat(self, case_id: str) -> bool:
        sent = time.time()
        case = self._ask(lambda: self._client.heartbeat(case_id))
        if case is None:
            self._end(case_id, sent)
            return False
        assert case.lease is not None
        if case_id in self.holds:
            self.holds[case_id].until = case.lease.until.timestamp()
        return True

    def _judge_blindness(self, case: wire.Case) -> None:
        """Before the last state nothing in force is told or applied."""
        if case.state not in BLIND:
            return
        told = [one for one in case.decisions if not one.undone and one.verdict != "undo"]
        if told or any(subject.merged_into for subject in case.subjects):
            self.log.told_early.append(f"{case.id} in {case.state}")

    # --- what is decided ------------------------------------------------------------------------------------------

    def _decide(self, case: wire.Case) -> None:
        verdict, survivor = self._verdict(case)
        self._end(case.id)

        def decide(client: BackendClient) -> wire.Case:
            return client.decide(case.id, verdict, version=case.version, survivor_id=survivor)

        answer = self._say(case.id, case.version, str(verdict), survivor, lambda: decide(self._client))
        if answer is None:
            return
        self._judge_blindness(answer)
        if self._chance(self.habits.repeats):
            self._repeat(answer, lambda: decide(self._other))
        elif self._chance(self.habits.undoes):
            self._undo(answer)

    def _undo(self, case: wire.Case) -> None:
        undo = lambda: self._client.undo(case.id, version=case.version)  # noqa: E731
        answer = self._say(case.id, case.version, "undo", None, undo)
        if answer is not None:
            self._judge_blindness(answer)

    def _verdict(self, case: wire.Case) -> tuple[Verdict, str | None]:
        if self._chance(self.habits.agrees):
            return self.truth[case.id]
        verdict = self.rng.choice(list(Verdict))
        return verdict, self.rng.choice(case.subjects).id if verdict is Verdict.same else None

    def _say(
        self, case_id: str, version: int, verdict: str, survivor: str | None, say: Callable[[], wire.Case]
    ) -> wire.Case | None:
        """Also sent again and again until it is answered: with the same version it is one and the same."""
        sent, lost = time.time(), []
        answer = self._ask(say, unanswered=lambda: lost.append(time.time()))
        answered = None if answer is None else time.time()
        self.log.lost_answers += len(lost)
        if answer is not None or lost:
            self.log.said.append(Said(self.id, case_id, version, verdict, survivor, sent, answered))
        return answer

    def _repeat(self, answer: wire.Case, decide: Callable[[], wire.Case]) -> None:
        """As if the answer had been lost: the same once more, by another replica."""
        self.log.repeated += 1
        again = self._ask(decide)
        if again is None or again.version != answer.version:
            self.log.repeated_otherwise.append((answer.id, answer.version - 1))

    # --- asking ---------------------------------------------------------------------------------------------------

    def _ask(self, do: Callable[[], T], *, unanswered: Callable[[], None] = lambda: None) -> T | None:
        """The answer, however often it takes; None where it is a refusal, which is counted."""
        until = time.monotonic() + GIVE_UP_S
        while True:
            try:
                return do()
            except Unreachable:
                unanswered()
            except ProblemError as error:
                if error.status < 500:
                    self.log.refuse(error.code)
                    return None
                unanswered()
            if time.monotonic() > until:
                self.log.refuse("never_answered")
                return None
            time.sleep(0.05)

    def _chance(self, share: float) -> bool:
        return self.rng.random() < share
