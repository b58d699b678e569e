"""Searches that come at once share one pass over the gallery: memory bandwidth is the limit, not arithmetic.

Who finds no search under way searches at once, alone. Those who come meanwhile wait for its end, and the first of them searches
for all. Where a pass was shared, the next one begins a moment later, or as soon as so many have come as can: those who were just
answered often ask again at once, and would otherwise be the half that always comes too late.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Generic, TypeVar, cast

Query = TypeVar("Query")
Answer = TypeVar("Answer")

LARGEST = 64
"""queries in one pass: the last of them waits for the scores of all"""
PAUSE = 0.1
"""of the time that the last shared pass took"""
LEAST_PAUSE_S = 0.0005
"""What sixteen threads take, one after another, to wake up and ask again."""


class _Asked(Generic[Query, Answer]):
    """`turn` is held until there is an answer, or this one leads: a lock, as a `threading.Event` costs ten times as much.

    `then` is who is answered next: threads that all wake up at once would only wait for the interpreter, and for each other.
    """

    __slots__ = ("answer", "error", "leads", "query", "then", "turn")

    def __init__(self, query: Query) -> None:
        self.query = query
        self.turn = threading.Lock()
        self.turn.acquire()
        self.answer: Answer | None = None
        self.error: BaseException | None = None
        self.leads = False
        self.then: _Asked[Query, Answer] | None = None


class Batcher(Generic[Query, Answer]):
    """`search` answers several queries, in their order; whatever it raises, each of those who asked gets."""

    def __init__(self, search: Callable[[Sequence[Query]], Sequence[Answer]]) -> None:
        self._search = search
        self._lock = threading.Lock()
        self._searching = False
        self._expected = 0
        self._pause_until = 0.0
        self._all_there = threading.Event()
        self._waiting: list[_Asked[Query, Answer]] = []

    def ask(self, query: Query) -> Answer:
        mine: _Asked[Query, Answer] = _Asked(query)
        with self._lock:
            self._waiting.append(mine)
            mine.leads = not self._searching
            self._searching = True
            if len(self._waiting) == self._expected:
                self._all_there.set()
        if not mine.leads:
            mine.turn.acquire()
        if mine.then is not None:
            mine.then.turn.release()
        if mine.leads:
            self._lead()
        if mine.error is not None:
            raise mine.error
        return cast(Answer, mine.answer)

    def _lead(self) -> None:
        """The first of `_waiting` is who calls this."""
        self._wait_for_those_just_answered()
        started = time.monotonic()
        with self._lock:
            batch, self._waiting = self._waiting[:LARGEST], self._waiting[LARGEST:]
        try:
            for asked, answer in zip(batch, self._search([asked.query for asked in batch]), strict=True):
                asked.answer = answer
        except BaseException as error:
            for asked in batch:
                asked.error = error
        finally:
            self._hand_over(answered=len(batch), started=started)
            for asked, then in pairwise(batch[1:]):
                asked.then = then
            for asked in batch[1:2]:
                asked.turn.release()

    def _wait_for_those_just_answered(self) -> None:
        self._all_there.clear()  # before counting: whoever comes from here on sets it again
        left_s = self._pause_until - time.monotonic()
        if left_s > 0 and len(self._waiting) < self._expected:
            self._all_there.wait(left_s)

    def _hand_over(self, *, answered: int, started: float) -> None:
        """The first of those who came meanwhile leads next; it wakes up in `ask` and sees that it has no answer yet."""
        now = time.monotonic()
        with self._lock:  # not the answered alone: a half that came too late once would stay a pass of its own
            self._expected = min(answered + len(self._waiting), LARGEST) if answered > 1 else 0
            self._pause_until = now + max(LEAST_PAUSE_S, PAUSE * (now - started))
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].turn.release()
            else:
                self._searching = False
