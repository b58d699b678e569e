from __future__ import annotations

import logging
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlmodel import Session, col, delete, select, update

from backend.errors import GalleryBehind
from backend.faces.engine import Metric, Vector
from backend.faces.score import scores
from backend.gallery import snapshot, snapshot_file
from backend.gallery.candidates import MARGIN
from backend.gallery.flat import FlatIndex
from backend.gallery.memory import Room, room_for
from backend.gallery.replica import Replica, Standing
from backend.gallery.snapshot import LARGEST_NORM, Snapshots
from backend.gallery.snapshot_file import Header, Unusable
from backend.gallery.snapshot_folder import Place, SnapshotNotKept
from backend.recognition import LEAST_FETCHED
from backend.store import index_snapshots
from backend.store.key_file import KeyFileWatch, add_key, keep_newest
from backend.store.keyring import SEALED_MORE, DataKey, Keyring, KeyringError, fresh_key
from backend.store.rotation import retire, rotate
from backend.store.tables import GalleryChange, IndexSnapshot, Subject
from tests.ledger.world import CARD, CLIENT, DIMENSION, ON_SQLITE, Node, People, World, probe

EVERY_S = 600.0


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three templates to a chunk, so that a handful makes several."""
    monkeypatch.setattr(snapshot_file, "CHUNK_BYTES", 3 * (8 + 2 * DIMENSION) + 5)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What the snapshots have said since it was last asked, with the reason behind it."""
    caplog.set_level(logging.INFO, logger=snapshot.__name__)

    def taken() -> list[str]:
        said = [record for record in caplog.records if record.name == snapshot.__name__]
        found = [f"{record.getMessage()} | {record.__dict__.get('fields', {}).get('why', '')}" for record in said]
        caplog.clear()
        return found

    return taken


def snapshots(world: World, node: Node, *, holder: str = "b1", min_free_bytes: int = 0) -> Snapshots:
    return Snapshots(node.store, world.card, Place(world.folder / "snapshots", holder, EVERY_S, min_free_bytes))


def started(world: World, node: Node, *, holder: str = "b1") -> tuple[Replica, Snapshots]:
    """As a replica starts: from its snapshot if there is one to trust, then in step with the log."""
    kept = snapshots(world, node, holder=holder)
    replica = Replica(node.store, world.card, start_from=kept.load)
    replica.catch_up()
    assert replica.status().problem is None
    return replica, kept


def files(world: World) -> list[Path]:
    return sorted(path for path in (world.folder / "snapshots").rglob("*") if path.is_file())


def rows(node: Node) -> list[IndexSnapshot]:
    with node.store.read() as session:
        return list(session.exec(select(IndexSnapshot).order_by(col(IndexSnapshot.holder))))


def filled(world: World, node: Node, people: People, n: int = 8) -> list[Vector]:
    """`n` people, and a snapshot of them by replica b1."""
    vectors = people.strangers(n)
    for vector in vectors:
        node.enrol(vector)
    replica, kept = started(world, node)
    kept.keep(replica)
    return vectors


def age(node: Node, seconds: float = EVERY_S) -> None:
    """Let every snapshot be due."""
    with node.store.write() as session:
        for row in session.exec(select(IndexSnapshot)):
            row.created_at -= timedelta(seconds=seconds)


def live(node: Node) -> set[int]:
    node.replica.catch_up()
    return set(node.replica._position.index.ids().tolist())


# --- starting from one ------------------------------------------------------------------------------------------------


def test_a_replica_starts_from_its_snapshot_and_follows_what_came_after(
    world: World, node: Node, people: People, lines: Callable[[], list[str]]
) -> None:
    vectors = people.strangers(9)
    first = [node.enrol(vector) for vector in vectors[:7]]
    replica, kept = started(world, node)
    assert lines() == ["no index snapshot: reading the gallery from the database | "]
    kept.keep(replica)
    assert lines() == ["index snapshot written | "]
    node.subjects.erase(first[2].subject_id, caller=CLIENT)
    node.enrol(vectors[8])
    again, _ = started(world, node)
    assert lines() == ["started from the index snapshot | "]
    assert set(again._position.index.ids().tolist()) == live(node)
    assert again.nearest(vectors[8], 1).scores[0] > 0.99
    assert again.within(vectors[2], 0.5).ids.size == 0
    told = again.status()
    assert (told.seq, told.checksum, told.epoch) == (
        node.replica.seq,
        node.replica.status().checksum,
        node.replica.status().epoch,
    )


