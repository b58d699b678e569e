"""The reviewer's desk: the one case that is open in this session, and what was done last.

Knows nothing of Streamlit: callbacks of the page call it, the page draws what it holds. Whatever the backend refuses
becomes a sentence, and after a conflict the case is read again, so that what is shown is what is so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from backend import wire
from backend.client import BackendClient
from dashboard import failures

Tone = Literal["good", "warn", "bad"]
Abreast = Callable[[Sequence[Callable[[], object]]], None]
"""does all of some calls, at the same time or one after the other"""
IN_STRIP = 12
"""members of a cluster whose faces are fetched; each look is audited, and a cluster may be large"""
WORDS = {
    wire.Verdict.same: "Same person",
    wire.Verdict.different: "Different people",
    wire.Verdict.twin_or_relative: "Twin or relative",
    wire.Verdict.poor_image: "Poor image",
    wire.Verdict.suspected_fraud: "Suspected fraud",
    wire.Verdict.unsure: "Unsure",
}


@dataclass(frozen=True)
class Said:
    tone: Tone
    text: str


@dataclass(frozen=True)
class Done:
    """The last decision of this session, for its undo."""

    case_id: str
    version: int
    verdict: wire.Verdict


@dataclass
class Desk:
    case: wire.Case | None = None
    crops: dict[str, bytes | str] = field(default_factory=dict)
    """Face crops of the open case by sample, or the sentence why there is none."""
    matrix: list[wire.MatrixEntry] = field(default_factory=list)
    """How alike every two of a cluster are; empty for two records."""
    pair: int = 0
    survivor_id: str | None = None
    reason: str | None = None
    """One of the site's own codes, for the decision that comes."""
    said: Said | None = None
    done: Done | None = None
    held_id: str | None = None
    """The case that this session claimed and has neither decided nor given back."""
    beaten_at: float = 0.0

    # --- which case is open -----------------------------------------------------------------------------------------

    def next(self, backend: BackendClient) -> None:
        """Claim the most pressing case, then give back one that was left undecided; an empty queue closes the desk."""
        before, held = self.said, self.held_id
        try:
            case = backend.next_case()
        except failures.FAILURES as error:
            if failures.code(error) != "nothing_to_review":
                self.said = Said("bad", failures.sentence(error))
            elif held is not None:
                self.said = Said("warn", "No other case is waiting.")
            else:
                self.close()
                self.said = Said(
                    "good", f"{before.text} No case is waiting for you." if before else "No case is waiting for you."
                )
            return
        if held != case.id:
            self._give_back(backend)
        self._claimed(case)

    def open(self, backend: BackendClient, case_id: str) -> None:
        """Show a case, and claim it where it can be claimed."""
        self.said = None
        self._give_back(backend)
        self._attempt(lambda: self._show(backend.case(case_id)), backend)
        if self.case is not None and self.case.id == case_id and claimable(self.case):
            self.claim(backend)

    def claim(self, backend: BackendClient) -> None:
        case = self._open_case()
        self._attempt(lambda: self._claimed(backend.claim(case.id, version=case.version)), backend)

    def take_over(self, backend: BackendClient) -> None:
        case = self._open_case()
        self._attempt(lambda: self._claimed(backend.takeover(case.id)), backend)

    def back(self, backend: BackendClient) -> None:
        """To the queue; a case that was claimed and not decided goes back into it, for whoever comes next."""
        self.said = None
        held = self.held_id
        self._give_back(backend)
        self.close()
        if held is not None and self.said is None:
            self.said = Said("good", "The case is back in the queue.")

    def heartbeat(self, backend: BackendClient, now: float, *, every_s: float) -> bool:
        """Keep the claim, at most once per `every_s`; False when something has to be said."""
        case = self.case
        if case is None or case.id != self.held_id or now - self.beaten_at < every_s:
            return True
        self.beaten_at = now
        if self._attempt(lambda: self._refresh(backend.heartbeat(case.id)), backend):
            return True
        self.held_id = None
        return False

    def close(self) -> None:
        self.case, self.crops, self.matrix, self.pair, self.survivor_id, self.reason = None, {}, [], 0, None, None

    # --- deciding ---------------------------------------------------------------------------------------------------

    def decide(self, backend: BackendClient, verdict: wire.Verdict, note: str | None) -> None:
        """Decide the open case, and open the next one at once.

        The next one is claimed when the decision is accepted and not before: a case that is held ahead while its reviewer thinks
        is kept from colleagues, and looking at its faces would write looks into the audit trail that nobody had. What it
        costs is one more call between the key and the next case, which `make bench-review` measures; its faces are then fetched
        all at once, in `look`.
        """
        case = self._open_case()
        survivor = self.survivor_id if verdict is wire.Verdict.same else None

        def send() -> None:
            after = backend.decide(
                case.id, verdict, version=case.version, survivor_id=survivor, note=note or None, reason=self.reason
            )
            self.done, self.held_id = Done(after.id, after.version, verdict), None
            self.said = Said("good", _decided(after, verdict))

        if self._attempt(send, backend):
            self.close()
            self.next(backend)

    def undo(self, backend: BackendClient) -> None:
        """Take the session's last decision back and show its case again."""
        if self.done is None:
            self.said = Said("warn", "There is nothing to undo in this session.")
            return
        done = self.done
        self._give_back(backend)
        if self._attempt(lambda: self._undone(backend, done.case_id, done.version), backend):
            self.done = None

    def undo_open(self, backend: BackendClient) -> None:
        """Take back the decision on the case that is open."""
        case = self._open_case()
        self._attempt(lambda: self._undone(backend, case.id, case.version), backend)

    def keep(self, subject_id: str) -> None:
        """Choose who remains when the case is decided as one person."""
        self.survivor_id = subject_id

    def because(self, reason: str) -> None:
        """Choose a reason; the same once more chooses none."""
        self.reason = None if self.reason == reason else reason

    def turn(self, step: int) -> None:
        """Show another pair of a cluster."""
        case = self._open_case()
        self.pair = (self.pair + step) % max(1, len(case.pairs))

    # --- faces ------------------------------------------------------------------------------------------------------

    def look(self, backend: BackendClient, abreast: Abreast) -> None:
        """Fetch what the screen needs of the open case: the faces of the pair and of a cluster's members, and their matrix.

        All at once, and each once: every look at a face is audited.
        """
        case = self._open_case()
        wanted = [side for side in self._shown(case) if side.sample_id not in self.crops]
        calls: list[Callable[[], object]] = [partial(self._fetch, backend, side) for side in wanted]
        if len(case.subjects) > 2 and not self.matrix:
            calls.append(partial(self._compare, backend, case.id))
        if calls:
            abreast(calls)

    def _shown(self, case: wire.Case) -> list[wire.CaseSide]:
        """The pair, and of a cluster each member's portrait."""
        shown = sides(case, self.pair)
        if len(case.subjects) > 2:
            shown += [side for subject in by_age(case)[:IN_STRIP] if (side := portrait(case, subject)) is not None]
        return list({side.sample_id: side for side in shown}.values())

    def _fetch(self, backend: BackendClient, side: wire.CaseSide) -> None:
        try:
            self.crops[side.sample_id] = backend.sample_image(side.subject_id, side.sample_id)
        except failures.FAILURES as error:
            self.crops[side.sample_id] = failures.sentence(error)

    def _compare(self, backend: BackendClient, case_id: str) -> None:
        with suppress(*failures.FAILURES):  # without it the cluster is still shown, pair by pair
            self.matrix = backend.case(case_id).matrix or []

    # --- inside -----------------------------------------------------------------------------------------------------

    def _open_case(self) -> wire.Case:
        if self.case is None:
            raise RuntimeError("no case is open")
        return self.case

    def _show(self, case: wire.Case) -> None:
        self.close()
        self.case = case
        self.pair = max(range(len(case.pairs)), key=lambda place: case.pairs[place].score, default=0)
        self.survivor_id = oldest(case).id if case.subjects else None

    def _claimed(self, case: wire.Case) -> None:
        self._show(case)
        self.held_id = case.id

    def _give_back(self, backend: BackendClient) -> None:
        """Release what is held. A refusal is not said: the claim then ends by itself within minutes."""
        held, self.held_id = self.held_id, None
        if held is not None:
            with suppress(*failures.FAILURES):
                backend.release(held)

    def _refresh(self, case: wire.Case) -> None:
        """Newer data on the same case: what the reviewer chose stays."""
        self.case = case
        if self.pair >= len(case.pairs):
            self.pair = 0

    def _undone(self, backend: BackendClient, case_id: str, version: int) -> None:
        self._show(backend.undo(case_id, version=version))
        self.said = Said("good", "Undone: the case is open again.")
        if self.case is not None and claimable(self.case):
            self._refresh(backend.claim(case_id, version=self.case.version))
            self.held_id = case_id

    def _attempt(self, act: Callable[[], object], backend: BackendClient) -> bool:
        """Do it; a refusal is said, and after a conflict the open case is read again."""
        try:
            act()
        except failures.FAILURES as error:
            self.said = Said("warn" if failures.is_conflict(error) else "bad", failures.sentence(error))
            if failures.is_conflict(error) and self.case is not None:
                self._read_again(backend, self.case.id)
            return False
        return True

    def _read_again(self, backend: BackendClient, case_id: str) -> None:
        try:
            self._refresh(backend.case(case_id))
        except failures.FAILURES as error:
            told = self.said.text if self.said else ""
            self.close()
            self.said = Said("warn", f"{told} {failures.sentence(error)}".strip())


