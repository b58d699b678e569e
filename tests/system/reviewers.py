"""Eight reviewers, three replicas, `kill -9`: does a case ever belong to two people, is a decision ever lost?

    python -m tests.system.reviewers --cases 500 --db postgresql --seed 7

The queue is planted before the servers start (`planted_queue`: real enrolments, chosen vectors). Half of the cases are certain,
and so are judged twice, blind. Six reviewers and two supervisors sign in, claim, look, think and decide by a client that goes
from replica to replica; some hold a case ahead, some sleep past their claim and decide then, some walk away, some send a
decision again as if its answer had been lost, some take one back, and a supervisor takes cases over. A replica is killed again
and again, at random. In the end what each wrote down about what she was told is compared with the ledger, with the rules
(`review_replay`) and with the audit trail, whose chain is verified.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from backend import wire
from backend.client import BackendClient
from backend.store import audit_chain
from backend.store.database import Store
from backend.store.keyring import Keyring
from backend.wire import CaseState, Verdict
from tests.api.service import Site, free_port, make_site
from tests.system.killer import Replica
from tests.system.kills import database
from tests.system.planted_queue import PlantedCase, plant
from tests.system.review_check import Found, check, read_rows
from tests.system.review_log import ReviewLog, claimed_twice, decided_over_somebody
from tests.system.reviewing_person import CLEAR, Person
from tests.system.running_fleet import eventually

REPLICAS = 3
REVIEWERS, SUPERVISORS = ("ada", "bea", "cyd", "dot", "eve", "fay"), ("gus", "hal")
AHEAD = ("bea", "dot")
LEASE_S = 6.0
SEALED_WITHIN_S = 60.0
KILLED_BETWEEN = (0.02, 0.85)
"""shares of the cases that are resolved when a replica is killed"""


@dataclass(frozen=True)
class Plan:
    cases: int
    seed: int
    folder: Path
    kills: int
    limit_s: float = 900


@dataclass(frozen=True)
class Outcome:
    plan: Plan
    kills: int
    unresolved: int
    log: ReviewLog
    found: Found
    chain: str
    held_by_two: Sequence[str]
    decided_over: Sequence[str]
    seconds: float

    @property
    def holds(self) -> bool:
        found, log = self.found, self.log
        wrong = [*self.held_by_two, *self.decided_over, *found.lost, *found.invented, *found.wrong_actor]
        wrong += [*found.against_the_rules, *log.told_early]
        whole = not wrong and not self.unresolved and self.chain == "verified" and "never_answered" not in log.refused
        return whole and self.kills == self.plan.kills and found.decisions >= self.plan.cases

    def complaints(self) -> Iterator[str]:
        found = self.found
        for name, wrong in {
            "held by two": self.held_by_two,
            "decided over somebody": self.decided_over,
            "lost": found.lost,
            "invented": found.invented,
            "wrong actor": found.wrong_actor,
            "against the rules": found.against_the_rules,
            "told early": self.log.told_early,
        }.items():
            yield from (f"{name}: {one}" for one in wrong[:5])


@dataclass
class Queue:
    """The planted cases, the replicas over them, and the people who review them."""

    plan: Plan
    site: Site
    planted: Sequence[PlantedCase]
    log: ReviewLog = field(default_factory=ReviewLog)

    def __post_init__(self) -> None:
        settings = {
            "BACKEND_CASE_LEASE_S": f"{LEASE_S:g}",
            "BACKEND_SECOND_REVIEW": "certain",
            "BACKEND_DRAIN_S": "0",
            "BACKEND_LOG_LEVEL": "WARNING",
        }
        self.replicas = [
            Replica(f"r{place}", free_port(), self.site.environment(**settings), self.plan.folder / f"r{place}.log")
            for place in range(REPLICAS)
        ]
        self.people = [self._person(name, place) for place, name in enumerate((*REVIEWERS, *SUPERVISORS))]

    @property
    def url(self) -> str:
        return self.site.environment()["BACKEND_DATABASE_URL"]

    @property
    def key_file(self) -> Path:
        return self.site.folder / "master.key"

    def client(self, person: Person) -> BackendClient:
        return BackendClient([replica.url for replica in self.replicas], token=person.token)

    def _person(self, name: str, place: int) -> Person:
        role = "supervisor" if name in SUPERVISORS else "reviewer"
        urls = [replica.url for replica in self.replicas]
        return Person(
            name=name,
            urls=urls[place % REPLICAS :] + urls[: place % REPLICAS],
            token=partial(self.site.dashboard.token, role, name=name),
            rng=random.Random(self.plan.seed * 1000 + place),
            log=self.log,
            truth=_truth(self.planted, self.plan.seed),
            lease_s=LEASE_S,
            ahead=name in AHEAD,
            arbiter=name == SUPERVISORS[-1],
        )


def _truth(planted: Sequence[PlantedCase], seed: int) -> Mapping[str, tuple[Verdict, str | None]]:
    """What most see in each case, in the order of planting: ids are new in every run."""
    rng = random.Random(seed)
    seen = rng.choices(CLEAR, weights=(45, 35, 10, 10), k=len(planted))
    return {case.id: (one, case.older if one is Verdict.same else None) for case, one in zip(planted, seen, strict=True)}


def run(plan: Plan, url: str) -> Outcome:
    """Play it on the empty database at `url`; bounded by `limit_s` from the first claim on."""
    site = make_site(plan.folder / "site", BACKEND_DATABASE_URL=url)
    planted = plant(url, site.folder / "master.key", cases=plan.cases, seed=plan.seed)
    queue = Queue(plan, site, planted)
    with _running(queue.replicas):
        started = time.monotonic()
        unresolved = _clear(queue, until=started + plan.limit_s)
        seconds = time.monotonic() - started
        eventually(lambda: any(replica.ready() for replica in queue.replicas), within_s=90)
        histories = _histories(queue)
        _until_sealed(queue)
    queue.log.end_what_was_taken_over()
    supervisors = {person.id for person in queue.people if person.name in SUPERVISORS}
    found = check(read_rows(queue.url, queue.key_file), queue.log, planted, histories=histories, supervisors=supervisors)
    return Outcome(
        plan=plan,
        kills=sum(replica.kills for replica in queue.replicas),
        unresolved=unresolved,
        log=queue.log,
        found=found,
        chain=_chain(site),
        held_by_two=claimed_twice(queue.log.holds),
        decided_over=decided_over_somebody(queue.log.holds, queue.log.said),
        seconds=seconds,
    )


@contextmanager
def _running(replicas: Sequence[Replica]) -> Iterator[None]:
    try:
        for replica in replicas:
            replica.start()
        for replica in replicas:
            eventually(replica.ready, within_s=120)
        yield
    finally:
        for replica in replicas:
            replica.stop()


def _clear(queue: Queue, *, until: float) -> int:
    """Cases that are left: 0 unless the time was up."""
    done, rng, plan = threading.Event(), random.Random(queue.plan.seed), queue.plan
    kills = sorted(plan.cases * rng.uniform(*KILLED_BETWEEN) for _ in range(plan.kills))
    with queue.client(queue.people[-1]) as watcher, ThreadPoolExecutor(len(queue.people)) as pool:
        work = [pool.submit(person.work, done) for person in queue.people]
        try:
            left = plan.cases
            while time.monotonic() < until and not _any_failed(work):
                left = _unresolved(watcher)
                if kills and plan.cases - left >= kills[0] and _kill_one(queue.replicas, rng):
                    kills.pop(0)
                if left == 0 and all(person.idle for person in queue.people):
                    break
                time.sleep(0.1)
        finally:
            done.set()
        for part in work:
            part.result()
        return left


def _any_failed(work: Sequence[Future[None]]) -> bool:
    return any(part.done() and part.exception() for part in work)


def _unresolved(watcher: BackendClient) -> int:
    counts = watcher.stats().cases
    return sum(count for state, count in counts.items() if state is not CaseState.resolved)


def _kill_one(replicas: Sequence[Replica], rng: random.Random) -> bool:
    """A ready one while another is ready too, at a random moment; started again at once."""
    ready = [replica for replica in replicas if replica.ready()]
    if len(ready) < 2:
        return False
    time.sleep(rng.uniform(0.0, 0.4))
    victim = rng.choice(ready)
    victim.kill()
    victim.start()
    return True


def _histories(queue: Queue) -> dict[str, wire.Case]:
    with queue.client(queue.people[-1]) as client:
        return {case.id: client.case(case.id) for case in queue.planted}


def _until_sealed(queue: Queue) -> None:
    with closing(Store.open(queue.url, keyring=Keyring.load(queue.key_file))) as store:
        eventually(lambda: audit_chain.head(store).waiting == 0, within_s=SEALED_WITHIN_S)


def _chain(site: Site) -> str:
    done = site.command("audit", "verify", "--json")
    if done.returncode != 0 or json.loads(done.stdout)["waiting"]:
        return "broken"
    return "verified"


def report(outcome: Outcome) -> str:
    """Two lines: what happened on the way, and what is promised."""
    found, log = outcome.found, outcome.log
    on_the_way = {
        "seed": outcome.plan.seed,
        "seconds": f"{outcome.seconds:.0f}",
        "claims": len(log.holds),
        "claims_unanswered": len(log.unanswered_claims),
        "answers_lost": log.lost_answers,
        "sent_again": log.repeated,
        "undone": found.undone,
        "takeovers": len(log.takeovers),
        "slept": log.slept,
        "refused": ",".join(f"{code}:{count}" for code, count in sorted(log.refused.items())),
        "unresolved": outcome.unresolved,
        "decided_over_somebody": len(outcome.decided_over),
        "invented": len(found.invented),
        "told_early": len(log.told_early),
        "against_the_rules": len(found.against_the_rules),
    }
    promised = {
        "cases": outcome.plan.cases,
        "kills": outcome.kills,
        "decisions": found.decisions,
        "claimed_twice": len(outcome.held_by_two),
        "lost": len(found.lost),
        "wrong_actor": len(found.wrong_actor),
        "chain": outcome.chain,
    }
    return "\n".join(" ".join(f"{name}={value}" for name, value in line.items()) for line in (on_the_way, promised))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--kills", type=int, help="default: one for each 60 cases, and at least 2")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--db", choices=("sqlite", "postgresql"), default="sqlite")
    options = parser.parse_args()
    kills = max(2, options.cases // 60) if options.kills is None else options.kills
    print(f"db={options.db} seed={options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder, database(options.db, Path(folder)) as url:
        outcome = run(Plan(options.cases, options.seed, Path(folder), kills), url)
    print(*outcome.complaints(), report(outcome), sep="\n")
    return 0 if outcome.holds else 1


if __name__ == "__main__":
    sys.exit(main())
