"""A backup taken while replicas run, and restored into either kind of database: whole, as a new epoch, erased stays erased."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from sqlmodel import select, update

from backend import wire
from backend.errors import SubjectNotFound
from backend.gallery.candidates import best_comparison
from backend.store import audit_chain
from backend.store.api_keys import Keys
from backend.store.backup import BackupError, Manifest, back_up, read_manifest
from backend.store.database import Store
from backend.store.keyring import Keyring
from backend.store.migration import upgrade
from backend.store.restore import Restored, restore
from backend.store.schema import known_revisions
from backend.store.tables import GalleryChange, JobLease
from tests.ledger.invariants import assert_ledger_is_whole, seal_all
from tests.ledger.world import ANNA, CLIENT, SUSI, Node, People, World
from tests.postgres import PostgresServer

BOTH_WAYS = pytest.mark.parametrize("target_kind", ["sqlite", "postgresql"])

HEAD = known_revisions()[-1]


@pytest.fixture
def empty(tmp_path: Path, world: World, target_kind: str, request: pytest.FixtureRequest) -> Iterator[World]:
    """A migrated database of `target_kind` without a row, for the key file of `world`."""
    folder = tmp_path / "target"
    folder.mkdir()
    shutil.copy(world.key_file, folder / "ledger.key")
    server: PostgresServer | None = None if target_kind == "sqlite" else request.getfixturevalue("postgres")
    made = World(folder, database_url=server.new_database() if server else None)
    upgrade(made.url)
    yield made
    assert_ledger_is_whole(made)
    made.close()
    if server is not None:
        server.drop(made.url)


def save(world: World, file: Path, keys: Path | None = None) -> Manifest:
    with closing(Store.open(world.url, keyring=Keyring.load(world.key_file))) as store:
        return back_up(store, file, keys)


def load(world: World, file: Path, **options: object) -> Restored:
    with closing(Store.open(world.url, keyring=Keyring.load(world.key_file))) as store:
        return restore(store, file, compare=partial(best_comparison, world.card.metric), **options)  # type: ignore[arg-type]


def sealed(node: Node) -> tuple[int, str]:
    seal_all(node.store)
    head = audit_chain.head(node.store)
    return head.position, head.hash


def filled(node: Node, people: People) -> dict[str, wire.Enrolment]:
    """Somebody with a name, an open case, a merge, a rejected enrolment and an erased person."""
    a, b, c, d = people.strangers(4)
    made = {
        "ada": node.enrol(a, external_id="ada", metadata={"name": "Ada"}),
        "double": node.enrol(people.like(a, 0.7)),
        "loser": node.enrol(b),
        "survivor": node.enrol(people.like(b, 0.8)),
        "erased": node.enrol(c),
        "third": node.enrol(d),
    }
    merged = next(case for case in node.cases() if made["loser"].subject_id in str(node.open_case(case.id).model_dump()))
    node.adjudication.claim(merged.id, wire.ClaimRequest(version=node.open_case(merged.id).version), ANNA)
    node.decide(merged.id, wire.Verdict.same, survivor_id=made["survivor"].subject_id)
    node.outcome(people.like(d, 0.95), on_duplicate=wire.OnDuplicate.reject)
    node.subjects.erase(made["erased"].subject_id, caller=CLIENT)
    sealed(node)
    return made


# --- whole --------------------------------------------------------------------------------------------------------


@BOTH_WAYS
def test_a_backup_restored_elsewhere_is_the_same_ledger(world: World, empty: World, people: People, tmp_path: Path) -> None:
    node = world.node()
    made = filled(node, people)
    manifest = save(world, tmp_path / "one.backup")
    done = load(empty, tmp_path / "one.backup")
    assert done.rows == sum(manifest.rows.values()) > 30
    assert (done.erased_again, done.replaced_position) == (0, 0)

    other = empty.node()
    theirs = {subject.id: subject for subject in node.subjects.list(limit=100).items}
    assert {subject.id: subject for subject in other.subjects.list(limit=100).items} == theirs
    assert other.subjects.get(made["ada"].subject_id).metadata == {"name": "Ada"}
    assert [case.id for case in other.cases()] == [case.id for case in node.cases()]
    again = other.enrol(people.like(people_of(node, made["third"]), 0.75))
    assert again.case_id is not None
    merged = next(case for case in other.cases(wire.CaseState.resolved))
    other.undo(merged.id, SUSI)
    assert other.subjects.get(made["loser"].subject_id).id == made["loser"].subject_id


def people_of(node: Node, enrolled: wire.Enrolment):  # type: ignore[no-untyped-def]
    from backend.store import templates

    with node.store.read() as session:
        found = templates.of_subjects(
            session, node.store.keyring, gallery_id="main", subject_ids=[enrolled.subject_id], model_id=enrolled.model_id
        )
    return found[0].vector


@BOTH_WAYS
def test_numbers_go_on_and_the_chain_goes_on(world: World, empty: World, people: People, tmp_path: Path) -> None:
    node = world.node()
    filled(node, people)
    manifest = save(world, tmp_path / "one.backup")
    load(empty, tmp_path / "one.backup")
    other = empty.node()
    assert other.enrol(people.stranger()).seq > manifest.seq
    seal_all(other.store)
    verdict = audit_chain.verify(other.store, {manifest.position: manifest.head})
    assert (verdict.holds, verdict.witnessed, verdict.restores) == (True, 1, [manifest.position + 1])


def test_a_backup_sees_one_moment_while_others_enrol(world: World, people: People, tmp_path: Path) -> None:
    nodes = [world.node(), world.node()]
    vectors = people.strangers(24)
    begun, stop = threading.Event(), threading.Event()

    def enrol() -> None:
        for vector in vectors:
            nodes[0].enrol(vector)
            begun.set()
            if stop.is_set():
                return

    writer = threading.Thread(target=enrol)
    writer.start()
    begun.wait()
    try:
        manifests = [save(world, tmp_path / f"{n}.backup") for n in range(3)]
    finally:
        stop.set()
        writer.join()
    for n, manifest in enumerate(manifests):
        target = World(tmp_path / f"restored-{n}")
        target.folder.mkdir()
        shutil.copy(world.key_file, target.key_file)
        upgrade(target.url)
        load(target, tmp_path / f"{n}.backup")
        assert_ledger_is_whole(target)
        assert target.node().subjects.list().total <= manifest.rows["subject"]
        target.close()


# --- in the place of another --------------------------------------------------------------------------------------


def test_it_replaces_nothing_unasked(world: World, people: People, tmp_path: Path) -> None:
    node = world.node()
    node.enrol(people.stranger())
    save(world, tmp_path / "one.backup")
    kept = node.enrol(people.stranger())
    with pytest.raises(BackupError, match="--replace"):
        load(world, tmp_path / "one.backup")
    assert node.subjects.get(kept.subject_id).id == kept.subject_id


def test_going_back_is_a_new_epoch_that_running_replicas_notice_and_whose_numbers_were_never_used(
    world: World, people: People, tmp_path: Path
) -> None:
    node, other = world.node(), world.node()
    persons = people.strangers(4)
    first = node.enrol(persons[0])
    other.replica.wait_for(first.seq, 5)
    before = other.replica.status().epoch
    manifest = save(world, tmp_path / "one.backup")
    later = [node.enrol(person) for person in persons[1:3]]
    given_up = sealed(node)
    other.replica.wait_for(later[-1].seq, 5)

    done = load(world, tmp_path / "one.backup", replace=True)
    assert done.replaced_position == given_up[0]
    for node_ in (node, other):
        node_.replica.catch_up()
        assert node_.replica.status().epoch == done.epoch != before
        assert node_.replica.size == 1
    again = other.enrol(people.like(persons[1], 0.8))
    assert again.case_id is None, "somebody of the replaced gallery was found"
    assert again.seq > later[-1].seq > manifest.seq
    seal_all(node.store)
    verdict = audit_chain.verify(node.store, {manifest.position: manifest.head, given_up[0]: given_up[1]})
    assert (verdict.holds, verdict.given_up) == (True, 1)


def test_who_was_erased_since_stays_erased_and_a_revoked_key_revoked(world: World, people: People, tmp_path: Path) -> None:
    node = world.node()
    made = filled(node, people)
    key = Keys(node.store).create(wire.KeyRequest(name="turnstile", scopes=[wire.Scope.client]))
    save(world, tmp_path / "one.backup")
    node.subjects.erase(made["ada"].subject_id, caller=CLIENT)
    node.subjects.erase(made["survivor"].subject_id, caller=CLIENT)  # and who was merged into it
    Keys(node.store).revoke(key.id)
    done = load(world, tmp_path / "one.backup", replace=True)
    assert done.erased_again == 3
    for name in ("ada", "survivor", "loser"):
        with pytest.raises(SubjectNotFound):
            node.subjects.get(made[name].subject_id)
    assert node.subjects.get(made["double"].subject_id).id == made["double"].subject_id
    assert Keys(node.store).list()[0].revoked_at is not None


def test_leases_and_snapshots_of_the_replaced_life_are_gone(world: World, people: People, tmp_path: Path) -> None:
    node = world.node()
    filled(node, people)
    case = node.cases(wire.CaseState.open)[0]
    node.adjudication.claim(case.id, wire.ClaimRequest(version=case.version), ANNA)
    save(world, tmp_path / "one.backup")
    load(world, tmp_path / "one.backup", replace=True)
    assert node.open_case(case.id).state is wire.CaseState.open
    with node.store.read() as session:
        assert session.exec(select(JobLease)).all() == []


def test_a_restore_that_fails_leaves_everything_as_it_was(
    world: World, people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = world.node()
    filled(node, people)
    save(world, tmp_path / "one.backup")
    kept = node.enrol(people.stranger())
    before = node.subjects.list(limit=100)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the power fails")

    monkeypatch.setattr("backend.store.gone.take_out", fail)
    with pytest.raises(RuntimeError, match="power"):
        load(world, tmp_path / "one.backup", replace=True)
    assert node.subjects.list(limit=100) == before
    node.replica.catch_up()
    assert node.enrol(people.stranger()).seq > kept.seq


# --- keys apart ---------------------------------------------------------------------------------------------------


def test_without_its_keys_a_backup_opens_nothing_and_taking_one_out_erases_that_person(
    world: World, people: People, tmp_path: Path
) -> None:
    node = world.node()
    made = filled(node, people)
    file, keys = tmp_path / "one.backup", tmp_path / "one.keys"
    save(world, file, keys)
    assert keys.stat().st_mode & 0o777 == file.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM subject WHERE wrapped_key IS NOT NULL").fetchone() == (0,)
    with pytest.raises(BackupError, match="--keys"):
        load(world, file, replace=True)
    kept = [line for line in keys.read_text().splitlines() if made["double"].subject_id not in line]
    keys.write_text("\n".join(kept) + "\n")
    done = load(world, file, keys_file=keys, replace=True)
    assert done.erased_again == 1
    with pytest.raises(SubjectNotFound):
        node.subjects.get(made["double"].subject_id)
    assert node.subjects.get(made["ada"].subject_id).external_id == "ada"


# --- refusals -----------------------------------------------------------------------------------------------------


def spoil(change: str) -> Callable[[Path], None]:
    def do(file: Path) -> None:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute(change)
            connection.commit()

    return do


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[: 3 * 4096]), "damaged"),
        (lambda file: file.write_bytes(b"nothing of the kind"), "not a backup"),
        (lambda file: file.unlink(), "there is no backup"),
        (spoil("UPDATE subject SET state = 'active'"), "table subject"),
        (spoil("DELETE FROM template WHERE seq = 1"), "table template"),
        (spoil("UPDATE backup_manifest SET content = '{}'"), "not a backup"),
        (
            spoil("UPDATE backup_manifest SET content = replace(content, '\"HEAD\"', '\"0001\"')".replace("HEAD", HEAD)),
            "schema 0001",
        ),
        (spoil("UPDATE backup_manifest SET content = replace(content, '\"main\"', '\"other\"')"), "gallery other"),
    ],
)
def test_what_is_not_whole_or_does_not_fit_is_refused(
    world: World, people: People, tmp_path: Path, damage: Callable[[Path], None], why: str
) -> None:
    node = world.node()
    filled(node, people)
    save(world, tmp_path / "one.backup")
    before = node.subjects.list(limit=100)
    damage(tmp_path / "one.backup")
    with pytest.raises(BackupError, match=why):
        load(world, tmp_path / "one.backup", replace=True)
    assert node.subjects.list(limit=100) == before


def test_another_key_file_is_refused(world: World, people: People, tmp_path: Path) -> None:
    world.node().enrol(people.stranger())
    save(world, tmp_path / "one.backup")
    other = World(tmp_path / "other")
    other.folder.mkdir()
    other.create()
    with pytest.raises(BackupError, match="another key file"):
        load(other, tmp_path / "one.backup", replace=True)
    other.close()


def test_nothing_is_overwritten_and_nothing_unfinished_stays(world: World, people: People, tmp_path: Path) -> None:
    world.node().enrol(people.stranger())
    (tmp_path / "here").write_text("mine")
    for file, keys in ((tmp_path / "here", None), (tmp_path / "one", tmp_path / "here")):
        with pytest.raises(BackupError, match="exists already"):
            save(world, file, keys)
    assert (tmp_path / "here").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir() if "unfinished" in path.name] == []
    assert not (tmp_path / "one").exists()


def test_the_backup_is_audited_and_holds_one_file(world: World, people: People, tmp_path: Path) -> None:
    node = world.node()
    node.enrol(people.stranger())
    folder = tmp_path / "backups"
    folder.mkdir()
    manifest = save(world, folder / "one")
    assert [path.name for path in folder.iterdir()] == ["one"]
    assert read_manifest(folder / "one") == manifest
    assert node.audit.list().items[0].action == "ledger.backup"


def test_a_ledger_of_an_older_schema_is_to_be_migrated_first(world: World, tmp_path: Path) -> None:
    node = world.node()
    with node.store.write() as session:
        session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '0002'")
    with pytest.raises(BackupError, match="migrate first"):
        save(world, tmp_path / "one")
    with node.store.write() as session:
        session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '0005'")
        assert session.exec(update(GalleryChange).values(count=0)).rowcount == 0
