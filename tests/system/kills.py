"""Three backends on one ledger, eight clients, `kill -9`: is anything acknowledged lost, any duplicate missed?

    python -m tests.system.kills --kills 200 --db postgresql --policy reject --seed 7

Clients work in pairs: two copies of one photograph go to *different* replicas at the same moment, with idempotency keys, and an
unanswered request is repeated at another replica, as a balancer does. Six kills of ten are aimed between an enrolment's two
transactions. A killed replica is started again at once. At the end every pair of active subjects is compared by brute force, from
the ledger itself, with what the review queue holds.

With `--policy reject` the copies are near-identical, so certain, and everybody is another person: of each group exactly one
subject may live. (What is promised is less: a newcomer whose candidate is still pending after its deadline is flagged. Here an
enrolment's lease is shorter than that deadline, so a candidate whose replica was killed is finished in time by whoever waits for
it.) Half of those who live are erased again, so that the next two copies race anew.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.postgres import postgres_server
from tests.system.alterations import altered
from tests.system.killer import Killer, Replica
from tests.system.ledger_check import Verdict, check_ledger
from tests.system.planting import Planting, Record, near_identical
from tests.system.running_fleet import ROOT, eventually

REPLICAS = 3
CLIENTS = 8
AIMED_AT_LEAST = 0.3
"""of all kills are between T1 and T2"""
CLOSE_S, CLOSE_AT_LEAST = 0.005, 0.8
SWITCH_S = 0.0005
"""Between the threads of this process: the interpreter's own 5 ms would part the two copies of a pair that far."""


@dataclass(frozen=True)
class Plan:
    kills: int
    seed: int
    policy: str
    photographs: Sequence[Path]
    model_pack: Path
    folder: Path
    limit_s: float = 3600


