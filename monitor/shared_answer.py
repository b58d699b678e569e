"""One question that many ask at the same moment, answered once for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class SharedAnswer(Generic[Answer]):
    """Whoever asks while the answer is being found gets that one; whoever asks later has it found anew."""

    def __init__(self, find: Callable[[], Awaitable[Answer]]) -> None:
        self._find = find
        self._finding: asyncio.Task[Answer] | None = None

    async def answer(self) -> Answer:
        if self._finding is None or self._finding.done():
            self._finding = asyncio.ensure_future(self._found())
        # Shielded: one of them that gives up must not take the answer from the others.
        return await asyncio.shield(self._finding)

    async def _found(self) -> Answer:
        return await self._find()
