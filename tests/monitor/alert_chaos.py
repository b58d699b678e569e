"""Is every settled change told, and told once? A monitor's alerting is killed over and over, at every place between its steps.

    python -m tests.monitor.alert_chaos --rounds 200 --db sqlite --seed 7

This process plays the fleet: it says in a file who is down, waits until the alert of each has settled, and changes its mind. So
it knows by itself how many changes there were. It also is the receiver, which takes a notification, refuses it (500), or takes it
and breaks the connection before its answer; and it counts by idempotency key alone. The other process evaluates and sends; it is
killed before and after the commit of a transition, of a claim, of a mark, before and after a request, and at any other moment.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.monitor.alert_chaos_child import PLACES, Task, run
from tests.postgres import postgres_server

NAMES = tuple(f"b{n}" for n in range(1, 7))
FIGURES = ("changes", "kills", "notified", "lost", "counted_twice", "out_of_order")
SETTLED_WITHIN_S = 60.0
TOLD_WITHIN_S = 60.0
MOST = 10
"""times the rounds that were asked for"""


@dataclass
class Counting:
    """The receiver. `taken`: how often each key was taken with a 200, or taken and left unanswered."""

    rng: random.Random
    taken: Counter[str] = field(default_factory=Counter)
    order: dict[str, list[str]] = field(default_factory=dict)
    refused: int = 0
    unanswered: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, key: str, title: str) -> str:
        """``ok``, ``refuse`` or ``break``."""
        with self.lock:
            luck = self.rng.random()
            if luck < 0.1:
                self.refused += 1
                return "refuse"
            if self.taken[key] == 0:
                found = re.fullmatch(r"\[(FIRING|RESOLVED) critical\] BackendDown (b\d)", title)
                assert found is not None, title
                self.order.setdefault(found.group(2), []).append(found.group(1))
            self.taken[key] += 1
            if luck < 0.15:
                self.unanswered += 1
                return "break"
            return "ok"


@dataclass(frozen=True)
class Outcome:
    changes: dict[str, list[str]]
    counting: Counting
    kills: Counter[str]

    @property
    def lost(self) -> int:
        """Changes of which the receiver heard nothing."""
        return sum(
            (Counter(wanted) - Counter(self.counting.order.get(name, []))).total() for name, wanted in self.changes.items()
        )

    @property
    def counted_twice(self) -> int:
        """Keys beyond the changes: a change that was told under a second name."""
        return sum((Counter(got) - Counter(self.changes.get(name, []))).total() for name, got in self.counting.order.items())

    @property
    def out_of_order(self) -> int:
        """Backends of which a change came, for the first time, after a later one."""
        return sum(self.counting.order.get(name, []) != wanted for name, wanted in self.changes.items())

    @property
    def holds(self) -> bool:
        return self.lost == self.counted_twice == self.out_of_order == 0

    def figures(self) -> tuple[int, ...]:
        """As `FIGURES` names them."""
        changes, kills = sum(map(len, self.changes.values())), self.kills.total()
        return changes, kills, len(self.counting.taken), self.lost, self.counted_twice, self.out_of_order

    def sentence(self) -> str:
        return " ".join(f"{name}={figure}" for name, figure in zip(FIGURES, self.figures(), strict=True))


class Chaos:
    """One run on one empty database."""

    def __init__(self, url: str, folder: Path, seed: int) -> None:
        self._rng = random.Random(seed)
        self._url, self._down_file = url, folder / "down.json"
        self.counting = Counting(random.Random(seed + 1))
        self.kills: Counter[str] = Counter()
        self.changes: dict[str, list[str]] = {}
        self._down: set[str] = set()
        self._child: Any = None
        self._places: list[str] = []
        self._place: str | None = None
        self._dies_at = 0.0
        self._fork = multiprocessing.get_context("forkserver")
        self._fork.set_forkserver_preload(["tests.monitor.alert_chaos_child"])
        engine = url.replace("postgresql:", "postgresql+psycopg:") if url.startswith("postgresql") else url
        self._engine = sa.create_engine(engine, poolclass=sa.NullPool)

    def run(self, rounds: int, *, places: int = 0) -> Outcome:
        """At least so many rounds of changes, and on until it was killed at so many of `PLACES`, which takes its time."""
        with serving(self.counting) as port:
            self._settings = {"routes": [{"name": "ops", "url": f"json://127.0.0.1:{port}/"}], "for_s": {"BackendDown": 0}}
            try:
                self._say()
                done = 0
                while done < rounds or len(self.kills.keys() & set(PLACES)) < places:
                    assert done < MOST * rounds, f"killed at {sorted(self.kills)} only, within {done} rounds"
                    done += 1
                    self._change()
                    self._until(self._settled, SETTLED_WITHIN_S, "every change has settled")
                self._until(self._all_told, TOLD_WITHIN_S, "everything that settled was told")
            finally:
                if self._child is not None:
                    self._child.kill()
                    self._child.join()
                self._engine.dispose()
        return Outcome(self.changes, self.counting, self.kills)

    def _change(self) -> None:
        for name in self._rng.sample(NAMES, self._rng.randint(1, 3)):
            self._down ^= {name}
            self.changes.setdefault(name, []).append("FIRING" if name in self._down else "RESOLVED")
        self._say()

    def _say(self) -> None:
        fresh = self._down_file.with_suffix(".new")
        fresh.write_text(json.dumps(sorted(self._down)))
        fresh.replace(self._down_file)

    def _until(self, look: Any, within_s: float, what: str) -> None:
        """Keep a child alive meanwhile: the next one knows another place to die at."""
        end = time.monotonic() + within_s
        while True:
            self._look_after_child()
            if look():
                return
            if time.monotonic() > end:
                raise AssertionError(
                    f"not within {within_s:g} s: {what} ({Outcome(self.changes, self.counting, self.kills).sentence()})"
                )
            time.sleep(0.005)

    def _look_after_child(self) -> None:
        if self._child is not None and self._place == "any moment" and time.monotonic() > self._dies_at:
            self._child.kill()
            self._child.join()
        if self._child is not None and self._child.is_alive():
            return
        if self._child is not None:
            assert self._child.exitcode == -9, f"the child ended by itself ({self._child.exitcode}): its output says why"
            self.kills[str(self._place)] += 1
        if not self._places:
            self._places = self._rng.sample((*PLACES, "any moment"), len(PLACES) + 1)
        self._place = self._places.pop()
        self._dies_at = time.monotonic() + self._rng.uniform(0.02, 0.4)
        place = None if self._place == "any moment" else self._place
        task = Task(self._url, self._settings, self._down_file, place, self._rng.choice((1, 1, 2, 4)))
        self._child = self._fork.Process(target=run, args=(task,), daemon=True)
        self._child.start()

    def _settled(self) -> bool:
        wanted = {f"backend:{name}": name in self._down for name in self.changes}
        rows = self._ask("SELECT key, state FROM alert ORDER BY id")
        states = {key: state == "firing" for key, state in rows if state != "pending"}
        return all(states.get(key, False) == down for key, down in wanted.items())

    def _all_told(self) -> bool:
        ((waiting,),) = self._ask("SELECT count(*) FROM delivery WHERE sent_at IS NULL") or [(1,)]
        return int(waiting) == 0

    def _ask(self, statement: str) -> list[Any]:
        """Nothing before the first child has made the tables."""
        try:
            with self._engine.connect() as connection:
                return list(connection.execute(sa.text(statement)).all())
        except sa.exc.DBAPIError:
            return []


@contextmanager
def serving(counting: Counting) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answer = counting.take(self.headers["Idempotency-Key"], body["title"])
            if answer == "break":
                self.close_connection = True
                return
            try:
                self.send_response(200 if answer == "ok" else 500)
                self.send_header("content-length", "0")
                self.end_headers()
            except OSError:
                pass  # it was killed while we spoke

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.monitor.alert_chaos")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--db", choices=["sqlite", "postgresql"], action="append")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    outcomes = []
    for kind in given.db or ["sqlite", "postgresql"]:
        with tempfile.TemporaryDirectory(prefix="face-auth-alerts-") as folder, database(kind, Path(folder)) as url:
            outcome = Chaos(url, Path(folder), given.seed).run(given.rounds)
        for place, count in sorted(outcome.kills.items()):
            print(f"{kind:11} killed {place:18} {count:5}")
        counting = outcome.counting
        again = counting.taken.total() - len(counting.taken)
        print(f"{kind:11} refused {counting.refused}, unanswered {counting.unanswered}, came again with the same key {again}")
        print(f"{kind:11} {outcome.sentence()}", flush=True)
        outcomes.append(outcome)
    sums = [sum(figures) for figures in zip(*(one.figures() for one in outcomes), strict=True)]
    print(" ".join(f"{name}={figure}" for name, figure in zip(FIGURES, sums, strict=True)))
    return 0 if all(one.holds for one in outcomes) else 1


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder}/monitor.db"
        return
    with postgres_server() as server:
        yield server.new_database()


if __name__ == "__main__":
    sys.exit(main())
