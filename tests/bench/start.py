"""The start of a replica from a snapshot of its index, beside the reading of the file by itself.

What is real: the file, its row and its key in a ledger, every check, the index that comes out, in step and searchable. What is
short: the ledger's log, which has one row, its head, with the count and the checksum of the whole gallery. A start never reads
more of it than what came after the snapshot; making a million people would take hours and change nothing.
The file is in the page cache for both sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from backend.faces.engine import Metric, ModelCard
from backend.gallery.flat import FlatIndex
from backend.gallery.follow import Position
from backend.gallery.memory import room_for
from backend.gallery.replica import Replica
from backend.gallery.snapshot import Snapshots
from backend.gallery.snapshot_folder import Place
from backend.store import gallery_log
from backend.store.database import Store
from backend.store.keyring import Keyring
from backend.store.migration import pin, upgrade
from backend.store.tables import Change, GalleryChange
from tests.bench.measure import Benchmark, Setting, compared, seconds

DIMENSION = 512
MANY, FEWER = 1_000_000, 100_000
AT_ONCE = 50_000
CARD = ModelCard("bench-512", "bench", "none", DIMENSION, Metric.cosine, "none", 0.5, 0.6, 0.9, None)


def start(setting: Setting) -> Iterator[Benchmark]:
    n = FEWER if setting.quick else MANY
    store = _ledger(setting.folder, n)
    try:
        _write_snapshot(store, setting.folder, n)
        (file,) = setting.folder.rglob("*.snapshot")
        yield compared(
            f"start of a replica with {n:,} templates (512-d) from its snapshot",
            lambda: seconds(lambda: _start(store, setting.folder, n)),
            lambda: seconds(file.read_bytes),
            unit="s",
            peer=f"reading the file, {file.stat().st_size / 2**20:,.0f} MiB, into memory",
            aim="< 20 s",
            rounds=setting.rounds,
        )
    finally:
        store.close()


def _ledger(folder: Path, n: int) -> Store:
    """A ledger whose log ends at `n`, with `n` templates in the gallery."""
    url, key_file = f"sqlite:///{folder / 'ledger.db'}", folder / "ledger.key"
    upgrade(url)
    keyring = Keyring.create(key_file)
    pin(url, keyring=keyring, model_id=CARD.model_id)
    store = Store.open(url, keyring=keyring)
    with store.write() as session:
        session.add(
            GalleryChange(
                seq=n,
                gallery_id=store.gallery_id,
                kind=Change.add,
                template_id="tpl_last",
                add_seq=n,
                model_id=CARD.model_id,
                count=n,
                checksum=gallery_log.checksum_of(np.arange(1, n + 1, dtype=np.int64)),
                at=store.now(session),
            )
        )
    return store


def _write_snapshot(store: Store, folder: Path, n: int) -> None:
    """As the background job of a replica does it that has all of them in its index."""
    with store.read() as session:
        full = Position(_filled(n), store.gallery(session).epoch, seq=n)
    snapshots = _snapshots(store, folder)
    replica = Replica(store, CARD, room=room_for(CARD, 1 << 40), start_from=lambda room: snapshots.load(room) or full)
    replica.catch_up()
    snapshots.keep(replica)


def _filled(n: int) -> FlatIndex:
    rng, index = np.random.default_rng(7), FlatIndex(DIMENSION, Metric.cosine)
    index.reserve(n)
    for first in range(0, n, AT_ONCE):
        ids = np.arange(first + 1, min(n, first + AT_ONCE) + 1, dtype=np.int64)
        vectors = rng.standard_normal((len(ids), DIMENSION), dtype=np.float32)
        index.add(ids, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return index


def _start(store: Store, folder: Path, n: int) -> None:
    replica = Replica(store, CARD, room=room_for(CARD, 1 << 40), start_from=_snapshots(store, folder).load)
    replica.catch_up()
    status = replica.status()
    if status.problem is not None or status.size != n:
        raise RuntimeError(f"the replica did not start from its snapshot: {status}")


def _snapshots(store: Store, folder: Path) -> Snapshots:
    return Snapshots(store, CARD, Place(folder / "snapshots", holder="bench", every_s=600, min_free_bytes=0))