def test_nobody_is_answered_from_a_gallery_that_is_still_being_loaded(world: World, node: Node, people: People) -> None:
    vectors = filled(world, node, people)
    kept, seen = snapshots(world, node), []

    def load(room: Room) -> object:
        found = kept.load(room)
        seen.append(replica.status().problem)
        with pytest.raises(GalleryBehind):
            replica.nearest(vectors[0], 1)
        return found

    replica = Replica(node.store, world.card, start_from=load)  # type: ignore[arg-type]
    replica.catch_up()
    assert seen == ["The gallery is being built anew"]
    assert replica.nearest(vectors[0], 1).ids.size == 1


def test_a_snapshot_is_for_the_start_only(world: World, node: Node, people: People, lines: Callable[[], list[str]]) -> None:
    filled(world, node, people)
    replica, _ = started(world, node)
    lines()
    replica._position.index.remove(replica._position.index.ids()[:1])
    replica.catch_up()
    assert lines() == []
    assert set(replica._position.index.ids().tolist()) == live(node)


def flipped(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def chunks_swapped(path: Path) -> None:
    """The first two chunks, which are equally long, in each other's place."""
    data, size = path.read_bytes(), 12 + 3 * (8 + 2 * DIMENSION) + 16
    start = 12 + int.from_bytes(data[8:12], "little")
    path.write_bytes(data[:start] + data[start + size : start + 2 * size] + data[start : start + size] + data[start + 2 * size :])


def header_says(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a changed byte in a chunk": (lambda path: flipped(path, -40), "does not open"),
    "a changed byte in the last tag": (lambda path: flipped(path, -1), "does not open"),
    "a changed magic": (lambda path: flipped(path, 3), "no snapshot of this kind"),
    "a changed header": (lambda path: flipped(path, 20), "header differs"),
    "a header that is no JSON": (lambda path: flipped(path, 12), "header differs from the database in: its form"),
    "another number in the header": (lambda path: header_says(path, b'"count":8', b'"count":7'), "header differs.*count"),
    "a model in the header": (lambda path: header_says(path, b"cosine", b"kosine"), "header differs.*model_id"),
    "chunks in another order": (chunks_swapped, "does not open"),
    "cut off by a byte": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "cut off"),
    "cut off by a chunk": (lambda path: path.write_bytes(path.read_bytes()[: -(28 + 2 * (8 + 2 * DIMENSION))]), "cut off"),
    "cut off in the header": (lambda path: path.write_bytes(path.read_bytes()[:40]), "header differs"),
    "lengthened": (lambda path: path.write_bytes(path.read_bytes() + b"\0"), "too long"),
    "empty": (lambda path: path.write_bytes(b""), "no snapshot of this kind"),
    "gone": (Path.unlink, "gone"),
    "unreadable": (lambda path: (path.unlink(), path.symlink_to(path)), "cannot be read"),
}


