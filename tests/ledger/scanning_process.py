"""A replica that works on the scan under way, in a process of its own: `python -m tests.ledger.scanning_process FOLDER URL`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from backend import scan_job
from backend.scan_job import ScanJob
from tests.ledger.world import CARD, THRESHOLDS, World


def main(folder: str, url: str) -> None:
    scan_job.BLOCK, scan_job.AT_ONCE = 4, 2
    node = World(Path(folder), database_url=url).node()
    job = ScanJob(node.store, node.replica, CARD, THRESHOLDS, holder="killed", lease_s=30)
    step = job._step
    job._step = lambda *given: (time.sleep(0.2), step(*given))[1]  # type: ignore[method-assign]
    job.work()
    node.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
