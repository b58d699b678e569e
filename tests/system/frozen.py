"""One of three replicas stops for half a minute while the others enrol and erase: what does it answer when it goes on?

    python -m tests.system.frozen --seconds 30 --db postgresql

It is stopped (SIGSTOP) between the two transactions of an enrolment, whose request is repeated at another replica, as a balancer
does. Requests that reach it meanwhile lie in its socket and are what it answers first when it wakes up (SIGCONT): with `min_seq`
it must answer rightly or 503, without it must at least name nobody who was erased, and who is enrolled through it must be
compared with those who came while it slept.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from backend.errors import DatabaseAway
from backend.store import gallery_log
from backend.store.database import Store
from backend.store.keyring import Keyring
from tests.api.service import Service, Site, make_site, serving
from tests.system.callers import Answers, Callers, Truth, duplicates_in, named_in, subject_of
from tests.system.crowd import enrol_strangers
from tests.system.killer import holders
from tests.system.kills import database, photographs_of
from tests.system.ledger_check import Verdict, check_ledger
from tests.system.running_fleet import ROOT, eventually

FROZEN = "frozen"
LIVING_AT_ONCE = 8
IN_STEP_WITHIN_S = 5.0
NEWCOMERS = 3
CROWD, DIMENSION = 4_000, 512
"""So long a log takes the woken replica longer to follow than its first requests take to come to their search.

That they came first is seen by those who give no `min_seq` and are answered from the older gallery: were there none of them, the
others, who stand in the same line between them, would have proved nothing.
"""
PATIENCE_S = 300.0
"""of those who ask the replica that is stopped: writing so long a log takes a busy machine a minute"""
AIM_TIMES = 20


@dataclass(frozen=True)
class Outcome:
    seconds: float
    enrolled: int
    erased: int
    answers: Answers
    missed: int
    """newcomers through the woken replica that were not found to be duplicates"""
    twice: bool
    """the enrolment that it was stopped in had two different answers"""
    in_step_s: float
    verdict: Verdict

    @property
    def holds(self) -> bool:
        answers, found = self.answers, self.verdict
        whole = not (found.acknowledged_lost or found.planted_missed or found.pairs_in_two_cases or self.missed or self.twice)
        enough = min(answers.right, answers.older, self.erased, self.enrolled, found.planted_pairs) > 0
        return whole and enough and not answers.wrong and not answers.erased_returned and self.in_step_s <= IN_STEP_WITHIN_S


def run(*, seconds: float, url: str, photographs: Sequence[Path], model_pack: Path, folder: Path) -> Outcome:
    """The whole experiment; bounded by `seconds` and about a minute around them."""
    site = make_site(
        folder, BACKEND_ENGINE="insightface", BACKEND_MODEL_PACK=str(model_pack), BACKEND_DATABASE_URL=url,
        BACKEND_ENROLMENT_LEASE_S="3", BACKEND_INFERENCE_QUEUE="128", BACKEND_LOG_LEVEL="WARNING",
    )  # fmt: skip
    with ExitStack() as stack:
        store = stack.enter_context(closing(Store.open(url, keyring=Keyring.load(folder / "master.key"))))
        awake = [stack.enter_context(serving(site, name=name)) for name in ("one", "two")]
        frozen = stack.enter_context(serving(site, name=FROZEN))
        frozen.http.timeout = httpx.Timeout(PATIENCE_S)
        pool = stack.enter_context(ThreadPoolExecutor(4 * len(photographs)))
        return _Experiment(site, store, awake, frozen, photographs, pool).run(seconds)


class _Experiment:
    def __init__(
        self, site: Site, store: Store, awake: Sequence[Service], frozen: Service, photographs: Sequence[Path],
        pool: ThreadPoolExecutor,
    ) -> None:  # fmt: skip
        self._site, self._store, self._awake, self._frozen, self._pool = site, store, awake, frozen, pool
        self._everybody = list(photographs)
        self._known, *self._others = photographs
        self._callers, self._truth = Callers(site.key("client", "admin")), Truth()
        self._answers = Answers(self._truth)

    def run(self, seconds: float) -> Outcome:
        truth, callers = self._truth, self._callers
        truth.living[self._known] = subject_of(callers.enrol(self._frozen, self._known, "known"))
        with self._stopped() as (name, interrupted):
            until = time.monotonic() + seconds
            repeated = subject_of(callers.enrol(self._awake[0], self._known, name))
            enrol_strangers(self._store, CROWD, dimension=DIMENSION, seed=1)
            while time.monotonic() < until or truth.enrolled < 2 * LIVING_AT_ONCE:
                self._change()
            latest = list(truth.living)[-NEWCOMERS:]
            enrolling = [self._pool.submit(callers.enrol, self._frozen, path, f"again {i}") for i, path in enumerate(latest)]
            asked = self._ask()
            time.sleep(0.5)  # until they lie in its socket; those that do not are answered all the same
        in_step = self._pool.submit(self._until_in_step, time.monotonic())
        for one in asked:
            one.result()
        again = [one.result() for one in enrolling]
        in_step_s = in_step.result()
        self._examine_in_step()
        first = interrupted.result()
        promised = [*truth.living.items(), (self._known, repeated), *zip(latest, map(subject_of, again), strict=True)]
        return Outcome(
            seconds=seconds,
            enrolled=truth.enrolled,
            erased=len(truth.gone),
            answers=self._answers,
            missed=sum(truth.living[path] not in duplicates_in(answer) for path, answer in zip(latest, again, strict=True)),
            twice=first.status_code == 201 and subject_of(first) != repeated,
            in_step_s=in_step_s,
            verdict=self._verdict({subject: self._everybody.index(path) for path, subject in promised}),
        )

    def _verdict(self, acknowledged: Mapping[str, int]) -> Verdict:
        url = self._site.settings["BACKEND_DATABASE_URL"]
        return check_ledger(url, self._site.folder / "master.key", acknowledged)

    # --- stopping -------------------------------------------------------------------------------------------------

    @contextmanager
    def _stopped(self) -> Iterator[tuple[str, Future[httpx.Response]]]:
        """The replica stopped between the transactions of an enrolment: that one's idempotency key and its answer to come."""
        process = self._frozen.process
        try:
            tries = (self._stopped_once(f"interrupted {i}") for i in range(AIM_TIMES))
            found = next((one for one in tries if one is not None), None)
            assert found is not None, f"not once in {AIM_TIMES} times was it caught between the two transactions"
            yield found
        finally:
            process.send_signal(signal.SIGCONT)

    def _stopped_once(self, name: str) -> tuple[str, Future[httpx.Response]] | None:
        """None where the moment was missed, or the replica was caught with the ledger lock: then nobody else could write."""
        asked = self._pool.submit(self._callers.enrol, self._frozen, self._known, name)
        while not asked.done():
            if FROZEN in holders(self._store):
                self._frozen.process.send_signal(signal.SIGSTOP)
                if FROZEN in holders(self._store) and self._lock_is_free():
                    return name, asked
                self._frozen.process.send_signal(signal.SIGCONT)
                break
        self._erase(subject_of(asked.result()))
        return None

    def _lock_is_free(self) -> bool:
        try:
            with self._store.write():
                return True
        except DatabaseAway:
            return False

    # --- meanwhile ------------------------------------------------------------------------------------------------

    def _change(self) -> None:
        """One more enrolled, in turn; from a number on one erased for each. Each by another replica than the last."""
        truth = self._truth
        if len(truth.living) > LIVING_AT_ONCE:
            self._erase(truth.living.pop(next(path for path in truth.living if path != self._known)))
        path, service = self._others[truth.enrolled % len(self._others)], self._awake[truth.enrolled % len(self._awake)]
        truth.living[path] = subject_of(self._callers.enrol(service, path, f"turn {truth.enrolled}"))
        truth.enrolled += 1

    def _erase(self, subject: str) -> None:
        self._callers.erase(self._awake[0], subject)
        self._truth.gone.add(subject)

    def _ask(self) -> list[Future[None]]:
        """Every photograph, with the present `min_seq` and without, asked in turn of the replica that is stopped."""
        head = self._answers.head = self._head()
        return [self._pool.submit(self._examine, path, min_seq) for path in self._everybody for min_seq in (head, None)]

    def _examine(self, path: Path, min_seq: int | None) -> None:
        self._answers.judge(self._callers.identify(self._frozen, path, min_seq), path, min_seq)

    def _head(self) -> int:
        """The log's last number."""
        with self._store.read() as session:
            return gallery_log.head_seq(session, self._store.gallery_id)

    # --- afterwards -----------------------------------------------------------------------------------------------

    def _until_in_step(self, woken: float) -> float:
        """Seconds from its waking up until it says that it has followed the log to its end, and is ready."""

        def in_step() -> bool:
            told = self._frozen.get("/v1/fleet/self", self._callers.key).json()
            return told["lag_s"] == 0.0 and told["seq"] == self._head() and self._frozen.get("/ready").status_code == 200

        eventually(in_step, within_s=60, every_s=0.05)
        return time.monotonic() - woken

    def _examine_in_step(self) -> None:
        """Then it names everybody who lives also to those who give no `min_seq`."""
        for path, subject in self._truth.living.items():
            if subject not in named_in(self._callers.identify(self._frozen, path)):
                self._answers.wrong.append(f"{path.parent.name}: in step, and not found")


