"""Replicas that come back whenever they are killed, and kills that are aimed at the moment between the two transactions."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlmodel import col, select

from backend.errors import Unavailable
from backend.store.database import Store
from backend.store.job_leases import instance_of
from backend.store.keyring import Keyring
from backend.store.tables import Enrolment, EnrolmentState
from tests.system.running_fleet import ROOT

AIMED_SHARE = 0.6
AIM_S = 5.0
"""How long a moment is waited for before the kill is a random one after all."""


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

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.kills += 1

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Killer:
    """Watches the ledger itself, by short reads, for enrolments whose T1 is committed and whose T2 is not."""

    def __init__(self, replicas: Sequence[Replica], url: str, key_file: Path, rng: random.Random) -> None:
        self._replicas, self._rng = replicas, rng
        self._url, self._key_file = url, key_file
        self.between_t1_and_t2 = 0
        """kills after which an enrolment of the dead replica was still between its transactions"""

    def run(self, kills: int, until: float) -> None:
        """Kill a ready replica while another one is ready too; `until`: time.monotonic()."""
        with closing(Store.open(self._url, keyring=Keyring.load(self._key_file))) as store:
            killed = 0
            while killed < kills and time.monotonic() < until:
                ready = [replica for replica in self._replicas if replica.ready()]
                if len(ready) < 2:
                    time.sleep(0.1)
                    continue
                self._kill_one(store, ready)
                killed += 1

    def _kill_one(self, store: Store, ready: Sequence[Replica]) -> None:
        victim = self._aimed(store, ready) if self._rng.random() < AIMED_SHARE else None
        if victim is None:
            time.sleep(self._rng.uniform(0.0, 0.7))
            victim = self._rng.choice(ready)
        victim.kill()
        self.between_t1_and_t2 += victim.name in holders(store)
        victim.start()

    def _aimed(self, store: Store, ready: Sequence[Replica]) -> Replica | None:
        names = {replica.name: replica for replica in ready}
        until = time.monotonic() + AIM_S
        while time.monotonic() < until:
            for holder in holders(store):
                if holder in names:
                    return names[holder]
            time.sleep(0.001)
        return None


def holders(store: Store) -> list[str]:
    """Replicas with an enrolment between its two transactions whose lease still runs, newest first."""
    try:
        with store.read() as session:
            pending = select(Enrolment.lease_holder).where(
                Enrolment.state == EnrolmentState.pending, col(Enrolment.lease_until) > store.now(session)
            )
            return [instance_of(holder) for holder in session.exec(pending.order_by(col(Enrolment.first_seq).desc()))]
    except Unavailable:
        return []