@dataclass(frozen=True)
class Outcome:
    plan: Plan
    kills: int
    kills_between_t1_t2: int
    record: Record
    verdict: Verdict

    @property
    def holds(self) -> bool:
        found, record = self.verdict, self.record
        whole = not (found.acknowledged_lost or found.planted_missed or found.pairs_in_two_cases)
        told = not (record.refused or record.unanswered)
        much = found.planted_pairs > 0 if self.plan.policy == "flag" else record.rejected > 0 and not found.lives_wrong
        aimed = self.kills == self.plan.kills and self.kills_between_t1_t2 >= AIMED_AT_LEAST * self.plan.kills
        return whole and told and much and aimed and self.close_share >= CLOSE_AT_LEAST

    @property
    def close_share(self) -> float:
        """Of the pairs that raced: how many had their two copies sent as close together as they should be."""
        return float(np.mean([spread <= CLOSE_S for spread in self.record.spreads_s or [math.inf]]))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run(plan: Plan, url: str) -> Outcome:
    """Play the whole experiment on the empty database at `url`; bounded by `limit_s`, and by 2,000 pairs for each client."""
    environment = _environment(plan, url)
    subprocess.run([sys.executable, "-m", "backend", "migrate"], cwd=ROOT, env=environment, check=True, capture_output=True)
    key, key_file = _key(environment), Path(environment["BACKEND_MASTER_KEY_FILE"])
    replicas = [
        Replica(f"k{i}", free_port(), environment | _snapshots(plan, f"k{i}"), plan.folder / f"k{i}.log") for i in range(REPLICAS)
    ]
    killer = Killer(replicas, url, key_file, random.Random(plan.seed))
    record, done = Record(), threading.Event()
    switching = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        for replica in replicas:
            replica.start()
        _until_all_ready(replicas)
        with ThreadPoolExecutor(CLIENTS // 2) as pool:
            urls = [replica.url for replica in replicas]
            work = [pool.submit(_planting(i, plan, urls, key, record).run, done) for i in range(CLIENTS // 2)]
            try:
                killer.run(plan.kills, time.monotonic() + plan.limit_s)
            finally:
                done.set()
            for part in work:
                part.result()
        _until_all_ready(replicas)
        verdict = check_ledger(url, key_file, record.acknowledged)
    finally:
        done.set()
        sys.setswitchinterval(switching)
        for replica in replicas:
            replica.stop()
    return Outcome(plan, sum(replica.kills for replica in replicas), killer.between_t1_and_t2, record, verdict)


def _snapshots(plan: Plan, name: str) -> dict[str, str]:
    """Renewed all the time, so that most starts are from one, and many kills meet the writing of one."""
    folder = str(plan.folder / "snapshots")
    return {"BACKEND_INSTANCE": name, "BACKEND_SNAPSHOT_DIR": folder, "BACKEND_SNAPSHOT_EVERY_S": "0.2"}


def _planting(number: int, plan: Plan, urls: Sequence[str], key: str, record: Record) -> Planting:
    """A pair of clients."""
    groups, copy = list(enumerate(plan.photographs)), altered
    if plan.policy == "reject":
        # Nobody else may enrol the same person meanwhile: groups of this pair's own.
        groups, copy = groups[number :: CLIENTS // 2], near_identical
    return Planting(f"{number}", random.Random(plan.seed * 1000 + number), plan.policy, groups, copy, urls, key, record)


def _until_all_ready(replicas: Sequence[Replica]) -> None:
    for replica in replicas:
        eventually(replica.ready, within_s=90)


def _environment(plan: Plan, url: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BACKEND_")}
    return inherited | {
        "BACKEND_DATABASE_URL": url,
        "BACKEND_MASTER_KEY_FILE": str(plan.folder / "master.key"),
        "BACKEND_ENGINE": "insightface",
        "BACKEND_MODEL_PACK": str(plan.model_pack),
        "BACKEND_ENROLMENT_LEASE_S": "3",
        "BACKEND_INFERENCE_QUEUE": "32",
        "BACKEND_LOG_LEVEL": "WARNING",
    }


def _key(environment: dict[str, str]) -> str:
    made = subprocess.run(
        [sys.executable, "-m", "backend", "keys", "create", "--name", "kills", "--scope", "client", "--scope", "admin", "--json"],
        cwd=ROOT, env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    secret: str = json.loads(made.stdout)["secret"]
    return secret


def photographs_of(testdata: Path, policy: str) -> list[Path]:
    """`flag`: every photograph is a group of its own; that some show the same person only makes the test stricter.
    `reject`: one photograph of each person.
    """
    if policy == "reject":
        return sorted((testdata / "faces").glob("*/01.jpg"))
    return sorted([*(testdata / "faces").glob("*/*.jpg"), *(testdata / "gallery").glob("*.jpg")])


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'ledger.db'}"
        return
    with postgres_server() as server:
        yield server.new_database()


def report(outcome: Outcome) -> str:
    found, record = outcome.verdict, outcome.record
    told = {
        "seed": outcome.plan.seed,
        "policy": outcome.plan.policy,
        "acknowledged": len(record.acknowledged),
        "unanswered": record.unanswered,
        "refused": ",".join(sorted(set(record.refused))) or 0,
        "batches": record.batches,
        "sent_within_5_ms": f"{outcome.close_share:.3f}",
        "active_subjects": found.active_subjects,
        "planted_pairs": found.planted_pairs,
        "cases": found.cases,
        "kills": outcome.kills,
        "kills_between_t1_t2": outcome.kills_between_t1_t2,
        "acknowledged_lost": found.acknowledged_lost,
        "planted_missed": found.planted_missed,
        "pairs_in_two_cases": found.pairs_in_two_cases,
    }
    if outcome.plan.policy == "reject":
        told |= {
            "groups": len(set(record.acknowledged.values())),
            "rejected": record.rejected,
            "erased": record.erased,
            "lives_wrong": found.lives_wrong,
        }
    return " ".join(f"{name}={value}" for name, value in told.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--db", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--policy", choices=("flag", "reject"), default="flag")
    parser.add_argument("--testdata", type=Path, default=ROOT.parent / "shared" / "testdata")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, database(options.db, Path(folder)) as url:
        plan = Plan(
            kills=options.kills, seed=options.seed, policy=options.policy,
            photographs=photographs_of(options.testdata, options.policy),
            model_pack=options.testdata / "models" / "test_mbf", folder=Path(folder),
        )  # fmt: skip
        outcome = run(plan, url)
    print(f"db={options.db} {report(outcome)}")
    return 0 if outcome.holds else 1


if __name__ == "__main__":
    sys.exit(main())
