"""A gate that many searches pass at once and one change at a time: FAISS must not be changed during a search."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """A change that waits holds back new searches, so that a stream of searches cannot starve it."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._searching = 0
        self._changing = False
        self._waiting = 0

    @contextmanager
    def search(self) -> Iterator[None]:
        with self._condition:
            self._condition.wait_for(lambda: not self._changing and not self._waiting)
            self._searching += 1
        try:
            yield
        finally:
            with self._condition:
                self._searching -= 1
                self._condition.notify_all()

    @contextmanager
    def change(self) -> Iterator[None]:
        with self._condition:
            self._waiting += 1
            self._condition.wait_for(lambda: not self._changing and not self._searching)
            self._waiting -= 1
            self._changing = True
        try:
            yield
        finally:
            with self._condition:
                self._changing = False
                self._condition.notify_all()
