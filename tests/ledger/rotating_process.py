"""A rotation that kills itself after its first batch: `python -m tests.ledger.rotating_process URL KEY_FILE BATCH`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from backend.store import rotation
from backend.store.database import Store
from backend.store.keyring import Keyring


def main(url: str, key_file: str, batch: str) -> None:
    rotation.BATCH = int(batch)
    rewrap = rotation._rewrap_subjects

    def once(store: Store, ids: Sequence[str]) -> int:
        rewrap(store, ids)
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    rotation._rewrap_subjects = once
    rotation.rotate(Store.open(url, keyring=Keyring.load(Path(key_file))))


if __name__ == "__main__":
    main(*sys.argv[1:])
