"""PostgreSQL goes away under load and comes back: how soon is it seen, what are callers told, is anything lost?

    python -m tests.system.outage --seconds 60 --how stop
    python -m tests.system.outage --seconds 60 --how freeze

`stop` ends the server (connections are refused); `freeze` halts every one of its processes, so that connections are accepted
and nothing is ever answered. Two replicas; six clients enrol and repeat an unanswered request with its idempotency key until it
is answered, two identify; before, during and after. At the end the ledger itself is compared with what was acknowledged.
"""

from __future__ import annotations

import argparse
import base64
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.api.service import Service, Site, make_site, serving
from tests.postgres import PostgresServer, postgres_server
from tests.system.alterations import altered
from tests.system.ledger_check import Verdict, check_ledger
from tests.system.running_fleet import ROOT, eventually

REPLICAS, ENROLLING, IDENTIFYING = 2, 6, 2
DEADLINE_S = 5.0
"""of the service; a caller of a frozen database is told within it"""
WARM_UP_S = 5.0
NOTICED_WITHIN_S, BACK_WITHIN_S = 2.0, 5.0
PICTURE_NOT_GOOD_ENOUGH = ("no_face", "poor_quality", "face_too_small")


@dataclass
class Told:
    """What the callers were answered."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    """subject id → its planted group"""
    unavailable: int = 0
    served: int = 0
    wrong: list[str] = field(default_factory=list)
    """answers that are neither a success nor a 503 that says when to come back"""
    slowest_s: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, answer: httpx.Response, took_s: float) -> None:
        with self.lock:
            self.slowest_s = max(self.slowest_s, took_s)
            if answer.status_code in (200, 201):
                self.served += 1
            elif answer.status_code == 503 and answer.headers.get("retry-after", "").isdigit():
                self.unavailable += 1
            elif answer.json().get("code") not in PICTURE_NOT_GOOD_ENOUGH:
                self.wrong.append(f"{answer.status_code} {answer.text[:120]}")


@dataclass(frozen=True)
class Outcome:
    how: str
    seconds: float
    health_503_s: float
    """from the moment when the server was told to go to the first 503 of the slower replica's /health"""
    back_s: float
    """from the server's return until every replica is ready, enrols and identifies"""
    told: Told
    during: int
    """requests answered 503 while it was away"""
    restarted: int
    verdict: Verdict

    @property
    def holds(self) -> bool:
        found = self.verdict
        lost = found.acknowledged_lost or found.planted_missed or found.pairs_in_two_cases
        in_time = self.health_503_s <= NOTICED_WITHIN_S and self.back_s <= BACK_WITHIN_S
        return in_time and not lost and not self.told.wrong and not self.restarted and self.during > 0 and found.planted_pairs > 0


def run(*, how: str, seconds: float, photographs: Sequence[Path], model_pack: Path, folder: Path, seed: int = 7) -> Outcome:
    """The whole experiment in `folder`; bounded by `seconds` and about two minutes around them."""
    with postgres_server() as server, ExitStack() as stack:
        url = server.new_database()
        site = make_site(
            folder, BACKEND_ENGINE="insightface", BACKEND_MODEL_PACK=str(model_pack), BACKEND_DATABASE_URL=url,
            BACKEND_REQUEST_DEADLINE_S=f"{DEADLINE_S:g}", BACKEND_ENROLMENT_LEASE_S="3", BACKEND_INFERENCE_QUEUE="32",
            BACKEND_LOG_LEVEL="WARNING",
        )  # fmt: skip
        services = [stack.enter_context(serving(site, name=f"o{i}")) for i in range(REPLICAS)]
        pids = [service.process.pid for service in services]
        told = Told()
        with _load(site, services, photographs, told, seed):
            time.sleep(WARM_UP_S)
            before, began = told.unavailable, time.monotonic()
            with _away(server, how):
                _until_unhealthy(services)
                noticed = time.monotonic() - began
                time.sleep(max(0.0, seconds - noticed))
                during = told.unavailable - before
            back = _until_back(site, services, photographs[0])
            time.sleep(WARM_UP_S)
        restarted = sum(
            service.process.poll() is not None or service.process.pid != pid for service, pid in zip(services, pids, strict=True)
        )
        verdict = check_ledger(url, folder / "master.key", told.acknowledged)
        return Outcome(how, seconds, noticed, back, told, during, restarted, verdict)


@contextmanager
def _away(server: PostgresServer, how: str) -> Iterator[None]:
    """Gone when the block begins, there again when it has ended."""
    if how == "stop":
        server.stop("immediate")  # as a crash: clients get no farewell
        yield
        server.start()
        return
    with server.frozen():
        yield


def _until_unhealthy(services: Sequence[Service]) -> None:
    """Until every replica's /health has said 503."""

    def unhealthy(service: Service) -> None:
        eventually(lambda: service.get("/health").status_code == 503, within_s=30, every_s=0.05)

    with ThreadPoolExecutor(len(services)) as pool:
        list(pool.map(unhealthy, services))


