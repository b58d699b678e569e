"""Four writers in a process of their own: `python -m tests.bench.writers FOLDER URL SEED`; three such write one SQLite file.

Reads `ours` or `peer` from standard input and answers each with the latencies of one round, in seconds, as JSON. `ours` enrols
made-up people through the whole ledger path. `peer` does what no ledger can do without: the bytes of an enrolment into a bare
table in one durable transaction, and a small one after it, by as many writers, queued in the process as ours are.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tests.ledger.world import CLIENT, People, World, face

THREADS, EACH = 4, 20
CROP_BYTES = 30_000


def main(folder: str, url: str, seed: str) -> None:
    node = World(Path(folder), database_url=None if url.startswith("sqlite") else url).node()
    people = People(np.random.default_rng(int(seed)))
    lock, queue = threading.Lock(), threading.Lock()
    bare = threading.local()
    crop = secrets.token_bytes(CROP_BYTES)

    def ours() -> None:
        with lock:
            vector = people.stranger()
        node.enrolments.enrol([face(vector, crop)], caller=CLIENT)

    def peer() -> None:
        if not hasattr(bare, "connection"):
            bare.connection = connect(Path(folder) / "bare.db")
        for statement, values in (
            ("INSERT INTO bare (content) VALUES (?)", (crop,)),
            ("INSERT INTO bare (content) VALUES (?)", (b"",)),
        ):
            with queue:
                bare.connection.execute("BEGIN IMMEDIATE")
                bare.connection.execute(statement, values)
                bare.connection.execute("COMMIT")

    print("ready", flush=True)
    with ThreadPoolExecutor(THREADS) as pool:
        for line in sys.stdin:
            work = ours if line.strip() == "ours" else peer
            latencies = [took for part in pool.map(lambda _, work=work: timed(work), range(THREADS)) for took in part]  # type: ignore[misc]
            print(json.dumps(latencies), flush=True)
    node.close()


def timed(work: Callable[[], None]) -> list[float]:
    took = []
    for _ in range(EACH):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return took


def connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=60, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=wal")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS bare (id INTEGER PRIMARY KEY, content BLOB)")
    return connection


if __name__ == "__main__":
    main(*sys.argv[1:])
