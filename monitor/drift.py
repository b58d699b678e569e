"""In what the backends of a fleet should be the same, and are not: findings as values, with a sentence each.

What differs for a moment is no drift: a threshold follows a gallery that two scrapes saw at different sizes, a version differs
while a roll goes on. So each difference has a grace, counted from when it was first seen; what it is and whose it is decide
whether it is still the same one. No network, no database, no clock.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate

from monitor import wire
from monitor.sentences import FOLLOW_TIME, Identified, behind
from monitor.wire import DriftKind

CODES = {
    DriftKind.model: "APP.DRIFT.MODEL",
    DriftKind.version: "APP.DRIFT.VERSION",
    DriftKind.threshold: "APP.DRIFT.THRESHOLD",
    DriftKind.gallery_size: "APP.DRIFT.GALLERY",
    DriftKind.gallery_seq: "APP.DRIFT.GALLERY",
    DriftKind.scores: "APP.DRIFT.SCORES",
}
# Two scrapes of the whole fleet: a difference that is only one of their moments is over by then.
SETTLE = timedelta(seconds=10)
# A threshold from a target FPIR moves by less than this while a gallery grows by a tenth.
THRESHOLD_MOVES = 0.02
# The same two photographs and the same model: what is left is the arithmetic of two processors.
SCORE_MOVES = 0.01
TOLD_FOR = timedelta(hours=1)


@dataclass(frozen=True)
class Said:
    """What one reachable backend says it is. `seqs`: its last two scrapes, oldest first; `scores`: by synthetic pair."""

    name: str
    version: str | None = None
    model_id: str | None = None
    review_threshold: float | None = None
    gallery_size: int | None = None
    seqs: Sequence[tuple[datetime, int]] = ()
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Difference:
    kind: DriftKind
    odd: tuple[str, ...]
    sentence: str


class DriftWatch:
    """Remembers since when each difference has been seen, and with which scores each backend began."""

    def __init__(self) -> None:
        self._since: dict[tuple[DriftKind, tuple[str, ...]], datetime] = {}
        # By backend, model and pair: the score it began with, and since when it has had another.
        self._first_scores: dict[tuple[str, str, str], tuple[float, datetime | None]] = {}

    def look(self, said: Sequence[Said], now: datetime, *, roll_grace_s: float) -> list[wire.DriftFinding]:
        """The differences that have outlasted their grace. Called at least every few seconds, or the grace begins anew late."""
        found = list(_differences(said)) + list(self._moved(said, now))
        self._since = {(one.kind, one.odd): self._since.get((one.kind, one.odd), now) for one in found}
        none = timedelta(0)
        graces = {DriftKind.version: timedelta(seconds=roll_grace_s), DriftKind.model: none, DriftKind.scores: none}
        return [
            wire.DriftFinding(
                kind=one.kind,
                code=CODES[one.kind],
                sentence=one.sentence,
                backends=list(one.odd),
                since=self._since[one.kind, one.odd],
            )
            for one in found
            if now - self._since[one.kind, one.odd] >= graces.get(one.kind, SETTLE)
        ]

    def _moved(self, said: Sequence[Said], now: datetime) -> Iterator[_Difference]:
        """A backend whose score of a pair is no longer what it was, under the same model; told for an hour."""
        for one in said:
            if one.model_id is None:
                continue
            for pair, score in one.scores.items():
                key = (one.name, one.model_id, pair)
                first, moved_at = self._first_scores.setdefault(key, (score, None))
                if abs(score - first) <= SCORE_MOVES:
                    self._first_scores[key] = (first, None)
                elif moved_at is not None and now - moved_at > TOLD_FOR:
                    self._first_scores[key] = (score, None)
                else:
                    self._first_scores[key] = (first, moved_at or now)
                    sentence = f"{one.name} scores the {pair} pair {score:.3f}, and {first:.3f} before, with the same model."
                    yield _Difference(DriftKind.scores, (one.name,), sentence)


def _differences(said: Sequence[Said]) -> Iterator[_Difference]:
    yield from _differs(DriftKind.model, "model", {one.name: one.model_id for one in said})
    yield from _differs(DriftKind.version, "version", {one.name: one.version for one in said})
    yield from _thresholds(said)
    yield from _sizes(said)
    yield from _lagging([Identified(one.name, one.seqs) for one in said])
    yield from _scores(said)


def _differs(kind: DriftKind, what: str, values: Mapping[str, object]) -> Iterator[_Difference]:
    """Of those that say anything: who is not with the majority is odd; without one, everybody is."""
    groups: dict[object, list[str]] = {}
    for name, value in values.items():
        if value is not None:
            groups.setdefault(value, []).append(name)
    if len(groups) < 2:
        return
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), str(item[0])))
    most = len(ordered[0][1]) > len(ordered[1][1])
    odd = [name for _, names in ordered[1 if most else 0 :] for name in names]
    parts = "; ".join(f"{_and(names)} {'has' if len(names) == 1 else 'have'} {value}" for value, names in ordered)
    yield _Difference(kind, tuple(sorted(odd)), f"The {what} differs: {parts}.")


def _thresholds(said: Sequence[Said]) -> Iterator[_Difference]:
    """Where the gallery is the same size, the threshold must be the same; else it may move a little with it."""
    known = [one for one in said if one.review_threshold is not None]
    values = {one.name: one.review_threshold for one in said if one.review_threshold is not None}
    spread = max(values.values(), default=0.0) - min(values.values(), default=0.0)
    if spread > THRESHOLD_MOVES or len({one.gallery_size for one in known}) == 1:
        yield from _differs(DriftKind.threshold, "review threshold", values)


def _sizes(said: Sequence[Said]) -> Iterator[_Difference]:
    """At the same change of the log, galleries must be of the same size: otherwise one of them holds something else."""
    at_seq: dict[int, dict[str, object]] = {}
    for one in said:
        if one.seqs and one.gallery_size is not None:
            at_seq.setdefault(one.seqs[-1][1], {})[one.name] = one.gallery_size
    for seq, sizes in sorted(at_seq.items()):
        yield from _differs(DriftKind.gallery_size, f"gallery's size at change {seq}", sizes)


def _lagging(said: Sequence[Identified]) -> Iterator[_Difference]:
    """Whose gallery lacks what another one had well before. By a sweep: comparing each with each takes long in a large fleet."""
    told = sorted((t, s) for one in said for t, s in one.seqs)
    times = [t for t, _ in told]
    furthest = list(accumulate((s for _, s in told), max))
    for one in said:
        if not one.seqs:
            continue
        at, seq = one.seqs[-1]
        before = bisect_right(times, at - FOLLOW_TIME)
        if before and furthest[before - 1] > seq:
            sentence = behind(one, said)
            if sentence is not None:
                yield _Difference(DriftKind.gallery_seq, (one.name,), sentence)


def _scores(said: Sequence[Said]) -> Iterator[_Difference]:
    """One pair of photographs, one model: one score."""
    for pair in sorted({pair for one in said for pair in one.scores}):
        for model in sorted({one.model_id for one in said if one.model_id is not None}):
            scores = {one.name: one.scores[pair] for one in said if one.model_id == model and pair in one.scores}
            if len(scores) < 2 or max(scores.values()) - min(scores.values()) <= SCORE_MOVES:
                continue
            middle = sorted(scores.values())[len(scores) // 2]
            odd = sorted(name for name, score in scores.items() if abs(score - middle) > SCORE_MOVES) or sorted(scores)
            told = ", ".join(f"{name} {score:.3f}" for name, score in sorted(scores.items()))
            yield _Difference(DriftKind.scores, tuple(odd), f"The scores of the {pair} pair differ under one model: {told}.")


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
