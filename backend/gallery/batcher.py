"""Searches that come at once share one pass over the gallery: memory bandwidth is the limit, not arithmetic.

Who finds no search under way searches at once, alone. Those who come meanwhile wait for its end, and the first of them searches
for all. Where a pass was shared, the next one begins a moment later: those who were just answered often ask again at once, and
would otherwise be the half that always comes too late.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

Query = TypeVar("Query")
Answer = TypeVar("Answer")

LARGEST = 64
"""queries in one pass: the last of them waits for the scores of all"""
PAUSE = 0.1
"""of the time that the last shared pass took"""


@dataclass
class _Asked(Generic[Query, Answer]):
    query: Query
    done: threading.Event = field(default_factory=threading.Event)
    answer: Answer | None = None
    error: BaseException | None = None
    leads: bool = False


class Batcher(Generic[Query, Answer]):
    """`search` answers several queries, in their order; whatever it raises, each of those who asked gets."""

    def __init__(self, search: Callable[[Sequence[Query]], Sequence[Answer]]) -> None:
        self._search = search
        self._lock = threading.Lock()
        self._searching = False
        self._pause_s = 0.0
        self._waiting: list[_Asked[Query, Answer]] = []

    def ask(self, query: Query) -> Answer:
        mine: _Asked[Query, Answer] = _Asked(query)
        with self._lock:
            self._waiting.append(mine)
            mine.leads = not self._searching
            self._searching = True
        if not mine.leads:
            mine.done.wait()
        if mine.leads:
            self._lead()
        if mine.error is not None:
            raise mine.error
        return cast(Answer, mine.answer)

    def _lead(self) -> None:
        if self._pause_s:
            time.sleep(self._pause_s)
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
            self._hand_over(pause_s=PAUSE * (time.monotonic() - started) if len(batch) > 1 else 0.0)
            for asked in batch:
                asked.done.set()

    def _hand_over(self, *, pause_s: float) -> None:
        """The first of those who came meanwhile leads next; it wakes up in `ask` and sees that it has no answer yet."""
        with self._lock:
            self._pause_s = pause_s
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].done.set()
            else:
                self._searching = False
