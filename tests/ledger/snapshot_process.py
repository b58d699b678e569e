"""A replica that renews its snapshot, and stops at a step to be killed there.

`python -m tests.ledger.snapshot_process FOLDER URL STEP`: says `reached` at `half-written`, `before-the-row` or `before-tidying`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from backend.gallery import snapshot_file
from backend.gallery.replica import Replica, Standing
from backend.gallery.snapshot import Snapshots
from backend.gallery.snapshot_folder import Place, SnapshotFolder
from tests.ledger.world import CARD, DIMENSION, World


class SlowReplica(Replica):
    """Gives the first part of its index, and never the second."""

    asked = 0

    def vectors(self, standing: Standing, ids: np.ndarray) -> np.ndarray:
        self.asked += 1
        if self.asked == 2:
            stop_here()
        return super().vectors(standing, ids)


def main(folder: str, url: str, step: str) -> None:
    snapshot_file.CHUNK_BYTES = 3 * (8 + 2 * DIMENSION)
    node = World(Path(folder), database_url=url).node()
    kept = Snapshots(node.store, CARD, Place(Path(folder) / "snapshots", "b1", 600.0, 0))
    kind = SlowReplica if step == "half-written" else Replica
    replica = kind(node.store, CARD, start_from=kept.load)
    replica.catch_up()
    if step == "before-the-row":
        kept._put = stop_here  # type: ignore[method-assign]
    if step == "before-tidying":
        SnapshotFolder.tidy = stop_here  # type: ignore[method-assign, assignment]
    kept.keep(replica)


def stop_here(*_: object, **__: object) -> None:
    print("reached", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