def report(outcome: Outcome) -> str:
    answers, found = outcome.answers, outcome.verdict
    figures = {
        "frozen_s": f"{outcome.seconds:g}",
        "enrolled": outcome.enrolled,
        "erased": outcome.erased,
        "answered_right": answers.right,
        "answered_behind": answers.behind,
        "without_min_seq_older": answers.older,
        "wrong": len(answers.wrong),
        "erased_returned": answers.erased_returned,
        "duplicates_missed": outcome.missed,
        "concluded_twice": int(outcome.twice),
        "in_step_s": f"{outcome.in_step_s:.2f}",
        "planted_pairs": found.planted_pairs,
        "acknowledged_lost": found.acknowledged_lost,
        "planted_missed": found.planted_missed,
        "pairs_in_two_cases": found.pairs_in_two_cases,
    }
    return " ".join(f"{name}={value}" for name, value in figures.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--db", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--testdata", type=Path, default=ROOT.parent / "shared" / "testdata")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, database(options.db, Path(folder)) as url:
        outcome = run(
            seconds=options.seconds, url=url, photographs=photographs_of(options.testdata, "reject"),
            model_pack=options.testdata / "models" / "test_mbf", folder=Path(folder) / "site",
        )  # fmt: skip
    for wrong in outcome.answers.wrong[:10]:
        print(wrong)
    print(f"db={options.db} {report(outcome)}")
    return 0 if outcome.holds else 1


if __name__ == "__main__":
    sys.exit(main())
