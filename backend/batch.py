"""Several people in one request: each photograph is judged by itself, and those who can be enrolled enter the ledger together.

What a batch spares is transactions and passes over the gallery; and its images are in inference on every core at once.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from backend import deadline, wire
from backend.enrolment import Enrolments, Idempotency, Newcomer, Result
from backend.errors import DeadlineExceeded, FaceAuthError, ModelMismatch, TooManySubjects, Unavailable
from backend.faces.capture import CapturedFace
from backend.intake import Faces
from backend.store.caller import Caller
from backend.threads import Threads

New = tuple[wire.BatchSubject, Idempotency | None]
MOST_TURNS = 5
"""Changes of the gallery's model that one batch may meet."""
LEDGER_SHARE = 0.25
"""of a request's time is kept for the ledger; whose photographs are not looked at by then are told to come again"""


@dataclass(frozen=True)
class BatchRules:
    max_subjects: int
    at_once: int
    """images in inference: no more than there are slots, so that a batch never fills the queue that others wait in"""
    deadline_s: float


class Batches:
    def __init__(
        self,
        *,
        faces: Faces,
        enrolments: Enrolments,
        threads: Threads,
        rules: BatchRules,
        look: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`look`: at which model is in force, where another one was than the faces are of."""
        self._faces, self._enrolments, self._threads, self._rules = faces, enrolments, threads, rules
        self._look = look

    async def enrol(self, people: Sequence[wire.BatchSubject], *, caller: Caller, key: str | None) -> list[Result]:
        """In order, as if each had been sent by itself. Safe to send again: who has been enrolled gets the first answer.

        Raises:
            TooManySubjects.
            Unavailable: nobody could be served now (otherwise it stands beside those who were).
        """
        if len(people) > self._rules.max_subjects:
            raise TooManySubjects(f"At most {self._rules.max_subjects} subjects in one batch: split it")
        repeats = await self._threads.parse(_repeats, people, key)
        results = await self._threads.enrolment(self._enrolments.replay_all, caller, repeats)
        new = [i for i, result in enumerate(results) if result is None]
        for i, result in zip(new, await self._enrol([(people[i], repeats[i]) for i in new], caller), strict=True):
            results[i] = result
        return _unless_all_unavailable([result for result in results if result is not None])

    async def _enrol(self, new: Sequence[New], caller: Caller) -> list[Result]:
        """Anew for those whose faces turned out to be of a model that is no longer in force."""
        results = await self._enrol_once(new, caller)
        for _ in range(MOST_TURNS):
            again = [place for place, result in enumerate(results) if isinstance(result, ModelMismatch)]
            if not again or self._look is None:
                break
            await self._look()
            for place, result in zip(again, await self._enrol_once([new[place] for place in again], caller), strict=True):
                results[place] = result
        return results

    async def _enrol_once(self, new: Sequence[New], caller: Caller) -> list[Result]:
        captured = await self._captures([person for person, _ in new])
        newcomers = [
            _newcomer(person, faces, repeat)
            for (person, repeat), faces in zip(new, captured, strict=True)
            if not isinstance(faces, FaceAuthError)
        ]
        enrolled = iter(await self._threads.enrolment(self._enrolments.enrol_all, newcomers, caller=caller) if newcomers else [])
        return [faces if isinstance(faces, FaceAuthError) else next(enrolled) for faces in captured]

    async def _captures(self, people: Sequence[wire.BatchSubject]) -> list[list[CapturedFace] | FaceAuthError]:
        slots = asyncio.Semaphore(self._rules.at_once)

        async def of(person: wire.BatchSubject) -> list[CapturedFace] | FaceAuthError:
            async with slots:
                if deadline.left_s() < LEDGER_SHARE * self._rules.deadline_s:
                    return DeadlineExceeded("This batch took too long: send this subject again, in a smaller one")
                try:
                    return await self._faces.captures(person.images, person.face)
                except FaceAuthError as error:
                    return error

        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(of(person)) for person in people]
        return [task.result() for task in running]


def _repeats(people: Sequence[wire.BatchSubject], key: str | None) -> list[Idempotency | None]:
    """Blocks for as long as hashing takes."""
    keys = [person.idempotency_key or (f"{key}\0{place}" if key else None) for place, person in enumerate(people)]
    return [Idempotency(one, _digest(person)) if one else None for one, person in zip(keys, people, strict=True)]


def _digest(person: wire.BatchSubject) -> str:
    content = person.model_dump_json(exclude={"idempotency_key"}, exclude_defaults=True)  # alike where a later release knows more
    return hashlib.sha256(f"batch\0{content}".encode()).hexdigest()


def _newcomer(person: wire.BatchSubject, faces: Sequence[CapturedFace], repeat: Idempotency | None) -> Newcomer:
    return Newcomer(
        faces=faces,
        external_id=person.external_id,
        metadata=person.metadata,
        on_duplicate=person.on_duplicate,
        retain_until=person.retain_until,
        idempotency=repeat,
    )


def _unless_all_unavailable(results: list[Result]) -> list[Result]:
    """A balancer and a simple client read the status: a 200 that helped nobody would end their trying."""
    refusals = [result for result in results if isinstance(result, Unavailable)]
    if len(refusals) == len(results):
        raise refusals[0]
    return results
