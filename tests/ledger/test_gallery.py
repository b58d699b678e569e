from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from sqlmodel import col, delete, update

from backend.errors import GalleryBehind
from backend.faces.engine import Metric
from backend.gallery.flat import FlatIndex
from backend.gallery.gate import Gate
from backend.gallery.replica import Replica
from backend.store.gallery_log import checksum_of
from backend.store.keyring import Keyring
from backend.store.tables import GalleryChange, Template
from tests.ledger.world import CARD, CLIENT, ON_SQLITE, Node, People, World, wait_until

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
        reader.replica.wait_for(seq + 1, timeout_s=0.05)


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
    monkeypatch.setattr("backend.gallery.replica.rebuild", lambda *_: rebuilt.append(1))
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
