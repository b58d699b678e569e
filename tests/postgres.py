"""A PostgreSQL server started for the tests: as `postgres` where they run as root, else as themselves."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

BIN = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
SETTINGS = """
listen_addresses = '127.0.0.1'
max_connections = 200
shared_buffers = 64MB
log_min_messages = warning
max_prepared_transactions = 4
"""
"""fsync, full_page_writes and synchronous_commit stay on: the ledger refuses a server without them."""


@dataclass
class PostgresServer:
    """`stop`, `start` and `frozen` act on this server alone, by its own data folder and process id."""

    folder: Path
    port: int
    programs: Path
    """the folder of `pg_ctl` and `initdb`"""
    made: int = 0

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def new_database(self, template: str = "template1", encoding: str = "UTF8") -> str:
        """The URL of a fresh database, a copy of `template`; one in another encoding is a copy of `template0`."""
        self.made += 1
        name = f"test_{os.getpid()}_{self.made}"
        foreign = "" if encoding == "UTF8" else f" ENCODING '{encoding}' LOCALE 'C'"
        self._admin(f'CREATE DATABASE "{name}" TEMPLATE "{"template0" if foreign else template}"{foreign}')
        return self.url(name)

    def drop(self, url: str) -> None:
        self._admin(f'DROP DATABASE IF EXISTS "{url.rsplit("/", 1)[1]}" WITH (FORCE)')

    def _admin(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def start(self) -> None:
        self._run("pg_ctl", "-D", str(self.data), "-w", "-t", "60", "-l", str(self.folder / "log"), "start")

    def stop(self, how: str = "fast") -> None:
        self._run("pg_ctl", "-D", str(self.data), "-w", "-t", "60", "-m", how, "stop")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Every process of it halted: connections are accepted, and nothing is ever answered."""
        postmaster = psutil.Process(self.pid)
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                process.send_signal(signal.SIGCONT)

    @property
    def pid(self) -> int:
        """The postmaster's."""
        return int((self.data / "postmaster.pid").read_text().splitlines()[0])

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), *arguments]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *command]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, f"{program}: {done.stdout} {done.stderr}"


def is_installed() -> bool:
    return bool(BIN)


@contextmanager
def postgres_server(programs: Path | None = None) -> Iterator[PostgresServer]:
    """A running server with an empty cluster; stopped, and its files deleted, at the end. `programs`: default Debian's newest."""
    folder = Path(tempfile.mkdtemp(prefix="face-auth-postgres-"))
    server = PostgresServer(folder, _free_port(), programs or BIN[-1])
    try:
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        server._run("initdb", "-D", str(server.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        with (server.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(f"{SETTINGS}port = {server.port}\nunix_socket_directories = '{folder}'\n")
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