def claimable(case: wire.Case) -> bool:
    return case.lease is None and case.state in (wire.CaseState.open, wire.CaseState.second_review, wire.CaseState.arbitration)


def decidable(case: wire.Case, person_id: str) -> bool:
    """Whether this person may decide it as it is shown: it is open, and nobody else holds it."""
    return case.state is not wire.CaseState.resolved and (case.lease is None or case.lease.holder == person_id)


def by_age(case: wire.Case) -> list[wire.Subject]:
    """The oldest record first."""
    return sorted(case.subjects, key=lambda subject: (subject.created_at, subject.id))


def oldest(case: wire.Case) -> wire.Subject:
    return by_age(case)[0]


def portrait(case: wire.Case, subject: wire.Subject) -> wire.CaseSide | None:
    """The picture that stands for a member: that of its best pair, else its first."""
    for pair in case.pairs:
        for side in (pair.a, pair.b):
            if side.subject_id == subject.id:
                return side
    pictured = next((sample for sample in subject.samples if sample.image is not None), None)
    return None if pictured is None else wire.CaseSide(subject_id=subject.id, sample_id=pictured.id)


def sample_of(case: wire.Case, side: wire.CaseSide) -> wire.Sample | None:
    """None: erased since, or refused."""
    subject = next((subject for subject in case.subjects if subject.id == side.subject_id), None)
    return next((sample for sample in subject.samples if sample.id == side.sample_id), None) if subject else None


def sides(case: wire.Case, pair: int) -> list[wire.CaseSide]:
    """The two sides on the screen, the older subject left."""
    if not case.pairs:
        return []
    shown = case.pairs[pair]
    order = {subject.id: place for place, subject in enumerate(by_age(case))}
    return sorted((shown.a, shown.b), key=lambda side: order.get(side.subject_id, len(order)))


def _decided(after: wire.Case, verdict: wire.Verdict) -> str:
    word = WORDS[verdict]
    if after.state is wire.CaseState.second_review:
        return f"Decided: {word}. A second reviewer decides too before anything is applied."
    if after.state is wire.CaseState.arbitration:
        return f"Decided: {word}. A supervisor settles this case."
    return f"Decided: {word}."
