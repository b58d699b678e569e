"""Before the second decision, does anything that anybody can read tell what the first was?

    python -m tests.system.blindness

One ledger with a history is made over HTTP, and copied for each run. The runs are alike but for one thing: what the first
reviewer decides, with which survivor, with a note or without. Then everybody reads everything (`crawl`), tries what is refused,
claims, gives back, takes over, takes a first decision back, and reads again; the logs, the metrics and the audit tool are read
too. All of it must be the same in every run, byte by byte, but for times and for ids and hashes made since the copy (`sameness`).
As a control the second decision follows: then the answers must differ.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from backend.wire import Verdict
from tests.system.blind_base import First, base_of
from tests.system.blind_run import play
from tests.system.crawl import Answer

LONG_NOTE = "The ears differ, and so does the left eyebrow. " * 20
FIRSTS = (
    First(Verdict.same, 0),
    First(Verdict.different, note=LONG_NOTE),
    First(Verdict.same, 1, note="Yes."),
    First(Verdict.poor_image),
    First(Verdict.twin_or_relative, note="Twins?"),
)


def differences(one: Sequence[Answer], other: Sequence[Answer]) -> list[str]:
    """Answers, in order, that are not alike; a sentence each."""
    found = []
    for a, b in zip(one, other, strict=False):
        if a.asked != b.asked:
            return [*found, f"the runs part: {a.asked} / {b.asked}"]
        if a != b:
            found.append(f"{a.asked}: {a.status} / {b.status}, {_where(a, b)}")
    if len(one) != len(other):
        found.append(f"{len(one)} answers / {len(other)}")
    return found


def _where(a: Answer, b: Answer) -> str:
    if a.body == b.body:
        return f"headers {sorted(set(a.headers) ^ set(b.headers))}"
    place = next((i for i, (x, y) in enumerate(zip(a.body, b.body, strict=False)) if x != y), min(len(a.body), len(b.body)))
    return f"…{a.body[max(0, place - 80) : place + 80]!r}… / …{b.body[max(0, place - 80) : place + 80]!r}…"


@dataclass
class Outcome:
    endpoints: int
    answers: int
    leaks: list[str] = field(default_factory=list)
    told_in_the_end: list[int] = field(default_factory=list)
    """of each run but the first: answers that differ once the second decision is in"""

    @property
    def holds(self) -> bool:
        return not self.leaks and all(self.told_in_the_end) and self.endpoints > 0


def run(folder: Path, firsts: Sequence[First] = FIRSTS, *, tell: Callable[[str], object] = lambda told: None) -> Outcome:
    """The first of `firsts` is what the others are compared with; `tell` hears how each went."""
    base = base_of(folder / "base")
    reference = play(base, firsts[0], folder / "run-0")
    tell(f"{firsts[0]}: {len(reference.before)} answers")
    outcome = Outcome(endpoints=len(reference.endpoints), answers=len(reference.before))
    for place, first in enumerate(firsts[1:], start=1):
        other = play(base, first, folder / f"run-{place}")
        found = differences(reference.before, other.before)
        outcome.answers += len(other.before)
        outcome.leaks += [f"{firsts[0]} / {first}: {one}" for one in found]
        outcome.told_in_the_end.append(len(differences(reference.after, other.after)))
        tell(
            f"{first}: {len(other.before)} answers, {len(found)} differ; after the second decision {outcome.told_in_the_end[-1]}"
        )
    return outcome


def report(outcome: Outcome) -> str:
    told = {"endpoints": outcome.endpoints, "answers": outcome.answers, "differences": len(outcome.leaks)}
    return " ".join(f"{name}={value}" for name, value in told.items())


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(Path(folder), tell=partial(print, flush=True))
    for leak in outcome.leaks[:20]:
        print(leak)
    print(report(outcome))
    return 0 if outcome.holds else 1


if __name__ == "__main__":
    sys.exit(main())
