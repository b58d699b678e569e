"""Three backends on one SQLite file, eight clients, random `kill -9`: is anything acknowledged lost, any duplicate missed?

    python -m tests.system.kills --kills 40 --seed 7

Clients send two altered copies of one photograph to *different* replicas at the same moment, with idempotency keys, and repeat an
unanswered request at another replica, as a balancer does. A killed replica is started again at once. At the end every pair of
active subjects is compared by brute force, from the ledger itself, with what the review queue holds.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.system.alterations import altered
from tests.system.ledger_check import Verdict, check_ledger
from tests.system.running_fleet import ROOT, eventually

REPLICAS = 3
CLIENTS = 8
GIVE_UP_S = 120
"""How long a client repeats one request before it counts as never acknowledged."""

PICTURE_NOT_GOOD_ENOUGH = ("no_face", "poor_quality", "face_too_small")
"""Right answers to some altered copies of small photographs; any other refusal is a failure."""


@dataclass
class Replica:
    """One backend process that comes back whenever it is killed."""

    name: str
    port: int
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    kills: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "backend", "serve", "--port", str(self.port)],
                cwd=ROOT, env={**self.environment, "BACKEND_INSTANCE": self.name}, stdout=out, stderr=out,
            )  # fmt: skip

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/ready", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def kill_and_restart(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.kills += 1
        self.start()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@dataclass
class Record:
    """What the clients were promised."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    """subject id → the planted group it belongs to"""
    unanswered: int = 0
    refused: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Outcome:
    seed: int
    kills: int
    acknowledged: int
    unanswered: int
    refused: list[str]
    verdict: Verdict

    @property
    def holds(self) -> bool:
        found = self.verdict
        return (
            not (found.acknowledged_lost or found.planted_missed or found.pairs_in_two_cases or self.refused)
            and found.planted_pairs > 0
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run(*, kills: int, seed: int, photographs: Sequence[Path], model_pack: Path, folder: Path, limit_s: float = 600) -> Outcome:
    """Play the whole experiment in `folder`; bounded by `limit_s` and by 40 planted groups per kill."""
    rng = random.Random(seed)
    environment = _environment(folder, model_pack)
    subprocess.run([sys.executable, "-m", "backend", "migrate"], cwd=ROOT, env=environment, check=True, capture_output=True)
    key = _key(environment)
    replicas = [Replica(f"k{i}", free_port(), environment, folder / f"k{i}.log") for i in range(REPLICAS)]
    record = Record()
    done = threading.Event()
    try:
        for replica in replicas:
            replica.start()
        for replica in replicas:
            eventually(replica.ready, within_s=90)
        with ThreadPoolExecutor(CLIENTS // 2 + 1) as pool:
            work = [
                pool.submit(_client, i, random.Random(seed * 1000 + i), replicas, photographs, key, record, done)
                for i in range(CLIENTS // 2)
            ]
            _killer(replicas, rng, kills, time.monotonic() + limit_s)
            done.set()
            for part in work:
                part.result()
        for replica in replicas:
            eventually(replica.ready, within_s=90)
        verdict = check_ledger(
            environment["BACKEND_DATABASE_URL"], Path(environment["BACKEND_MASTER_KEY_FILE"]), record.acknowledged
        )
    finally:
        done.set()
        for replica in replicas:
            replica.stop()
    return Outcome(seed, sum(r.kills for r in replicas), len(record.acknowledged), record.unanswered, record.refused, verdict)


def _environment(folder: Path, model_pack: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BACKEND_")}
    return inherited | {
        "BACKEND_DATABASE_URL": f"sqlite:///{folder / 'ledger.db'}",
        "BACKEND_MASTER_KEY_FILE": str(folder / "master.key"),
        "BACKEND_ENGINE": "insightface",
        "BACKEND_MODEL_PACK": str(model_pack),
        "BACKEND_ENROLMENT_LEASE_S": "3",
        "BACKEND_INFERENCE_QUEUE": "32",
        "BACKEND_LOG_LEVEL": "WARNING",
    }


def _key(environment: dict[str, str]) -> str:
    made = subprocess.run(
        [sys.executable, "-m", "backend", "keys", "create", "--name", "kills", "--scope", "client", "--json"],
        cwd=ROOT, env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    secret: str = json.loads(made.stdout)["secret"]
    return secret


def _killer(replicas: Sequence[Replica], rng: random.Random, kills: int, until: float) -> None:
    """Kill a random ready replica while another one is ready too, at random moments."""
    killed = 0
    while killed < kills and time.monotonic() < until:
        ready = [replica for replica in replicas if replica.ready()]
        if len(ready) >= 2:
            time.sleep(rng.uniform(0.0, 0.7))
            rng.choice(ready).kill_and_restart()
            killed += 1
        else:
            time.sleep(0.1)


def _client(
    number: int,
    rng: random.Random,
    replicas: Sequence[Replica],
    photographs: Sequence[Path],
    key: str,
    record: Record,
    done: threading.Event,
) -> None:
    """Enrol planted pairs, both copies at once at different replicas, until told to stop (at most 2,000)."""
    with ThreadPoolExecutor(2) as pair:
        for turn in range(2_000):
            if done.is_set():
                return
            photograph = rng.choice(photographs)
            group = photographs.index(photograph)
            first, second = rng.sample(range(len(replicas)), 2)
            copies = [(first, altered(photograph, rng)), (second, altered(photograph, rng))]
            tasks = [
                pair.submit(_enrol, f"{number}-{turn}-{i}", image, start, replicas, key, record, group)
                for i, (start, image) in enumerate(copies)
            ]
            for task in tasks:
                task.result()


def _enrol(name: str, image: bytes, start: int, replicas: Sequence[Replica], key: str, record: Record, group: int) -> None:
    """One enrolment, repeated at the next replica until somebody answers."""
    body = {"images": [base64.b64encode(image).decode()], "external_id": name, "face": "largest"}
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": name}
    until, turn = time.monotonic() + GIVE_UP_S, start
    while time.monotonic() < until:
        try:
            answer = httpx.post(f"{replicas[turn % len(replicas)].url}/v1/subjects", json=body, headers=headers, timeout=30)
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.status_code not in (502, 503):
            with record.lock:
                if answer.status_code == 201:
                    record.acknowledged[answer.json()["subject_id"]] = group
                elif answer.json().get("code") not in PICTURE_NOT_GOOD_ENOUGH:
                    record.refused.append(f"{answer.status_code} {answer.json().get('code')}")
            return
        turn += 1
        time.sleep(0.05)
    with record.lock:
        record.unanswered += 1


def photographs_of(testdata: Path) -> list[Path]:
    """Every photograph of one person; those of the same person count as different groups, which only makes the test stricter."""
    return sorted([*(testdata / "faces").glob("*/*.jpg"), *(testdata / "gallery").glob("*.jpg")])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--testdata", type=Path, default=ROOT.parent / "shared" / "testdata")
    options = parser.parse_args()
    photographs = photographs_of(options.testdata)
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(
            kills=options.kills, seed=options.seed, photographs=photographs,
            model_pack=options.testdata / "models" / "test_mbf", folder=Path(folder),
        )  # fmt: skip
    print(report(outcome))
    return 0 if outcome.holds and outcome.kills == options.kills else 1


def report(outcome: Outcome) -> str:
    found = outcome.verdict
    told = {
        "seed": outcome.seed,
        "kills": outcome.kills,
        "acknowledged": outcome.acknowledged,
        "unanswered": outcome.unanswered,
        "refused": ",".join(sorted(set(outcome.refused))) or 0,
        "active_subjects": found.active_subjects,
        "planted_pairs": found.planted_pairs,
        "cases": found.cases,
        "acknowledged_lost": found.acknowledged_lost,
        "planted_missed": found.planted_missed,
        "pairs_in_two_cases": found.pairs_in_two_cases,
    }
    return " ".join(f"{name}={value}" for name, value in told.items())


if __name__ == "__main__":
    sys.exit(main())
