"""Three backends on one ledger, eight clients, `kill -9`: is anything acknowledged lost, any duplicate missed?

    python -m tests.system.kills --kills 200 --db postgresql --policy reject --seed 7

Clients work in pairs: two copies of one photograph go to *different* replicas at the same moment, with idempotency keys, and an
unanswered request is repeated at another replica, as a balancer does. Six kills of ten are aimed between an enrolment's two
transactions. A killed replica is started again at once. At the end every pair of active subjects is compared by brute force, from
the ledger itself, with what the review queue holds.

With `--policy reject` the copies are near-identical and everybody is another person: of each group exactly one subject may live.
Half of those are erased again, so that the next two copies race anew.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from tests.postgres import postgres_server
from tests.system.alterations import altered
from tests.system.killer import Killer, Replica
from tests.system.ledger_check import Verdict, check_ledger
from tests.system.running_fleet import ROOT, eventually

REPLICAS = 3
CLIENTS = 8
GIVE_UP_S = 120
"""How long a client repeats one request before it counts as never acknowledged."""

PICTURE_NOT_GOOD_ENOUGH = ("no_face", "poor_quality", "face_too_small")
"""Right answers to some altered copies of small photographs; any other refusal is a failure."""


@dataclass
class Record:
    """What the clients were promised."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    """subject id → the planted group it belongs to; those erased since are gone"""
    rejected: int = 0
    erased: int = 0
    unanswered: int = 0
    refused: list[str] = field(default_factory=list)
    spreads_s: list[float] = field(default_factory=list)
    """between the two copies of a pair being sent"""
    lock: threading.Lock = field(default_factory=threading.Lock)


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
        whole = not (found.acknowledged_lost or found.planted_missed or found.pairs_in_two_cases or record.refused)
        if self.plan.policy == "reject":
            whole = whole and not found.lives_wrong and not record.unanswered and record.rejected > 0
        else:
            whole = whole and found.planted_pairs > 0
        return whole and self.kills == self.plan.kills and self.kills_between_t1_t2 >= 0.3 * self.plan.kills


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
    try:
        for replica in replicas:
            replica.start()
        _until_all_ready(replicas)
        with ThreadPoolExecutor(CLIENTS // 2) as pool:
            work = [pool.submit(_Pair(i, plan, replicas, key, record).run, done) for i in range(CLIENTS // 2)]
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
        for replica in replicas:
            replica.stop()
    return Outcome(plan, sum(replica.kills for replica in replicas), killer.between_t1_and_t2, record, verdict)


def _snapshots(plan: Plan, name: str) -> dict[str, str]:
    """Renewed all the time, so that most starts are from one, and many kills meet the writing of one."""
    folder = str(plan.folder / "snapshots")
    return {"BACKEND_INSTANCE": name, "BACKEND_SNAPSHOT_DIR": folder, "BACKEND_SNAPSHOT_EVERY_S": "0.2"}


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


class _Pair:
    """Two clients that send two copies of one photograph at the same moment."""

    def __init__(self, number: int, plan: Plan, replicas: Sequence[Replica], key: str, record: Record) -> None:
        self._number, self._replicas, self._record = number, replicas, record
        self._rng = random.Random(plan.seed * 1000 + number)
        self._policy = plan.policy
        groups = list(enumerate(plan.photographs))
        # With reject nobody else may enrol the same person meanwhile: the pair's own groups alone.
        self._groups = groups[number :: CLIENTS // 2] if plan.policy == "reject" else groups
        self._copy: Callable[[Path, random.Random], bytes] = near_identical if plan.policy == "reject" else altered
        self._http = httpx.Client(timeout=30, trust_env=False, headers={"Authorization": f"Bearer {key}"})

    def run(self, done: threading.Event) -> None:
        with self._http, ThreadPoolExecutor(2) as pool:
            for turn in range(2_000):
                if done.is_set():
                    return
                self._one(pool, turn)

    def _one(self, pool: ThreadPoolExecutor, turn: int) -> None:
        group, photograph = self._rng.choice(self._groups)
        replicas = self._rng.sample(range(len(self._replicas)), 2)
        copies = [self._copy(photograph, self._rng) for _ in replicas]
        erase = self._policy == "reject" and self._rng.random() < 0.5
        start, sent = threading.Barrier(2), [0.0, 0.0]

        def send(i: int) -> str | None:
            start.wait()
            sent[i] = time.monotonic()
            return self._enrol(f"{self._number}-{turn}-{i}", copies[i], replicas[i], group)

        living = [found for found in pool.map(send, range(2)) if found is not None]
        with self._record.lock:
            self._record.spreads_s.append(abs(sent[0] - sent[1]))
        if erase and living:
            self._erase(living[0])

    def _enrol(self, name: str, image: bytes, start: int, group: int) -> str | None:
        """The new subject, where there is one."""
        body = {
            "images": [base64.b64encode(image).decode()], "external_id": name, "face": "largest", "on_duplicate": self._policy,
        }  # fmt: skip
        answer = self._answered("POST", "/v1/subjects", start, json=body, headers={"Idempotency-Key": name})
        with self._record.lock:
            if answer is None:
                self._record.unanswered += 1
            elif answer.status_code == 201:
                subject: str = answer.json()["subject_id"]
                self._record.acknowledged[subject] = group
                return subject
            elif answer.status_code == 409 and answer.json().get("state") == "rejected" and self._policy == "reject":
                self._record.rejected += 1
            elif answer.json().get("code") not in PICTURE_NOT_GOOD_ENOUGH:
                self._record.refused.append(f"{answer.status_code} {answer.json().get('code')}")
        return None

    def _erase(self, subject: str) -> None:
        answer = self._answered("DELETE", f"/v1/subjects/{subject}", 0)
        with self._record.lock:
            if answer is not None and answer.status_code in (204, 404):  # 404: an erasure whose answer got lost
                del self._record.acknowledged[subject]
                self._record.erased += 1
            else:
                self._record.refused.append(f"erasure {answer.status_code if answer else 'unanswered'}")

    def _answered(self, method: str, path: str, start: int, **request: object) -> httpx.Response | None:
        """Repeated at the next replica until somebody answers."""
        until, turn = time.monotonic() + GIVE_UP_S, start
        while time.monotonic() < until:
            with suppress(httpx.TransportError):
                url = f"{self._replicas[turn % len(self._replicas)].url}{path}"
                answer = self._http.request(method, url, **request)  # type: ignore[arg-type]
                if answer.status_code not in (502, 503):
                    return answer
            turn += 1
            time.sleep(0.05)
        return None


def near_identical(photograph: Path, rng: random.Random) -> bytes:
    """The same picture, compressed again: certain for any engine."""
    out = io.BytesIO()
    Image.open(photograph).convert("RGB").save(out, "JPEG", quality=rng.randint(85, 95))
    return out.getvalue()


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
        "spread_p95_ms": f"{np.percentile(record.spreads_s or [0.0], 95) * 1000:.2f}",
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
        told |= {"rejected": record.rejected, "erased": record.erased, "lives_wrong": found.lives_wrong}
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
