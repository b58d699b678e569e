"""A change of model under load: enrolling and identifying all the while, three replicas, one killed. Is anybody missed?

    python -m tests.system.reembed --db postgresql --seconds 20

Clients race altered copies of one photograph at different replicas, and look for whom they just enrolled at another one by
`min_seq`; an unanswered request is repeated at the next replica, as a balancer does. Meanwhile: the back-fill is begun and
killed, every replica is restarted with the second model (one of them with the two the other way round), the back-fill goes on,
one replica is killed, the model is switched, a replica is killed again, and the model is rolled back. At the end every two
subjects are compared by the model that judged the later one, and people of before score with their photographs what they scored.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from sqlmodel import func, select

from backend.store.database import Store
from backend.store.keyring import Keyring
from backend.store.tables import Template
from tests.system import across_models
from tests.system.across_models import Across
from tests.system.alterations import altered
from tests.system.killer import Replica
from tests.system.kills import Plan, _environment, _key, database, free_port, photographs_of
from tests.system.planting import GIVE_UP_S, PICTURE_NOT_GOOD_ENOUGH, Planting, Record
from tests.system.running_fleet import ROOT, eventually

REPLICAS = 3
KNOWN = 4
"""people whose scores with their own photographs are compared before and after"""
FILLED_WHEN_KILLED = 3
PAUSE_S = 0.3
"""Between two requests of a client: the back-fill, too, needs a core."""


@dataclass(frozen=True)
class Course:
    """`seconds` of load in each part; `rolling`: replicas load the second model by a restart, one after another, under load."""

    seconds: float
    photographs: Sequence[Path]
    old_pack: Path
    new_pack: Path
    folder: Path
    seed: int = 7
    rolling: bool = True
    first: int = 40
    """subjects before the change begins"""


@dataclass
class Sought:
    """What became of those who looked for whom they had just enrolled."""

    requests: int = 0
    failed: list[str] = field(default_factory=list)
    not_found: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Outcome:
    requests: int
    failed: list[str]
    not_found: int
    found: Across
    old_model: str
    steps: Sequence[str]
    restored: bool
    replicas_killed: int
    fill_killed: int

    @property
    def rolled_back(self) -> bool:
        return self.found.in_force == self.old_model and self.restored

    @property
    def holds(self) -> bool:
        whole = not (self.failed or self.not_found or self.found.missed or self.found.in_two_cases or self.found.lost)
        much = self.found.planted > 0 and len(self.found.judged_by) == 2 and self.replicas_killed > 0 and self.fill_killed > 0
        return whole and much and self.rolled_back and self.found.without_template == 0


class Fleet:
    """Three replicas, the commands beside them, and how each is told of the two models."""

    def __init__(self, course: Course, url: str) -> None:
        self._course, self._url = course, url
        plan = Plan(0, course.seed, "flag", course.photographs, course.old_pack, course.folder)
        self._base = _environment(plan, url)
        self.command("migrate")
        self.key, self.key_file = _key(self._base), Path(self._base["BACKEND_MASTER_KEY_FILE"])
        told = self._base if course.rolling else self.both
        self.replicas = [Replica(f"m{i}", free_port(), dict(told), course.folder / f"m{i}.log") for i in range(REPLICAS)]
        self.fill_killed = 0

    @property
    def both(self) -> dict[str, str]:
        return self._base | {"BACKEND_NEXT_MODEL_PACK": str(self._course.new_pack)}

    @property
    def turned(self) -> dict[str, str]:
        """The other way round: which one judges is not for the settings to say."""
        course = self._course
        return self._base | {"BACKEND_MODEL_PACK": str(course.new_pack), "BACKEND_NEXT_MODEL_PACK": str(course.old_pack)}

    def command(self, *words: str) -> dict[str, object]:
        done = subprocess.run(
            [sys.executable, "-m", "backend", *words, *([] if words == ("migrate",) else ["--json"])],
            cwd=ROOT, env=self._base, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.stdout} {done.stderr}"
        return {} if words == ("migrate",) else json.loads(done.stdout)

    def re_embed(self, *words: str) -> dict[str, object]:
        return self.command("re-embed", "--to", str(self._course.new_pack), *words)

    def kill_a_back_fill(self, old_model: str) -> None:
        """Once it has made some templates."""
        words = [sys.executable, "-m", "backend", "re-embed", "--to", str(self._course.new_pack)]
        running = subprocess.Popen(words, cwd=ROOT, env=self._base, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with closing(Store.open(self._url, keyring=Keyring.load(self.key_file))) as store:
            eventually(lambda: made_by_others(store, old_model) >= FILLED_WHEN_KILLED, within_s=120, every_s=0.02)
        self.fill_killed += running.poll() is None
        running.send_signal(signal.SIGKILL)
        running.wait()

    def start(self) -> None:
        for replica in self.replicas:
            replica.start()
        self.until_ready()

    def until_ready(self) -> None:
        for replica in self.replicas:
            eventually(replica.ready, within_s=90)

    def load_both(self) -> None:
        """One replica after another, the last of them with the two turned round."""
        for place, replica in enumerate(self.replicas):
            replica.stop()
            replica.environment = self.turned if place == REPLICAS - 1 else self.both
            replica.start()
            eventually(replica.ready, within_s=90)

    def kill(self, place: int) -> None:
        self.replicas[place].kill()
        self.replicas[place].start()

    def stop(self) -> None:
        for replica in self.replicas:
            replica.stop()


def made_by_others(store: Store, model_id: str) -> int:
    with store.read() as session:
        return session.exec(select(func.count()).select_from(Template).where(Template.model_id != model_id)).one()


def run(course: Course, url: str) -> Outcome:
    fleet, record, sought, steps = Fleet(course, url), Record(), Sought(), list[str]()
    try:
        fleet.start()
        with closing(Store.open(url, keyring=Keyring.load(fleet.key_file))) as store:
            old_model = store.pinned_model() or ""
        with _load(course, fleet, record, sought):
            eventually(lambda: len(record.acknowledged) >= course.first, within_s=300)
            before = _scores(course, fleet, record)
            fleet.kill_a_back_fill(old_model)
            if course.rolling:
                fleet.load_both()
            steps.append(str(fleet.re_embed()["state"]))
            fleet.kill(0)
            time.sleep(course.seconds)
            steps.append(str(fleet.re_embed("--switch")["state"]))
            time.sleep(course.seconds / 2)
            fleet.kill(1)
            time.sleep(course.seconds)
            steps.append(str(fleet.re_embed("--roll-back")["state"]))
            time.sleep(course.seconds)
        fleet.until_ready()
        after = _scores(course, fleet, record, of=before)
        found = across_models.check(url, fleet.key_file, record.acknowledged)
    finally:
        fleet.stop()
    failed = [*record.refused, *sought.failed, *["unanswered"] * record.unanswered]
    requests = len(record.acknowledged) + sought.requests
    killed = sum(replica.kills for replica in fleet.replicas)
    return Outcome(requests, failed, sought.not_found, found, old_model, steps, _alike(before, after), killed, fleet.fill_killed)


@contextmanager
def _load(course: Course, fleet: Fleet, record: Record, sought: Sought) -> Iterator[None]:
    done, urls = threading.Event(), [replica.url for replica in fleet.replicas]
    groups = list(enumerate(course.photographs))
    planting = Planting("p", random.Random(course.seed), "flag", groups, altered, urls, fleet.key, record, PAUSE_S)
    with ThreadPoolExecutor(2) as pool:
        work = [
            pool.submit(planting.run, done),
            pool.submit(_seek, done, urls, fleet.key, groups, random.Random(course.seed + 1), record, sought),
        ]
        try:
            yield
        finally:
            done.set()
        for part in work:
            part.result()


def _seek(
    done: threading.Event, urls: Sequence[str], key: str, groups: Sequence[tuple[int, Path]], rng: random.Random, record: Record,
    sought: Sought,
) -> None:  # fmt: skip
    """Enrol somebody at one replica, and look for that very picture at the next one."""
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(timeout=30, trust_env=False, headers=headers) as http:
        for turn in range(10_000):
            if done.is_set():
                return
            done.wait(PAUSE_S)
            group, photograph = rng.choice(groups)
            image = base64.b64encode(altered(photograph, rng)).decode()
            body = {"images": [image], "external_id": f"s-{turn}", "face": "largest"}
            enrolled = _answered(http, urls, turn, "/v1/subjects", body, {"Idempotency-Key": f"s-{turn}"})
            if not _is_good(enrolled, 201, sought):
                continue
            assert enrolled is not None
            with record.lock:
                record.acknowledged[enrolled.json()["subject_id"]] = group
            asked = {"image": image, "min_seq": enrolled.json()["seq"], "limit": 100}
            found = _answered(http, urls, turn + 1, "/v1/identify", asked, {})
            if _is_good(found, 200, sought):
                assert found is not None
                candidates = [one["subject_id"] for face in found.json()["faces"] for one in face["candidates"]]
                sought.not_found += enrolled.json()["subject_id"] not in candidates


def _is_good(answer: httpx.Response | None, expected: int, sought: Sought) -> bool:
    with sought.lock:
        sought.requests += 1
        if answer is None:
            sought.failed.append("unanswered")
        elif answer.status_code != expected and answer.json().get("code") not in PICTURE_NOT_GOOD_ENOUGH:
            sought.failed.append(f"{answer.status_code} {answer.json().get('code')}")
    return answer is not None and answer.status_code == expected


def _answered(
    http: httpx.Client, urls: Sequence[str], start: int, path: str, body: object, headers: Mapping[str, str]
) -> httpx.Response | None:
    until, turn = time.monotonic() + GIVE_UP_S, start
    while time.monotonic() < until:
        with suppress(httpx.TransportError):
            answer = http.post(f"{urls[turn % len(urls)]}{path}", json=body, headers=dict(headers))
            if answer.status_code not in (502, 503):
                return answer
        turn += 1
        time.sleep(0.05)
    return None


Scores = dict[tuple[str, int], tuple[str, float]]
"""(subject, photograph) → by which model, and the score"""


def _scores(course: Course, fleet: Fleet, record: Record, *, of: Scores | None = None) -> Scores:
    """What some people score with the photograph that they were enrolled with, and with another one."""
    with record.lock:
        people = list(record.acknowledged.items())[:KNOWN]
    places = [(subject, (group + step) % len(course.photographs)) for subject, group in people for step in (0, 1)]
    wanted = list(of) if of else places
    found: Scores = {}
    with httpx.Client(timeout=30, trust_env=False, headers={"Authorization": f"Bearer {fleet.key}"}) as http:
        for subject, place in wanted:
            image = base64.b64encode(course.photographs[place].read_bytes()).decode()
            answer = _answered(
                http, [one.url for one in fleet.replicas], 0, "/v1/verify", {"subject_id": subject, "image": image}, {}
            )
            if answer is not None and answer.status_code == 200:
                found[subject, place] = (answer.json()["model_id"], answer.json()["score"])
    return found


def _alike(before: Scores, after: Scores) -> bool:
    same = [before[one][0] == after[one][0] and abs(before[one][1] - after[one][1]) < 1e-4 for one in before if one in after]
    return len(same) == len(before) > 0 and all(same)


def report(outcome: Outcome) -> str:
    found = outcome.found
    told = {
        "requests": outcome.requests,
        "failed": len(outcome.failed),
        "not_found_by_min_seq": outcome.not_found,
        "active": found.active,
        "acknowledged_lost": found.lost,
        "judged_by_old": found.judged_by.get(outcome.old_model, 0),
        "judged_by_new": sum(count for model, count in found.judged_by.items() if model != outcome.old_model),
        "planted": found.planted,
        "planted_missed": found.missed,
        "pairs_in_two_cases": found.in_two_cases,
        "without_template": found.without_template,
        "rolled_back": "yes" if outcome.rolled_back else "no",
        "killed": outcome.replicas_killed,
        "back_fills_killed": outcome.fill_killed,
    }
    return " ".join(f"{name}={value}" for name, value in told.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--db", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--testdata", type=Path, default=ROOT.parent / "shared" / "testdata")
    options = parser.parse_args()
    models = options.testdata / "models"
    with tempfile.TemporaryDirectory() as folder, database(options.db, Path(folder)) as url:
        course = Course(
            seconds=options.seconds, photographs=photographs_of(options.testdata, "flag"), old_pack=models / "test_mbf",
            new_pack=models / "test_mfn128", folder=Path(folder), seed=options.seed,
        )  # fmt: skip
        outcome = run(course, url)
    print(*outcome.failed[:20], sep="\n")
    print(f"db={options.db} seed={options.seed} {report(outcome)}")
    return 0 if outcome.holds else 1


if __name__ == "__main__":
    sys.exit(main())
