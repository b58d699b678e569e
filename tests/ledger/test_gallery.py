from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import faiss
import numpy as np
import pytest
from sqlmodel import col, delete, update

from backend.errors import GalleryBehind
from backend.faces.engine import Metric
from backend.gallery import follow
from backend.gallery.batcher import Batcher
from backend.gallery.flat import FlatIndex
from backend.gallery.follow import Position
from backend.gallery.gate import Gate
from backend.gallery.memory import Room, room_for
from backend.gallery.replica import Replica
from backend.gallery.together import nearest
from backend.store.gallery_log import checksum_of
from backend.store.keyring import Keyring
from backend.store.tables import GalleryChange, Template
from tests.ledger.world import CARD, CARD_L2, CLIENT, ON_SQLITE, Node, People, World, wait_until

RNG = np.random.default_rng(3)


def index_of(vectors: np.ndarray, metric: Metric) -> FlatIndex:
    index = FlatIndex(vectors.shape[1], metric)
    index.add(np.arange(len(vectors), dtype=np.int64) * 10 + 5, vectors)
    return index


def true_scores(metric: Metric, query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return vectors @ query if metric is Metric.cosine else 1 - np.linalg.norm(vectors - query, axis=1)


@pytest.mark.parametrize("metric", Metric)
def test_searches_give_exactly_what_numpy_gives(metric: Metric) -> None:
    vectors = RNG.standard_normal((300, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) / (1.0 if metric is Metric.cosine else 1.4)
    index, query = index_of(vectors, metric), vectors[17]
    truth = true_scores(metric, query, vectors)
    order = np.argsort(-truth)
    nearest = index.nearest(query, 10)
    assert nearest.ids.tolist() == (order[:10] * 10 + 5).tolist()
    np.testing.assert_allclose(nearest.scores, truth[order[:10]], atol=2e-3)
    threshold = float(truth[order[25]]) - 1e-4
    assert set(index.within(query, threshold).ids.tolist()) == set((order[:26] * 10 + 5).tolist())
    assert index.within(query, 1.5).ids.size == 0


@pytest.mark.parametrize("metric", Metric)
def test_an_empty_index_answers_with_nothing(metric: Metric) -> None:
    index = FlatIndex(4, metric)
    query = np.ones(4, np.float32)
    assert index.nearest(query, 3).ids.size == index.within(query, -5).ids.size == index.size == 0


def test_removed_ids_are_gone_and_unknown_ones_do_no_harm() -> None:
    index = index_of(np.eye(4, dtype=np.float32), Metric.cosine)
    index.remove(np.array([15, 999], dtype=np.int64))
    assert sorted(index.ids().tolist()) == [5, 25, 35]
    assert 15 not in index.nearest(np.eye(4, dtype=np.float32)[1], 4).ids


def test_the_checksum_does_not_depend_on_order_and_tells_sets_apart() -> None:
    ids = RNG.permutation(np.arange(1, 500, dtype=np.int64))
    assert checksum_of(ids) == checksum_of(np.sort(ids))
    assert checksum_of(ids[:-1]) ^ checksum_of(ids[-1:]) == checksum_of(ids)
    assert len({checksum_of(np.delete(ids, i)) for i in range(len(ids))}) == len(ids)
    assert -(2**63) <= checksum_of(ids) < 2**63


def test_no_change_comes_between_while_a_search_runs_and_changes_are_not_starved() -> None:
    gate, inside, seen = Gate(), threading.Event(), []
    stop = threading.Event()

    def search() -> None:
        while not stop.is_set():
            with gate.search():
                inside.set()
                time.sleep(0.001)

    def change() -> None:
        inside.wait()
        with gate.change():
            seen.append(gate._searching)

    threads = [threading.Thread(target=search) for _ in range(4)] + [threading.Thread(target=change) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(seen) == 3)
    stop.set()
    for thread in threads:
        thread.join()
    assert seen == [0, 0, 0]


def test_a_started_replica_follows_what_others_enrol_and_erase(world: World, people: People) -> None:
    writer, follower = world.node(), world.node()
    follower.replica.start()
    ids = [writer.enrol(people.stranger()).subject_id for _ in range(3)]
    wait_until(lambda: follower.replica.size == 3)
    writer.subjects.erase(ids[0], caller=CLIENT)
    wait_until(lambda: follower.replica.size == 2)
    writer.replica.catch_up()
    wait_until(lambda: follower.replica.status().lag_s == 0.0)
    mine, theirs = writer.replica.status(), follower.replica.status()
    assert (mine.seq, mine.size, mine.checksum, mine.epoch) == (theirs.seq, theirs.size, theirs.checksum, theirs.epoch)
    assert theirs.problem is None


def test_waiting_for_a_seq_does_not_wait_for_the_next_poll(world: World, people: People) -> None:
    writer, reader = world.node(), world.node()
    seq = writer.enrol(people.stranger()).seq
    assert reader.replica.wait_for(seq, timeout_s=0.0) is True  # it follows by itself; no follower was started
    with pytest.raises(GalleryBehind):
        reader.replica.wait_for(seq + 1, timeout_s=0.05, epoch=reader.replica._position.epoch)


def test_an_add_whose_template_is_gone_is_skipped(world: World, people: People) -> None:
    writer, late = world.node(), world.node()
    kept, gone = writer.enrol(people.stranger()), writer.enrol(people.stranger())
    writer.subjects.erase(gone.subject_id, caller=CLIENT)
    late.replica.catch_up()
    assert late.replica.size == 1
    assert late.recognition._replica.status().problem is None
    assert late.subjects.get(kept.subject_id).id == kept.subject_id


def test_an_add_is_skipped_also_where_its_removal_lies_in_a_later_batch(
    world: World, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.gallery import follow

    writer, late = world.node(), world.node()
    late.replica.catch_up()
    ids = [writer.enrol(people.stranger()).subject_id for _ in range(4)]
    writer.subjects.erase(ids[0], caller=CLIENT)
    monkeypatch.setattr(follow, "BATCH", 2)
    rebuilt: list[int] = []
    monkeypatch.setattr("backend.gallery.replica.rebuild", lambda *_, **__: rebuilt.append(1))
    late.replica.catch_up()
    assert late.replica.size == 3
    assert rebuilt == []


def test_an_index_that_lost_or_gained_something_is_built_anew(node: Node, people: People) -> None:
    vectors = people.strangers(3)
    seqs = [node.enrol(vector).seq for vector in vectors]
    index = node.replica._position.index
    index.remove(np.array([seqs[1]], dtype=np.int64))
    node.replica.catch_up()
    assert node.replica._position.index is not index
    assert sorted(node.replica._position.index.ids().tolist()) == seqs
    node.replica._position.index.add(np.array([10_000], dtype=np.int64), vectors[0][None, :])
    node.enrol(people.stranger())
    assert node.replica.size == 4
    assert node.replica.status().problem is None


def test_a_replica_ahead_of_the_database_or_of_another_epoch_builds_anew(world: World, node: Node, people: People) -> None:
    node.enrol(people.stranger())
    node.replica._position.seq += 100
    node.replica.catch_up()
    assert node.replica.seq == node.replica.status().head_seq == 1
    with node.store.write() as session:
        node.store.gallery(session).epoch = "restored"
    node.replica.catch_up()
    assert node.replica.status().epoch == "restored"
    assert node.replica.size == 1


def test_a_log_that_disagrees_with_its_templates_is_a_problem_and_heals_when_the_database_does(
    world: World, node: Node, people: People
) -> None:
    node.enrol(people.stranger())
    kept = node.enrol(people.stranger())
    with node.store.write() as session:
        session.exec(update(GalleryChange).where(col(GalleryChange.seq) == kept.seq).values(count=7))
    late = world.node()
    late.replica.catch_up()
    assert "disagree" in (late.replica.status().problem or "")
    with node.store.write() as session:
        session.exec(update(GalleryChange).where(col(GalleryChange.seq) == kept.seq).values(count=2))
    late.replica.catch_up()
    assert late.replica.status().problem is None
    assert late.replica.size == 2


def test_a_replica_with_another_model_or_key_is_not_ready_and_says_why(world: World, people: People) -> None:
    from dataclasses import replace

    from backend.store.database import Store

    node = world.node()
    node.enrol(people.stranger())
    other = Replica(node.store, replace(CARD, model_id="newer-model"))
    other.catch_up()
    assert "pinned" in (other.status().problem or "")
    assert other.size == 0
    store = Store.open(world.url, keyring=Keyring(bytes(range(32))))
    wrong = Replica(store, CARD)
    wrong.catch_up()
    assert "key file" in (wrong.status().problem or "")
    store.close()


def test_a_template_that_does_not_open_is_a_problem_and_never_an_empty_gallery(node: Node, people: People) -> None:
    seq = node.enrol(people.stranger()).seq
    with node.store.write() as session:
        session.exec(update(Template).where(col(Template.seq) == seq).values(sealed_vector=b"x" * 60))
    late = Replica(node.store, CARD)
    late.catch_up()
    assert "do not open" in (late.status().problem or "")
    assert late.status().lag_s > 0
    with pytest.raises(GalleryBehind):
        late.wait_for(seq, timeout_s=0.0)
    with node.store.write() as session:  # so that the ledger is whole again for the teardown
        session.exec(delete(Template))
        session.exec(delete(GalleryChange))
        node.store.gallery(session).active_templates = 0


@ON_SQLITE
def test_the_lag_grows_while_the_database_is_away_and_ends_when_it_is_back(world: World, node: Node, people: People) -> None:
    node.enrol(people.stranger())
    node.replica.start()
    wait_until(lambda: node.replica.status().lag_s == 0.0)
    file = world.folder / "ledger.db"
    file.rename(world.folder / "away.db")
    wait_until(lambda: node.replica.status().lag_s > 0.5)
    (world.folder / "away.db").rename(file)
    wait_until(lambda: node.replica.status().lag_s == 0.0)


def test_an_index_that_was_never_read_is_not_taken_for_an_empty_one(world: World, people: People) -> None:
    node = world.node()
    node.enrol(people.stranger())
    unread = Replica(node.store, CARD)
    with pytest.raises(GalleryBehind):
        unread.nearest(people.stranger(), 1)
    with pytest.raises(GalleryBehind):
        unread.within(people.stranger(), 0.0)
    unread.catch_up()
    assert unread.nearest(people.stranger(), 1).ids.size == 1


def test_a_probe_never_waits_for_a_search_or_a_change(world: World, people: People) -> None:
    node = world.node()
    node.enrol(people.stranger())
    node.replica.catch_up()
    with node.replica._gate.change():  # nobody may search now, and status() answers all the same
        assert node.replica.status().size == 1


# --- an index that is not what it was -----------------------------------------------------------------------------


def asked_anew(node: Node, person: np.ndarray) -> list[int]:
    """What a search for them finds once the replica has looked after itself."""
    node.replica.catch_up()
    node.replica.patrol()
    return node.replica.within(person, 0.9).ids.tolist()


def test_memory_that_changed_by_itself_is_noticed_and_the_index_built_anew(node: Node, people: People) -> None:
    persons = people.strangers(4)
    seqs = [node.enrol(person).seq for person in persons]
    node.replica.catch_up()
    for spoil in (
        lambda index: index._stored().__setitem__((1, 5), 0.25),
        lambda index: index._stored().__setitem__(slice(0, 2), index._stored()[[1, 0]].copy()),
        lambda index: index._ids.__setitem__(slice(0, 2), index._ids[[1, 0]].copy()),
        lambda index: index._ids.__setitem__(3, 999),
        lambda index: index._index.remove_ids(faiss.IDSelectorRange(2, 4)),
    ):
        index = node.replica._position.index
        spoil(index)
        assert asked_anew(node, persons[1]) == [seqs[1]]
        assert node.replica._position.index is not index


def test_the_follower_looks_after_the_memory_and_nobody_who_waits_for_the_log_does(node: Node, people: People) -> None:
    person = people.stranger()
    seq = node.enrol(person).seq
    index = node.replica._position.index
    index._stored()[0, 0] = 9.0  # type: ignore[attr-defined]
    node.replica.catch_up()
    newcomer = node.enrol(people.stranger())
    assert node.replica.wait_for(newcomer.seq, 5)
    assert node.replica._position.index is index
    node.replica.start()
    wait_until(lambda: node.replica._position.index is not index and node.replica.status().problem is None)
    assert node.replica.within(person, 0.9).ids.tolist() == [seq]


def test_another_replicas_index_in_its_place_is_noticed(tmp_path: Path, world: World, people: People) -> None:
    other = World(tmp_path / "other")
    other.folder.mkdir()
    stranger, mine = other.create().node(), world.node()
    persons = people.strangers(5)
    for person in persons[2:]:
        stranger.enrol(person)
        stranger.replica.catch_up()
    seqs = [mine.enrol(person).seq for person in persons[:2]]
    mine.replica.catch_up()
    mine.replica._position.index = stranger.replica._position.index
    assert asked_anew(mine, persons[1]) == [seqs[1]]
    assert asked_anew(mine, persons[3]) == []
    other.close()


def test_nobody_is_answered_from_an_index_in_doubt_while_it_is_built_anew(
    node: Node, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.gallery import replica as module

    person = people.stranger()
    seq = node.enrol(person).seq
    node.replica.catch_up()
    answers: list[object] = []
    real = module.rebuild

    def slow(*given: object, **more: object) -> object:
        with pytest.raises(GalleryBehind, match="built anew"):
            answers.append(node.replica.within(person, 0.9))
        return real(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "rebuild", slow)
    node.replica._position.index._stored()[0, 0] = 9.0  # type: ignore[attr-defined]
    assert asked_anew(node, person) == [seq]
    assert answers == []


def test_nobody_is_answered_from_the_gallery_of_before_a_restore_while_the_new_one_is_read(
    node: Node, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.gallery import replica as module

    person = people.stranger()
    seq = node.enrol(person).seq
    node.replica.catch_up()
    doubts: list[str | None] = []
    real = module.rebuild

    def slow(*given: object, **more: object) -> object:
        doubts.append(node.replica.status().problem)
        with pytest.raises(GalleryBehind, match="built anew"):
            node.replica.within(person, 0.9)
        return real(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "rebuild", slow)
    with node.store.write() as session:
        node.store.gallery(session).epoch = "restored"
    node.replica.catch_up()
    assert doubts == ["The gallery is being built anew"]
    assert node.replica.within(person, 0.9).ids.tolist() == [seq]


def test_after_a_restore_no_number_of_the_old_gallery_stands_for_one_of_the_new(world: World, people: People) -> None:
    node, other = world.node(), world.node()
    seq = node.enrol(people.stranger()).seq
    other.replica.wait_for(seq, 5)
    with node.store.write() as session:
        node.store.gallery(session).epoch = "restored"
    built = other.replica._position.index
    assert other.replica.wait_for(seq, 5), "without an epoch it cannot know"
    assert other.replica._position.index is built
    assert other.replica.wait_for(seq, 5, epoch="restored")
    assert other.replica._position.index is not built
    with pytest.raises(GalleryBehind):
        other.replica.wait_for(seq, 0.05, epoch="of another world")


# --- memory -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("while_it", ["builds", "follows"])
def test_a_replica_stops_at_once_in_the_midst_of_a_long_gallery(
    world: World, people: People, monkeypatch: pytest.MonkeyPatch, while_it: str
) -> None:
    node, begun = world.node(), threading.Event()
    slow = Replica(node.store, CARD)
    if while_it == "follows":
        slow.catch_up()
    for person in people.strangers(20):
        node.enrol(person)

    def add_slowly(self: FlatIndex, ids: object, vectors: object) -> None:
        begun.set()
        time.sleep(0.3)

    monkeypatch.setattr(follow, "BATCH", 1)
    monkeypatch.setattr(FlatIndex, "add", add_slowly)
    monkeypatch.setattr(Position, "compare", lambda *_: None)
    slow.start()
    assert begun.wait(10)
    began = time.monotonic()
    assert slow.stop(within_s=5.0)
    assert time.monotonic() - began < 2.0


def test_a_gallery_that_cannot_fit_is_refused_with_what_to_change_and_taken_once_it_fits(world: World, people: People) -> None:
    node = world.node()
    for person in people.strangers(4):
        node.enrol(person)
    room = Room(bytes_per_template=4 * 64 + 16, limit=3 * (4 * 64 + 16))
    small = Replica(node.store, CARD, room=room)
    small.catch_up()
    problem = small.status().problem or ""
    assert "4 templates need" in problem
    assert "BACKEND_GALLERY_MEMORY_BYTES" in problem
    with pytest.raises(GalleryBehind, match="this replica may use"):
        small.nearest(people.stranger(), 1)
    node.subjects.erase(node.subjects.list().items[0].id, caller=CLIENT)
    small.catch_up()
    assert small.status().problem is None
    assert "take" in (small.status().warning or "")
    assert small.size == 3


def test_one_template_too_many_is_refused_where_it_comes_by_the_log(world: World, people: People) -> None:
    node = world.node()
    small = Replica(node.store, CARD, room=Room(bytes_per_template=272, limit=2 * 272))
    for person in people.strangers(2):
        node.enrol(person)
        small.catch_up()
    assert small.status().problem is None
    node.enrol(people.stranger())
    small.catch_up()
    assert "3 templates need" in (small.status().problem or "")


def test_the_plan_counts_what_an_index_really_takes() -> None:
    card = CARD_L2
    n = 20_000
    index = FlatIndex(card.dimension, card.metric)
    index.add(np.arange(n, dtype=np.int64), RNG.standard_normal((n, card.dimension), dtype=np.float32))
    really = index._stored().nbytes + index.ids().nbytes + index._digests[:n].nbytes
    assert room_for(card, 1).needed(n) == really


# --- many at once -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", Metric)
def test_a_batch_answers_as_single_searches_do_also_after_removals(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.gallery.together.TILE", 300)
    vectors = RNG.standard_normal((3_000, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) / (1.0 if metric is Metric.cosine else 1.4)
    index = index_of(vectors, metric)
    index.remove(RNG.choice(index.ids(), 1_000, replace=False))
    queries = vectors[:9]
    for leasts in ([0.2 + 0.05 * i for i in range(9)], [0.4] * 9, [9.0] * 9):
        for hits, query, least in zip(index.within_many(queries, leasts), queries, leasts, strict=True):
            alone = index.within(query, least)
            assert hits.ids.tolist() == alone.ids.tolist()
            np.testing.assert_allclose(hits.scores, alone.scores, atol=1e-3)
    ks = [1, 2, 3, 10, 299, 300, 301, 2_000, 5_000]
    for hits, query, k in zip(index.nearest_many(queries, ks), queries, ks, strict=True):
        alone = index.nearest(query, k)
        assert len(hits.ids) == len(set(hits.ids.tolist())) == min(k, 2_000)
        np.testing.assert_allclose(hits.scores, alone.scores, atol=1e-3)
        assert hits.ids[:10].tolist() == alone.ids[:10].tolist()


def test_a_score_that_is_no_number_takes_the_place_of_none_of_the_best() -> None:
    scores = RNG.standard_normal((200, 3)).astype(np.float32)
    scores[[7, 150], :] = np.nan
    ids, best = np.arange(200), np.argsort(-scores, axis=0)
    for k in (1, 4, 198):
        for query, hits in enumerate(nearest([(ids[:100], scores[:100]), (ids[100:], scores[100:])], [k] * 3)):
            assert hits.ids.tolist() == best[:k, query].tolist()


@pytest.mark.parametrize("metric", Metric)
def test_blocks_find_every_pair_once_that_brute_force_finds(metric: Metric) -> None:
    vectors = RNG.standard_normal((700, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = FlatIndex(8, metric)
    ids = RNG.permutation(np.arange(1, 701, dtype=np.int64))
    index.add(ids, vectors)
    index.remove(ids[100:200])
    kept = np.concatenate([np.arange(100), np.arange(200, 700)])
    least = 0.45
    truth = {
        (int(max(ids[i], ids[j])), int(min(ids[i], ids[j])))
        for i, j in combinations(kept, 2)
        if true_scores(metric, vectors[i], vectors[j][None])[0] >= least
    }
    found: list[tuple[int, int]] = []
    for start in range(0, 701, 64):
        block = np.array([id_ for id_ in range(start, start + 64) if id_ in set(ids[kept].tolist())], dtype=np.int64)
        for hits in index.block_within(index.vectors(block), block, least):
            found += zip(block[hits.rows].tolist(), hits.ids.tolist(), strict=True)
    assert len(found) == len(set(found))
    assert set(found) == truth
    assert len(truth) > 100


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("metric", Metric)
def test_a_block_misses_nothing_that_stays_while_others_leave_and_come_between_its_parts(
    metric: Metric, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A removal moves the last templates into the gaps: from parts that are to be compared into parts that were."""
    monkeypatch.setattr("backend.gallery.flat.TILE", 40)
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((600, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index, ids = FlatIndex(8, metric), rng.permutation(np.arange(1, 601, dtype=np.int64))
    index.add(ids, vectors)
    block = rng.choice(ids, 32, replace=False)
    queries, gone, newest = index.vectors(block), set[int](), 601
    table = np.stack([true_scores(metric, query, vectors) for query in queries])
    least = float(np.sort(table, axis=None)[-2_001:-1_999].mean())
    found: set[tuple[int, int]] = set()
    for hits in index.block_within(queries, block, least):
        found |= set(zip(block[hits.rows].tolist(), hits.ids.tolist(), strict=True))
        going = rng.choice(index.ids(), int(rng.integers(0, 25)), replace=False)
        index.remove(going)
        gone |= set(going.tolist())
        coming = np.arange(newest, newest + int(rng.integers(0, 30)), dtype=np.int64)
        index.add(coming, np.ones((len(coming), 8), np.float32))
        newest += len(coming)
    truth = {(int(block[i]), int(ids[j])) for i, j in zip(*np.nonzero(table >= least), strict=True) if ids[j] < block[i]}
    stays = {(one, other) for one, other in truth if other not in gone}
    assert stays <= found <= truth
    assert len(gone) > 50
    assert len(stays) > 200


def test_changes_come_between_the_parts_of_a_block(node: Node, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.gallery.flat.TILE", 2)
    vectors = people.strangers(7)
    seqs = np.array([node.enrol(vector).seq for vector in vectors], dtype=np.int64)
    newer = np.full(1, 10**9, dtype=np.int64)
    parts = 0
    for _ in node.replica.block_within(vectors[0][None], newer, -2.0):
        parts += 1
        with node.replica._gate.change():  # it would wait for ever inside the pass
            assert node.replica.size == len(seqs)
    assert parts == 4


def test_a_block_does_not_go_on_in_an_index_that_was_built_anew(
    node: Node, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gallery.flat.TILE", 2)
    vectors = people.strangers(5)
    for vector in vectors:
        node.enrol(vector)
    parts = node.replica.block_within(vectors[0][None], np.full(1, 10**9, dtype=np.int64), -2.0)
    next(parts)
    with node.store.write() as session:
        node.store.gallery(session).epoch = "restored"
    node.replica.catch_up()
    with pytest.raises(GalleryBehind):
        next(parts)


def test_vectors_come_in_the_order_asked_for_and_unknown_ones_as_nan() -> None:
    vectors = RNG.standard_normal((10, 4)).astype(np.float32)
    index = index_of(vectors, Metric.cosine)
    index.remove(np.array([5, 45], dtype=np.int64))
    got = index.vectors(np.array([95, 5, 15, 1_000], dtype=np.int64))
    np.testing.assert_array_equal(got[[0, 2]], vectors[[9, 1]])
    assert np.isnan(got[[1, 3]]).all()
    assert np.isnan(FlatIndex(4, Metric.cosine).vectors(np.array([1], dtype=np.int64))).all()


def test_what_was_removed_is_overwritten_in_memory() -> None:
    vectors = RNG.standard_normal((50, 8)).astype(np.float32)
    index = index_of(vectors, Metric.cosine)
    memory = index._stored()  # the whole of it, also after some have left
    index.remove(index.ids()[[3, 48, 49]])
    for gone in (3, 48, 49):
        assert not (memory == vectors[gone]).all(axis=1).any()
    assert (memory == vectors[4]).all(axis=1).any()


def test_whoever_comes_while_a_search_runs_shares_the_next_one() -> None:
    begun, go_on, passes = threading.Event(), threading.Event(), []

    def search(queries: Sequence[int]) -> list[int]:
        passes.append(len(queries))
        begun.set()
        assert go_on.wait(10)
        return [query * 2 for query in queries]

    batcher = Batcher(search)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(batcher.ask, 1)
        begun.wait()
        rest = [pool.submit(batcher.ask, i) for i in range(2, 10)]
        wait_until(lambda: len(batcher._waiting) == 8)
        go_on.set()
        assert [asked.result() for asked in [first, *rest]] == [2 * i for i in range(1, 10)]
    assert passes == [1, 8]
    assert batcher.ask(7) == 14


def test_a_shared_pass_begins_as_soon_as_all_who_shared_the_last_one_have_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.gallery.batcher.LEAST_PAUSE_S", 3_600.0)
    begun, go_on, passes = threading.Event(), threading.Event(), []

    def search(queries: Sequence[int]) -> list[int]:
        passes.append(len(queries))
        begun.set()
        assert go_on.wait(10)
        return list(queries)

    batcher = Batcher(search)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(batcher.ask, 1)
        begun.wait()
        rest = [pool.submit(batcher.ask, i) for i in range(8)]
        wait_until(lambda: len(batcher._waiting) == 8)
        go_on.set()
        for asked in [first, *rest]:
            asked.result(10)
        for _ in range(5):
            again = [pool.submit(batcher.ask, i) for i in range(8)]
            assert [asked.result(10) for asked in again] == list(range(8))
    assert passes == [1, *[8] * 6]


def test_an_error_reaches_all_who_shared_the_search_and_the_next_one_is_whole() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def search(queries: Sequence[int]) -> list[int]:
        begun.set()
        assert go_on.wait(10)
        if 0 in queries:
            raise GalleryBehind("in doubt")
        return list(queries)

    batcher = Batcher(search)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(batcher.ask, 1)
        begun.wait()
        failing = [pool.submit(batcher.ask, i) for i in (0, 2)]
        wait_until(lambda: len(batcher._waiting) == 2)
        go_on.set()
        assert first.result() == 1
        for asked in failing:
            with pytest.raises(GalleryBehind, match="in doubt"):
                asked.result()
    assert batcher.ask(3) == 3


def test_searches_of_many_threads_are_right_while_the_gallery_changes(
    world: World, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gallery.replica.SHARED_FROM", 0)
    node = world.node()
    node.replica.start()
    persons = people.strangers(12)
    seqs = [node.enrol(person).seq for person in persons[:6]]
    stop = threading.Event()

    def search(i: int) -> int:
        right = 0
        while not stop.is_set():
            assert node.replica.within(persons[i % 6], 0.9).ids.tolist() == [seqs[i % 6]]
            assert node.replica.nearest(persons[i % 6], 1).ids.tolist() == [seqs[i % 6]]
            right += 1
        return right

    with ThreadPoolExecutor(8) as pool:
        searching = [pool.submit(search, i) for i in range(8)]
        try:
            for person in persons[6:]:
                gone = node.enrol(person).subject_id
                node.subjects.erase(gone, caller=CLIENT)
        finally:
            stop.set()
        assert min(asked.result() for asked in searching) > 0
