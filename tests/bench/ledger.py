"""What the ledger costs beside bare durable commits: of twelve writers on one SQLite file, and of one under the ledger lock."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import psycopg

from backend.store.database import Store
from backend.store.keyring import Keyring
from tests.bench.measure import Benchmark, Setting, compared, seconds
from tests.bench.writers import THREADS, connect
from tests.ledger.world import World
from tests.postgres import postgres_server
from tests.system.running_fleet import ROOT

PROCESSES = 3
COMMITS = 200


def ledger(setting: Setting) -> Iterator[Benchmark]:
    yield from _enrolment_tail(setting)
    yield from _commits(setting)


# --- twelve writers -----------------------------------------------------------------------------------------------


def _enrolment_tail(setting: Setting) -> Iterator[Benchmark]:
    folder = setting.folder / "writers"
    folder.mkdir()
    world = World(folder).create()
    connect(folder / "bare.db").close()
    with _writers(world) as ask:
        yield compared(
            f"enrolment p99, {PROCESSES} × {THREADS} writers on one SQLite file, without inference",
            lambda: _p99_ms(ask("ours")),
            lambda: _p99_ms(ask("peer")),
            unit="ms",
            peer="two bare durable commits of the same bytes, p99",
            aim="–",
            rounds=setting.rounds,
        )


def _p99_ms(latencies: list[float]) -> float:
    return float(np.percentile(latencies, 99)) * 1000


@contextmanager
def _writers(world: World) -> Iterator[Callable[[str], list[float]]]:
    """A function that has all processes do one round at once and gives every latency, in seconds."""
    command = [sys.executable, "-m", "tests.bench.writers", str(world.folder), world.url]
    running = [
        subprocess.Popen([*command, str(n)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for n in range(PROCESSES)
    ]

    def ask(which: str) -> list[float]:
        for process in running:
            assert process.stdin is not None
            process.stdin.write(f"{which}\n")
            process.stdin.flush()
        return [took for process in running for took in json.loads(_line(process))]

    try:
        for process in running:
            assert _line(process) == "ready\n"
        yield ask
    finally:
        for process in running:
            process.communicate(timeout=60)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "a writer ended"
    return line


# --- one writer ---------------------------------------------------------------------------------------------------


def _commits(setting: Setting) -> Iterator[Benchmark]:
    folder = setting.folder / "commits"
    folder.mkdir()
    bare = connect(folder / "bare.db")
    bare.execute("INSERT INTO bare VALUES (1, '')")

    def one() -> None:
        bare.execute("BEGIN IMMEDIATE")
        bare.execute("UPDATE bare SET content = content || 'x' WHERE id = 1")
        bare.execute("COMMIT")

    yield _compared_commits(setting, World(folder).create(), "SQLite", "bare sqlite3, synchronous=FULL", one)
    bare.close()
    with postgres_server() as server:
        url = server.new_database()
        world = World(setting.folder / "postgresql", database_url=url)
        world.folder.mkdir()
        world.create()
        with psycopg.connect(url) as plain:
            plain.execute("CREATE TABLE bare (id integer PRIMARY KEY, content text)")
            plain.execute("INSERT INTO bare VALUES (1, '')")
            plain.commit()

            def other() -> None:
                plain.execute("UPDATE bare SET content = content || 'x' WHERE id = 1")
                plain.commit()

            yield _compared_commits(setting, world, "PostgreSQL", "bare psycopg", other)


def _compared_commits(setting: Setting, world: World, kind: str, peer: str, bare: Callable[[], None]) -> Benchmark:
    store = Store.open(world.url, keyring=Keyring.load(world.key_file))

    def write() -> None:
        with store.write() as session:
            store.gallery(session).active_templates += 1

    def rate(work: Callable[[], None]) -> float:
        return COMMITS / seconds(lambda: [work() for _ in range(COMMITS)])

    try:
        return compared(
            f"commits under the ledger lock, {kind}",
            lambda: rate(write),
            lambda: rate(bare),
            unit="commits/s",
            peer=peer,
            aim="–",
            rounds=setting.rounds,
        )
    finally:
        store.close()