@ON_SQLITE  # whichever the database: this is about the file
@pytest.mark.parametrize(("damage", "why"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_refused_with_one_line_and_the_gallery_read_from_sql(
    world: World, node: Node, people: People, lines: Callable[[], list[str]], damage: Callable[[Path], object], why: str
) -> None:
    vectors = filled(world, node, people)
    (file,) = files(world)
    damage(file)
    refused(world, node, vectors, lines, why)


def refused(world: World, node: Node, vectors: list[Vector], lines: Callable[[], list[str]], why: str) -> None:
    """One line; right answers; the row destroyed; and the next snapshot is as good as ever."""
    lines()
    replica, kept = started(world, node)
    (line,) = lines()
    assert line.startswith("index snapshot refused: reading the gallery from the database | ")
    assert re.search(why, line), line
    assert set(replica._position.index.ids().tolist()) == live(node)
    for vector in vectors:
        assert replica.within(vector, 0.999).ids.size == 1
    assert "b1" not in [row.holder for row in rows(node)]
    kept.keep(replica)
    lines()
    started(world, node)
    assert lines() == ["started from the index snapshot | "]


def test_another_replicas_file_is_refused(world: World, node: Node, people: People, lines: Callable[[], list[str]]) -> None:
    vectors = filled(world, node, people)
    (mine,) = files(world)
    replica, kept = started(world, node, holder="b2")
    kept.keep(replica)
    (theirs,) = set(files(world)) - {mine}
    shutil.copyfile(theirs, mine)
    refused(world, node, vectors, lines, "header differs.*id")
    started(world, node, holder="b2")
    assert lines() == ["started from the index snapshot | "]


def test_the_same_replicas_older_file_is_refused(
    world: World, node: Node, people: People, lines: Callable[[], list[str]]
) -> None:
    vectors = filled(world, node, people)
    old = files(world)[0].read_bytes()
    node.enrol(people.stranger())
    age(node)
    replica, kept = started(world, node)
    kept.keep(replica)
    (file,) = files(world)
    file.write_bytes(old)
    refused(world, node, vectors, lines, "header differs.*seq")


def test_a_chunk_of_another_file_is_refused_though_the_key_is_the_same(tmp_path: Path) -> None:
    key = DataKey(bytes(32))
    headers = [Header(f"snp_{n}", "main", "model", DIMENSION, "epoch", 9, 4, 0) for n in (1, 2)]
    ids, vectors = np.arange(4, dtype=np.int64), np.zeros((4, DIMENSION), np.float16)
    for header in headers:
        snapshot_file.write(tmp_path / header.id, header, key, [(ids[rows], vectors[rows]) for rows in header.slices])
    one, other = ((tmp_path / header.id).read_bytes() for header in headers)
    last = headers[0].slices[-1]
    chunk = (last.stop - last.start) * headers[0].row_bytes + SEALED_MORE  # a whole one, so that nothing but its place is wrong
    (tmp_path / "mixed").write_bytes(one[:-chunk] + other[-chunk:])
    assert len(list(snapshot_file.read(tmp_path / "snp_1", headers[0], key))) == 2
    with pytest.raises(Unusable, match="does not open"):
        list(snapshot_file.read(tmp_path / "mixed", headers[0], key))


def in_row(**values: object) -> Callable[[Session], object]:
    return lambda session: session.exec(update(IndexSnapshot).values(**values))


ROW: dict[str, tuple[Callable[[Session], object], str]] = {
    "an older epoch": (in_row(epoch="before"), "restored since"),
    "a seq without a row in the log": (in_row(seq=10_000), "log says otherwise"),
    "the seq of another row": (in_row(seq=3), "log says otherwise"),
    "another count": (in_row(count=7), "log says otherwise"),
    "another checksum": (in_row(checksum=1), "log says otherwise"),
    "another id": (in_row(id="snp_other"), "its key does not open"),
    "a changed key": (in_row(wrapped_key=bytes(60)), "its key does not open"),
}


@pytest.mark.parametrize(("change", "why"), ROW.values(), ids=ROW)
def test_a_row_that_says_something_else_is_refused(
    world: World, node: Node, people: People, lines: Callable[[], list[str]], change: Callable[[Session], object], why: str
) -> None:
    vectors = filled(world, node, people)
    with node.store.write() as session:
        change(session)
    refused(world, node, vectors, lines, why)


def test_a_snapshot_from_before_a_restore_is_refused(
    world: World, node: Node, people: People, lines: Callable[[], list[str]]
) -> None:
    vectors = filled(world, node, people)
    with node.store.write() as session:
        node.store.gallery(session).epoch = "restored"
    refused(world, node, vectors, lines, "restored since")


def test_the_key_of_another_snapshot_opens_nothing(
    world: World, node: Node, people: People, lines: Callable[[], list[str]]
) -> None:
    """As it would be where somebody put a wrapped key of the right form into the row."""
    vectors = filled(world, node, people)
    (row,) = rows(node)
    wrapped = node.store.keyring.wrapped(index_snapshots.context_of(row.id), fresh_key())
    with node.store.write() as session:
        in_row(wrapped_key=wrapped)(session)
    refused(world, node, vectors, lines, "does not open")


def test_without_its_row_a_file_is_useless_and_taken_away(
    world: World, node: Node, people: People, lines: Callable[[], list[str]]
) -> None:
    filled(world, node, people)
    with node.store.write() as session:
        session.exec(delete(IndexSnapshot))
    lines()
    replica, _ = started(world, node)
    assert lines() == ["no index snapshot: reading the gallery from the database | "]
    assert set(replica._position.index.ids().tolist()) == live(node)
    assert files(world) == []


def test_a_file_with_other_ids_than_the_logs_is_refused_though_everything_is_sealed(
    world: World, node: Node, people: People, lines: Callable[[], list[str]]
) -> None:
    """As a defect of ours would write it: only the ids' own checksum tells."""
    vectors = filled(world, node, people)
    (row,), (file,) = rows(node), files(world)
    header = snapshots(world, node)._header_of(row)
    ids = np.arange(100, 100 + row.count, dtype=np.int64)
    snapshot_file.write(
        file,
        header,
        index_snapshots.key_of(node.store.keyring, row),
        [(ids[some], np.stack(vectors)[some].astype(np.float16)) for some in header.slices],
    )
    refused(world, node, vectors, lines, "ids are not those")


def test_memory_that_was_reserved_is_filled_where_it_is() -> None:
    """Growing would take twice as much for a moment, at the start of all times."""
    rng = np.random.default_rng(5)
    vectors, ids = rng.standard_normal((900, 16)).astype(np.float32), np.arange(900, dtype=np.int64)
    index = FlatIndex(16, Metric.cosine)
    index.add(ids[:10], vectors[:10])
    index.reserve(900)
    place = index._stored().ctypes.data
    for start in range(10, 900, 89):
        index.add(ids[start : start + 89], vectors[start : start + 89])
    assert index._stored().ctypes.data == place
    assert index.size == 900
    assert index.is_sound(slice(0, 900))
    np.testing.assert_array_equal(index.vectors(ids[::-7]), vectors[::-7])
    index.reserve(5)
    np.testing.assert_array_equal(index.vectors(ids), vectors)


# --- what half precision costs ----------------------------------------------------------------------------------------


def test_the_margin_covers_what_half_precision_rounds_away() -> None:
    """Cauchy-Schwarz: no score moves by more than the vector does. Half a unit in the last place of a 10-bit fraction is 2⁻¹¹."""
    for dimension in (128, 512, 1024):
        moved = 2**-11 * LARGEST_NORM + 2**-25 * np.sqrt(dimension)
        assert moved < 0.8e-3 < MARGIN  # what is left over is for the index's own float32 arithmetic


@pytest.mark.parametrize(
    ("metric", "norm", "dimension"), [(Metric.cosine, 1.0, 512), (Metric.l2, 1.27, 128), (Metric.l2, 1.59, 128)]
)
def test_a_search_in_rounded_vectors_misses_nothing_that_really_reaches_the_threshold(
    metric: Metric, norm: float, dimension: int
) -> None:
    rng = np.random.default_rng(11)
    query = rng.standard_normal(dimension)
    query *= norm / np.linalg.norm(query)
    vectors = query + rng.standard_normal((4000, dimension)) * 0.5 / np.sqrt(dimension)
    vectors = (vectors * norm / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    vectors = worst_rounding(vectors, -np.tile(query, (4000, 1)) if metric is Metric.cosine else vectors - query)
    exact = scores(metric, query.astype(np.float32)[None], vectors)[0]
    index = FlatIndex(dimension, metric)
    index.add(np.arange(len(vectors), dtype=np.int64), vectors.astype(np.float16).astype(np.float32))
    moved = 0.0
    for threshold in np.quantile(exact, [0.1, 0.3, 0.5, 0.7, 0.9]):
        found = set(index.within(query.astype(np.float32), float(threshold) - MARGIN).ids.tolist())
        assert set(np.flatnonzero(exact >= threshold).tolist()) <= found
        hits = index.within(query.astype(np.float32), float(threshold) - MARGIN)
        moved = max(moved, float(np.abs(hits.scores - exact[hits.ids]).max()))
    assert 3e-4 < moved < 0.8e-3  # the vectors are bad ones indeed, and stay within the bound


def worst_rounding(vectors: np.ndarray, away: np.ndarray) -> np.ndarray:
    """Each component almost half a unit from the value that it is rounded to, which lies in the direction of `away`."""
    half = vectors.astype(np.float16)
    before = np.nextafter(half, np.where(away > 0, -np.inf, np.inf).astype(np.float16))
    return (0.5001 * half.astype(np.float64) + 0.4999 * before.astype(np.float64)).astype(np.float32)


def test_identification_passes_nobody_over_whom_rounding_puts_behind_those_who_were_fetched(node: Node, people: People) -> None:
    person = people.stranger()
    crowd = node.enrol(*[people.like(person, 0.9) for _ in range(LEAST_FETCHED - 1)])
    node.enrol(people.like(person, 0.4999))
    reaches = node.enrol(people.like(person, 0.5001))
    as_the_index_has_it(node, reaches.seq, people.like(person, 0.4997))
    found = node.recognition.identify([probe(person)], threshold=0.5, limit=3).faces[0].candidates
    assert [candidate.subject_id for candidate in found] == [crowd.subject_id, reaches.subject_id]


def test_the_best_candidate_is_the_best_also_where_rounding_puts_it_behind_a_crowd(node: Node, people: People) -> None:
    person = people.stranger()
    node.enrol(*[people.like(person, 0.9) for _ in range(LEAST_FETCHED)])
    best = node.enrol(people.like(person, 0.9002))
    as_the_index_has_it(node, best.seq, people.like(person, 0.8998))
    (found,) = node.recognition.identify([probe(person)], limit=1).faces[0].candidates
    assert found.subject_id == best.subject_id


def as_the_index_has_it(node: Node, seq: int, vector: Vector) -> None:
    """Another vector in the index than in SQL, as rounding leaves it."""
    node.replica.catch_up()
    index, ids = node.replica._position.index, np.array([seq], dtype=np.int64)
    index.remove(ids)
    index.add(ids, vector[None])


def test_vectors_that_are_too_long_for_half_precision_get_no_snapshot(world: World, node: Node, people: People) -> None:
    node.enrol(people.stranger())
    replica, kept = started(world, node)
    replica._position.index.remove(replica._position.index.ids())
    replica._position.index.add(np.array([1], np.int64), np.full((1, DIMENSION), 0.25, np.float32))
    with pytest.raises(SnapshotNotKept, match=r"longer than 1\.6"):
        kept.keep(replica)
    assert files(world) == []
    assert rows(node) == []


# --- keeping one ------------------------------------------------------------------------------------------------------


def test_only_its_owner_may_read_it(world: World, node: Node, people: People) -> None:
    filled(world, node, people)
    (file,) = files(world)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_it_is_renewed_when_the_log_moved_and_its_time_has_come_and_not_otherwise(
    world: World, node: Node, people: People
) -> None:
    filled(world, node, people)
    replica, kept = started(world, node)
    (first,) = rows(node)
    age(node)
    kept.keep(replica)
    assert rows(node)[0].id == first.id  # due, but the gallery is the same
    node.enrol(people.stranger())
    replica.catch_up()
    kept.keep(replica)
    (second,) = rows(node)
    assert second.id != first.id
    assert second.count == 9
    node.enrol(people.stranger())
    replica.catch_up()
    kept.keep(replica)
    assert rows(node)[0].id == second.id  # the gallery moved, but it is not yet time
    assert [file.stem for file in files(world)] == [second.id]


def test_it_is_made_again_at_once_where_the_file_is_gone(world: World, node: Node, people: People) -> None:
    filled(world, node, people)
    replica, kept = started(world, node)
    files(world)[0].unlink()
    kept.keep(replica)
    assert [file.stem for file in files(world)] == [rows(node)[0].id]


def test_nothing_is_written_of_an_index_in_doubt_or_of_an_empty_log(world: World, node: Node, people: People) -> None:
    replica, kept = started(world, node)
    kept.keep(replica)
    assert rows(node) == []
    node.enrol(people.stranger())
    unread = Replica(node.store, CARD)
    kept.keep(unread)
    assert rows(node) == []


def test_an_emptied_gallery_has_a_snapshot_too(world: World, node: Node, people: People, lines: Callable[[], list[str]]) -> None:
    mary = node.enrol(people.stranger())
    node.subjects.erase(mary.subject_id, caller=CLIENT)
    replica, kept = started(world, node)
    kept.keep(replica)
    lines()
    again, _ = started(world, node)
    assert lines() == ["started from the index snapshot | "]
    assert (again.size, again.seq) == (0, 2)


class Disturbed(Replica):
    """Something happens before each part of its index is copied."""

    between: Callable[[], object] = lambda: None

    def vectors(self, standing: Standing, ids: np.ndarray) -> np.ndarray:
        self.between()
        return super().vectors(standing, ids)


def test_people_come_and_go_while_it_is_written_and_it_is_right_all_the_same(
    world: World, node: Node, people: People, lines: Callable[[], list[str]]
) -> None:
    vectors = people.strangers(9)
    enrolled = [node.enrol(vector) for vector in vectors[:8]]
    kept = snapshots(world, node)
    replica = Disturbed(node.store, CARD, start_from=kept.load)
    replica.catch_up()
    goes = iter((enrolled[1], enrolled[7]))  # the one before it is copied for the second part's sake, the other before its own

    def between() -> None:
        if (gone := next(goes, None)) is not None:
            node.subjects.erase(gone.subject_id, caller=CLIENT)
            node.enrol(people.stranger())
            replica.catch_up()

    replica.between = between
    kept.keep(replica)
    (row,) = rows(node)
    assert (row.seq, row.count) == (8, 8)
    opened = list(snapshot_file.read(files(world)[0], kept._header_of(row), index_snapshots.key_of(node.store.keyring, row)))
    missing = {int(seq) for ids, found in opened for seq in ids[np.isnan(found).all(axis=1)]}
    assert missing == {enrolled[1].seq, enrolled[7].seq}  # who was erased before being copied is not in the file at all
    lines()
    again, _ = started(world, node)
    assert lines() == ["started from the index snapshot | "]
    assert set(again._position.index.ids().tolist()) == live(node)


def test_an_index_that_is_built_anew_meanwhile_is_not_mixed_with_the_old_one(world: World, node: Node, people: People) -> None:
    for vector in people.strangers(8):
        node.enrol(vector)
    kept = snapshots(world, node)
    replica = Disturbed(node.store, CARD, start_from=kept.load)
    replica.catch_up()
    replica.between = lambda: replica._swap()
    kept.keep(replica)
    assert rows(node) == []
    assert files(world) == []


def test_memory_that_changed_by_itself_is_not_written_down(
    world: World, node: Node, people: People, lines: Callable[[], list[str]]
) -> None:
    for vector in people.strangers(8):
        node.enrol(vector)
    replica, kept = started(world, node)
    index = replica._position.index
    assert isinstance(index, FlatIndex)
    index._stored()[5, 7] += 0.25
    lines()
    kept.keep(replica)
    assert lines() == ["index snapshot given up | IndexChanged"]
    assert rows(node) == []
    assert files(world) == []
    replica.patrol()  # which notices by itself
    kept.keep(replica)
    assert [row.count for row in rows(node)] == [8]


def test_a_snapshot_that_does_not_fit_into_memory_is_not_loaded_and_not_lost(world: World, node: Node, people: People) -> None:
    filled(world, node, people)
    (row,) = rows(node)
    narrow = Replica(node.store, CARD, room=room_for(CARD, allowed_bytes=1000), start_from=snapshots(world, node).load)
    narrow.catch_up()
    assert "give the replica more memory" in (narrow.status().problem or "")
    assert [kept.id for kept in rows(node)] == [row.id]


def test_it_is_given_up_when_the_service_stops(world: World, node: Node, people: People) -> None:
    for vector in people.strangers(8):
        node.enrol(vector)
    kept = snapshots(world, node)
    replica = Disturbed(node.store, CARD, start_from=kept.load)
    replica.catch_up()
    replica.between = kept.stop
    kept.keep(replica)
    assert rows(node) == []
    assert files(world) == []


def test_a_disk_without_room_gets_none_and_is_not_asked_again_at_once(world: World, node: Node, people: People) -> None:
    node.enrol(people.stranger())
    kept = snapshots(world, node, min_free_bytes=1 << 60)
    replica = Replica(node.store, CARD, start_from=kept.load)
    replica.catch_up()
    with pytest.raises(SnapshotNotKept, match="finds no room"):
        kept.keep(replica)
    kept.keep(replica)
    assert files(world) == []


@pytest.mark.parametrize(("step", "survivor"), [("half-written", "old"), ("before-the-row", "old"), ("before-tidying", "new")])
def test_a_kill_at_any_step_leaves_the_old_pair_or_the_new_one(
    world: World, node: Node, people: People, lines: Callable[[], list[str]], step: str, survivor: str
) -> None:
    filled(world, node, people)
    (old,) = files(world)
    node.enrol(people.stranger())
    age(node)
    command = [sys.executable, "-m", "tests.ledger.snapshot_process", str(world.folder), world.url, step]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reached\n"
        process.kill()
    left = files(world)
    assert len(left) == 2  # there is something to be tidied
    lines()
    replica, _ = started(world, node)
    assert lines() == ["started from the index snapshot | "]
    assert set(replica._position.index.ids().tolist()) == live(node)
    assert [file == old for file in files(world)] == [survivor == "old"]


# --- erased is erased -------------------------------------------------------------------------------------------------


def opens(path: Path, headers: list[Header], keys: list[DataKey]) -> bool:
    for header in headers:
        for key in keys:
            try:
                list(snapshot_file.read(path, header, key))
            except Unusable:
                continue
            return True
    return False


def every_key(node: Node, snapshot_ids: list[str]) -> list[DataKey]:
    """Whatever can be unwrapped from the database, for whatever it is said to be."""
    with node.store.read() as session:
        wrapped = [row.wrapped_key for row in session.exec(select(IndexSnapshot))]
        subjects = list(session.exec(select(Subject)))
    keys: list[DataKey] = []
    for one in wrapped:
        for snapshot_id in snapshot_ids:
            try:
                keys.append(node.store.keyring.key(f"index-snapshot:{snapshot_id}", one))
            except KeyringError:
                continue
    for subject in subjects:
        if subject.wrapped_key is not None:
            keys.append(node.store.keyring.subject_key(subject.id, subject.wrapped_key))
    return keys


def test_after_an_erasure_the_next_snapshot_is_without_the_person_and_the_old_file_opens_with_no_key(
    world: World, node: Node, people: People
) -> None:
    mary = node.enrol(people.stranger())
    filled(world, node, people)
    (old_row,), kept_copy = rows(node), world.folder / "copy-of-an-attacker"
    shutil.copyfile(files(world)[0], kept_copy)
    old_header = snapshots(world, node)._header_of(old_row)
    assert opens(kept_copy, [old_header], every_key(node, [old_row.id]))  # as long as the row has its key
    node.subjects.erase(mary.subject_id, caller=CLIENT)
    age(node)
    replica, kept = started(world, node)
    kept.keep(replica)
    (row,), (file,) = rows(node), files(world)
    header = kept._header_of(row)
    ids = np.concatenate([ids for ids, _ in snapshot_file.read(file, header, index_snapshots.key_of(node.store.keyring, row))])
    assert mary.seq not in ids
    assert len(ids) == 8
    keys = every_key(node, [old_row.id, row.id])
    assert len(keys) == 1 + 8
    assert opens(file, [header], keys)
    assert not opens(kept_copy, [old_header, header], keys)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_no_vector_stands_readable_in_a_snapshot(world: World, node: Node, people: People, dtype: type) -> None:
    vectors = filled(world, node, people)
    needles = [vector.astype(dtype).tobytes()[:32] for vector in vectors]
    plain = b"".join(vector.astype(dtype).tobytes() for vector in vectors)
    assert all(needle in plain for needle in needles)  # so would a plain dump be found
    everything = b"".join(path.read_bytes() for path in world.folder.rglob("*") if path.is_file())
    assert rows(node)[0].id.encode() in everything  # the look is at the right bytes
    assert not any(needle in everything for needle in needles)


def test_whoever_is_up_destroys_the_key_of_a_snapshot_that_holds_an_erased_person_for_too_long(
    world: World, node: Node, people: People
) -> None:
    """The replica that made it may be down, and its disk out of reach; who is up may keep no snapshots."""
    mary = node.enrol(people.stranger())
    filled(world, node, people)
    node.subjects.erase(mary.subject_id, caller=CLIENT)
    other, kept = started(world, node, holder="b2")
    kept.keep(other)
    index_snapshots.destroy_outdated(node.store)
    assert [row.holder for row in rows(node)] == ["b1", "b2"]  # b1 has its time to write a new one
    with node.store.write() as session:
        removal = session.exec(select(GalleryChange).where(GalleryChange.kind == "remove")).one()
        removal.at -= index_snapshots.KEPT_AFTER_REMOVAL
    index_snapshots.destroy_outdated(node.store)
    assert [row.holder for row in rows(node)] == ["b2"]  # and b2's own was made after the removal


def test_a_snapshot_that_was_begun_before_a_restore_loses_its_key(world: World, node: Node, people: People) -> None:
    """The new log does not tell whom it holds."""
    for person in people.strangers(8):
        node.enrol(person)

    def restored() -> None:
        with node.store.write() as session:
            node.store.gallery(session).epoch = "restored"

    kept = snapshots(world, node)
    replica = Disturbed(node.store, CARD, start_from=kept.load)
    replica.catch_up()
    replica.between = restored
    kept.keep(replica)
    assert [row.epoch for row in rows(node)] != ["restored"]
    index_snapshots.destroy_outdated(node.store)
    assert rows(node) == []


def test_a_key_that_was_replaced_while_a_snapshot_was_written_wraps_none(world: World, node: Node, people: People) -> None:
    for person in people.strangers(8):
        node.enrol(person)

    def replaced() -> None:
        replica.between = lambda: None
        add_key(world.key_file)
        KeyFileWatch(node.store, world.key_file).look()
        rotate(node.store)
        assert retire(node.store) == 1
        keep_newest(world.key_file)
        KeyFileWatch(node.store, world.key_file).look()

    kept = snapshots(world, node)
    replica = Disturbed(node.store, CARD, start_from=kept.load)
    replica.catch_up()
    replica.between = replaced
    kept.keep(replica)
    (row,) = rows(node)
    assert index_snapshots.key_of(Keyring.load(world.key_file), row), "the old key is in no file any more"


@pytest.mark.parametrize("how", ["renewed", "destroyed"])
def test_a_destroyed_key_leaves_no_bytes_in_the_database(world: World, node: Node, people: People, how: str) -> None:
    filled(world, node, people)
    (row,) = rows(node)
    assert row.wrapped_key in raw(world, node)
    if how == "renewed":
        node.enrol(people.stranger())
        age(node)
        replica, kept = started(world, node)
        kept.keep(replica)
    else:
        with node.store.write() as session:
            index_snapshots.destroy(node.store, session, [row.id])
    node.enrolments.sweep()
    assert row.wrapped_key not in raw(world, node)


def raw(world: World, node: Node) -> bytes:
    """The bytes of the database's file, or of PostgreSQL's file of this table."""
    if world.is_sqlite:
        return b"".join(path.read_bytes() for path in sorted(world.folder.glob("ledger.db*")))
    with node.store.read() as session:
        session.connection().exec_driver_sql("CHECKPOINT")
        file = "pg_read_binary_file(pg_relation_filepath('index_snapshot'))"
        return bytes(session.connection().exec_driver_sql(f"SELECT {file}").scalar_one())


def test_a_snapshot_of_a_replica_that_runs_another_dimension_is_refused(
    world: World, node: Node, people: People, lines: Callable[[], list[str]]
) -> None:
    filled(world, node, people)
    kept = Snapshots(node.store, replace(CARD, dimension=32), Place(world.folder / "snapshots", "b1", EVERY_S, 0))
    lines()
    assert kept.load(room_for(CARD)) is None
    assert "dimension" in lines()[0]