def _until_back(site: Site, services: Sequence[Service], photograph: Path) -> float:
    """Seconds until every replica is healthy, ready, and does its work again."""
    began = time.monotonic()
    image = base64.b64encode(photograph.read_bytes()).decode()

    def works(service: Service) -> bool:
        probes = all(service.get(path).status_code == 200 for path in ("/health", "/ready"))
        return probes and service.request("POST", "/v1/identify", site.key("client"), {"image": image}).status_code == 200

    def until_it_works(service: Service) -> None:
        eventually(lambda: works(service), within_s=60, every_s=0.05)

    with ThreadPoolExecutor(len(services)) as pool:
        list(pool.map(until_it_works, services))
    return time.monotonic() - began


@contextmanager
def _load(site: Site, services: Sequence[Service], photographs: Sequence[Path], told: Told, seed: int) -> Iterator[None]:
    """Clients at work while the block lasts; each ends after its last request is answered."""
    done, key = threading.Event(), site.key("client")
    urls = [service.url for service in services]
    jobs: list[Callable[[], None]] = [
        lambda i=i: _enrol_until(done, urls, key, photographs, told, random.Random(seed * 100 + i), f"c{i}")  # type: ignore[misc]
        for i in range(ENROLLING)
    ]
    jobs += [lambda i=i: _identify_until(done, urls[i % len(urls)], key, photographs, told) for i in range(IDENTIFYING)]  # type: ignore[misc]
    with ThreadPoolExecutor(len(jobs)) as pool:
        running = [pool.submit(job) for job in jobs]
        try:
            yield
        finally:
            done.set()
        for job in running:
            job.result()


def _enrol_until(
    done: threading.Event, urls: Sequence[str], key: str, photographs: Sequence[Path], told: Told, rng: random.Random, name: str
) -> None:
    with httpx.Client(timeout=60, trust_env=False) as http:
        for turn in range(10_000):
            if done.is_set():
                return
            photograph = rng.choice(photographs)
            body = {"images": [base64.b64encode(altered(photograph, rng)).decode()], "face": "largest"}
            headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": f"{name}-{turn}"}
            answer = _until_answered(http, urls, body, headers, told, start=turn)
            if answer is not None and answer.status_code == 201:
                with told.lock:
                    told.acknowledged[answer.json()["subject_id"]] = photographs.index(photograph)


def _until_answered(
    http: httpx.Client, urls: Sequence[str], body: object, headers: dict[str, str], told: Told, *, start: int
) -> httpx.Response | None:
    """The answer that is not a 503. Waits as long as `Retry-After` says, then asks another replica, as a balancer does."""
    give_up = time.monotonic() + 180
    turn = start
    while time.monotonic() < give_up:
        began = time.monotonic()
        answer = http.post(f"{urls[turn % len(urls)]}/v1/subjects", json=body, headers=headers)
        told.note(answer, time.monotonic() - began)
        if answer.status_code != 503:
            return answer
        time.sleep(min(2, int(answer.headers.get("retry-after", "1"))))
        turn += 1
    told.wrong.append("never answered")
    return None


def _identify_until(done: threading.Event, url: str, key: str, photographs: Sequence[Path], told: Told) -> None:
    body = {"image": base64.b64encode(photographs[0].read_bytes()).decode()}
    with httpx.Client(timeout=60, trust_env=False) as http:
        while not done.wait(0.2):
            began = time.monotonic()
            told.note(
                http.post(f"{url}/v1/identify", json=body, headers={"Authorization": f"Bearer {key}"}), time.monotonic() - began
            )


def report(outcome: Outcome) -> str:
    told, found = outcome.told, outcome.verdict
    figures = {
        "how": outcome.how,
        "away_s": f"{outcome.seconds:g}",
        "answered_503": outcome.during,
        "wrong_answers": len(told.wrong),
        "slowest_answer_s": f"{told.slowest_s:.1f}",
        "restarted": outcome.restarted,
        "acknowledged": len(told.acknowledged),
        "planted_pairs": found.planted_pairs,
        "acknowledged_lost": found.acknowledged_lost,
        "planted_missed": found.planted_missed,
        "pairs_in_two_cases": found.pairs_in_two_cases,
        "health_503_s": f"{outcome.health_503_s:.2f}",
        "back_s": f"{outcome.back_s:.2f}",
    }
    return " ".join(f"{name}={value}" for name, value in figures.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--how", choices=("stop", "freeze"), default="stop")
    parser.add_argument("--testdata", type=Path, default=ROOT.parent / "shared" / "testdata")
    options = parser.parse_args()
    photographs = sorted((options.testdata / "faces").glob("*/*.jpg"))
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(
            how=options.how, seconds=options.seconds, photographs=photographs,
            model_pack=options.testdata / "models" / "test_mbf", folder=Path(folder) / "site",
        )  # fmt: skip
    for wrong in outcome.told.wrong[:10]:
        print(wrong)
    print(report(outcome))
    return 0 if outcome.holds else 1


if __name__ == "__main__":
    sys.exit(main())
