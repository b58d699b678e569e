"""A replica in a process of its own: `python -m tests.ledger.enrolling_process FOLDER URL SEED N [stop-before-t2]`.

Enrols N looks each of the people that SEED makes, says `enrolled SUBJECT CASE` for each answer, and with
`stop-before-t2` says `t1` between the two transactions and waits there to be killed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from backend import enrolment
from backend.enrolment import Idempotency
from tests.ledger.world import CLIENT, People, World, face

PEOPLE = 4


def main(folder: str, url: str, seed: str, count: str, *mode: str) -> None:
    planted = People().strangers(PEOPLE)
    own = People()
    own.rng = own.rng.spawn(int(seed) + 1)[-1]
    if mode == ("stop-before-t2",):
        enrolment.conclude = stop_here  # type: ignore[assignment]
    node = World(Path(folder), database_url=url).node()
    for n in range(int(count)):
        look = own.like(planted[n % PEOPLE], 0.95)
        answer = node.enrolments.enrol([face(look)], caller=CLIENT, idempotency=Idempotency(f"{seed}-{n}", "0" * 64)).answer
        print("enrolled", answer.subject_id, answer.case_id, flush=True)
    node.close()


def stop_here(*_: object) -> None:
    print("t1", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
