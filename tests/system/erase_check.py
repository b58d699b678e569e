"""Erased is erased: are the bytes of somebody's face, vector, external id or name in any file afterwards?

    python -m tests.system.erase_check --db sqlite
    python -m tests.system.erase_check            # sqlite, then postgresql

A real service enrols a dozen people. One of them (two pictures, a twin merged into her, an open case that somebody holds) is
asked about, exported, and named in requests that fail; then she is erased. When the database is scrubbed, the index snapshot
renewed and a backup made, every byte of the data folder, the snapshots, the logs, the backup and, for PostgreSQL, of the
server's whole folder with its write-ahead log is searched for what she was (`tests/system/erase_search.py`: in which forms).

Before that it is shown that the search would see her: each thing in a file where it stands plainly, and her ciphertexts in the
database's own files, in a backup and, with PostgreSQL, in rows. Afterwards nothing plain may be found anywhere, and no ciphertext
and no wrapped key in any file of the service: SQLite's database and its log, snapshots, logs, a backup. In PostgreSQL's own files
no row may hold any, living or dead, of whatever table (`tests/postgres_pages.py`). What may stay there until the server uses the
space again (`docs/decisions/0013`) are copies in the gaps of pages and in the write-ahead log: those are counted and told.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from sqlmodel import col, select

from backend.store import scrubbing
from backend.store.database import Store
from backend.store.keyring import Keyring
from backend.store.tables import Change, GalleryChange, IndexSnapshot, Outbox
from tests.api.service import Service, Site, make_site, serving, wait_until
from tests.postgres import PostgresServer, postgres_server
from tests.postgres_pages import rows
from tests.system.erase_people import Victim, enrollable, settle, traces_of
from tests.system.erase_search import Found, Trace, files_under, search
from tests.system.running_fleet import ROOT

PEOPLE = 12
PLACES = ("files", "rows", "elsewhere", "gaps", "wal")
MAY_KEEP = frozenset({"gaps", "wal"})
"""PostgreSQL's alone, until it uses that space again"""
SNAPSHOT_EVERY_S = 1
HERS = "C001051_carter"


@dataclass(frozen=True)
class Database:
    """Where the ledger is, and where its server keeps it."""

    url: str
    server: PostgresServer | None = None

    @property
    def kind(self) -> str:
        return "sqlite" if self.server is None else "postgresql"

    @property
    def folders(self) -> list[Path]:
        """Beside the service's own."""
        return [] if self.server is None else [self.server.folder]

    def place_of(self, path: Path) -> str:
        """`gaps`: of the server's pages, of which another look is taken at what stands there as a row."""
        if self.server is None or not path.is_relative_to(self.server.folder):
            return "files"
        in_wal, in_pages = "pg_wal" in path.parts, "base" in path.parts
        return "wal" if in_wal else "gaps" if in_pages else "elsewhere"

    def in_rows(self, traces: Sequence[Trace]) -> set[str]:
        """Which of them stand in a row of PostgreSQL, living or dead."""
        if self.server is None:
            return set()
        stored = b"".join(data for _, data in rows(self.url))
        return {trace.name for trace in traces if any(needle in stored for needle in trace.needles())}

    def flush(self) -> None:
        """Everything that the server has in memory, or SQLite in its log alone, stands in the database's files.

        A log that is cut while its files are searched, after the one and before the other, would hide what it held.
        """
        if self.server is None:
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=10)) as connection:
                connection.execute("PRAGMA wal_checkpoint(FULL)").fetchall()
        else:
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute("CHECKPOINT")


@dataclass
class Outcome:
    database: str
    found: Found
    """plain bytes, in any file"""
    unseen: list[str] = field(default_factory=list)
    """what the search did not see where it surely was: then its silence proves nothing"""
    sealed_left: dict[str, int] = field(default_factory=dict)
    """place → her ciphertexts in it, of those that were there"""
    keys_left: dict[str, int] = field(default_factory=dict)
    """place → her wrapped data keys in it"""

    @property
    def kept(self) -> dict[str, int]:
        """place → ciphertexts and keys in it, where none may be left"""
        left = {place: self.sealed_left[place] + self.keys_left[place] for place in PLACES if place not in MAY_KEEP}
        return {place: count for place, count in left.items() if count}

    @property
    def holds(self) -> bool:
        return not self.unseen and not self.found.places and not self.kept


def run(database: Database, folder: Path, testdata: Path, *, people: int = PEOPLE) -> Outcome:
    """The whole experiment in `folder`, on an empty database."""
    site = make_site(
        folder / "site", BACKEND_ENGINE="insightface", BACKEND_MODEL_PACK=str(testdata / "models" / "test_mbf"),
        BACKEND_DATABASE_URL=database.url, BACKEND_LOG_LEVEL="DEBUG",
    )  # fmt: skip
    snapshots = {"BACKEND_SNAPSHOT_DIR": str(site.folder / "snapshots"), "BACKEND_SNAPSHOT_EVERY_S": str(SNAPSHOT_EVERY_S)}
    hers = sorted((testdata / "faces" / HERS).glob("*.jpg"))[:2]
    store = Store.open(database.url, keyring=Keyring.load(site.folder / "master.key"))
    with closing(store), serving(site, name="b1", **snapshots) as service:
        client = service.client(site.key("client"))
        crowd = enrollable(client, sorted((testdata / "gallery").glob("*.jpg")), people - 3)
        victim = traces_of(store, settle(service, crowd, hers), hers)
        wait_until(lambda: _snapshot_covers(store, victim.seq), within_s=60, what="a snapshot with her in it")
        outcome = Outcome(database.kind, Found(), unseen=_unseen(database, site, victim, folder / "control"))
        client.erase_subject(victim.subject_id)
        _until_gone(store, service)
        database.flush()
        _back_up(site, site.folder / "backup")
        files = files_under(site.folder, *database.folders)
        outcome.found = search(files, victim.plain)
        outcome.sealed_left = _left(files, victim.sealed, database)
        outcome.keys_left = _left(files, victim.key, database)
    return outcome


def _unseen(database: Database, site: Site, victim: Victim, control: Path) -> list[str]:
    """The proof that the search sees: all that is plain in files of ours, all that is sealed in the database's."""
    database.flush()
    control.mkdir()
    for number, trace in enumerate(victim.plain):
        for place, form in enumerate(sorted(trace.needles())):
            (control / f"{number}-{place}").write_bytes(b"before " + form + b" after")
    plain = search(files_under(control), victim.plain)
    told = len({path for _, path in plain.places})
    blind = [] if told == plain.files else [f"{plain.files - told} forms in plain files"]
    sealed = (*victim.sealed, *victim.key)
    own = [site.folder] if database.server is None else database.folders
    _back_up(site, control / "backup")
    stored, backed_up = search(files_under(*own), sealed), search(files_under(control / "backup"), sealed)
    missed = [trace.name for trace in victim.plain if trace.name not in plain.names]
    seen = stored.names & backed_up.names & (stored.names if database.server is None else database.in_rows(sealed))
    return [*blind, *missed, *(trace.name for trace in sealed if trace.name not in seen)]


def _back_up(site: Site, folder: Path) -> None:
    folder.mkdir()
    made = site.command("backup", str(folder / "ledger.backup"))
    assert made.returncode == 0, made.stderr


def _snapshot_covers(store: Store, seq: int) -> bool:
    with store.read() as session:
        row = session.exec(select(IndexSnapshot)).first()
    return row is not None and row.seq >= seq


def _until_gone(store: Store, service: Service) -> None:
    with store.read() as session:
        removals = select(GalleryChange.seq).where(GalleryChange.kind == Change.remove).order_by(col(GalleryChange.seq).desc())
        last = session.exec(removals.limit(1)).one() or 0
    wait_until(lambda: _snapshot_covers(store, last), within_s=60, what="a snapshot without her")
    wait_until(lambda: _is_scrubbed(store), within_s=60, what="the scrubbing")
    wait_until(lambda: "route=/v1/subjects/{subject_id} status=204" in service.log("access.log"), what="the log's line")


def _is_scrubbed(store: Store) -> bool:
    with store.read() as session:
        return session.exec(select(Outbox).where(Outbox.topic == scrubbing.SCRUB)).first() is None


def _left(files: Sequence[Path], traces: Sequence[Trace], database: Database) -> dict[str, int]:
    """Of her ciphertexts or keys, by the kind of place that they are still in."""
    found = search(files, traces)
    kinds: dict[str, set[str]] = {place: set() for place in PLACES} | {"rows": database.in_rows(traces)}
    for name, path in found.places:
        kinds[database.place_of(path)].add(name)
    return {kind: len(names) for kind, names in kinds.items()}


@contextmanager
def fresh_database(kind: str, folder: Path) -> Iterator[Database]:
    if kind == "sqlite":
        yield Database(f"sqlite:///{folder / 'site' / 'data' / 'face-auth.db'}")
        return
    with postgres_server() as server:
        yield Database(server.new_database(), server)


def report(outcome: Outcome) -> str:
    lines = [f"not seen where it was: {name}" for name in outcome.unseen]
    lines += [f"FOUND {name} in {path.name}: {count}" for (name, path), count in sorted(outcome.found.places.items())]
    lines += [f"LEFT in {place}: {count}" for place, count in outcome.kept.items()]
    told = {f"ciphertexts_in_{place}": count for place, count in outcome.sealed_left.items()}
    told |= {f"wrapped_keys_in_{place}": count for place, count in outcome.keys_left.items()}
    told |= {"files": outcome.found.files, "bytes": outcome.found.bytes, "found": len(outcome.found.places)}
    return "\n".join([*lines, " ".join([f"db={outcome.database}", *(f"{name}={value}" for name, value in told.items())])])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--db", choices=("sqlite", "postgresql"), action="append", help="default: both")
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--testdata", type=Path, default=ROOT.parent / "shared" / "testdata")
    options = parser.parse_args()
    outcomes: list[Outcome] = []
    for kind in options.db or ("sqlite", "postgresql"):
        with tempfile.TemporaryDirectory() as folder, fresh_database(kind, Path(folder)) as database:
            outcomes.append(run(database, Path(folder), options.testdata, people=options.people))
        print(report(outcomes[-1]), flush=True)
    files, size = sum(outcome.found.files for outcome in outcomes), sum(outcome.found.bytes for outcome in outcomes)
    print(f"files={files} bytes={size} found={sum(len(outcome.found.places) for outcome in outcomes)}")
    return 0 if all(outcome.holds for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
