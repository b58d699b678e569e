"""Replacing the file key: what was sealed before is opened and found, whichever of two keys wraps."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from sqlmodel import select

from backend.errors import NotReady
from backend.gallery.candidates import best_comparison
from backend.store import schema
from backend.store.backup import back_up
from backend.store.database import Store
from backend.store.key_file import KeyFileWatch, add_key, keep_newest
from backend.store.keyring import HEADER, Keyring, KeyringError
from backend.store.restore import restore
from backend.store.rotation import RotationError, retire, rotate
from backend.store.tables import Subject
from tests.ledger.test_erasure import raw_files
from tests.ledger.world import CLIENT, ON_SQLITE, Node, People, World, probe

NEW = bytes(range(32))


def line(key: bytes) -> str:
    return f"{HEADER}{base64.b64encode(key).decode()}\n"


def with_second_key(path: Path) -> Path:
    path.write_text(path.read_text() + line(NEW))
    return path


def test_a_file_of_two_keys_opens_what_either_wrapped(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    old = Keyring.create(path)
    wrapped, key = old.new_subject_key("sub_1")
    sealed = key.seal(b"face", context="crop")

    both = Keyring.load(with_second_key(path))

    assert both.check_values == (old.check_value, Keyring(NEW).check_value)
    assert both.subject_key("sub_1", wrapped).open(sealed, context="crop") == b"face"
    anew = both.wrapped_anew("sub_1", wrapped)
    assert anew is not None
    assert both.wrapped_anew("sub_1", anew) is None, "it is so already"
    assert Keyring(NEW).subject_key("sub_1", anew).open(sealed, context="crop") == b"face"
    with pytest.raises(KeyringError):
        old.subject_key("sub_1", anew)


def test_the_index_of_external_ids_survives_its_key_being_wrapped_anew() -> None:
    old, both = Keyring(bytes(32)), Keyring(bytes(32), NEW)
    sealed = both.seal_index_key("main", old, None)

    assert Keyring(NEW).blind_index("main", "E-1", sealed) == old.blind_index("main", "E-1")
    assert Keyring(NEW).blind_index("main", "E-1") != old.blind_index("main", "E-1")
    with pytest.raises(KeyringError):
        old.blind_index("main", "E-1", sealed)


def test_a_second_line_changes_nothing_until_the_gallery_names_it(world: World, people: People) -> None:
    with_old = world.node()
    before = with_old.enrol(people.stranger(), external_id="E-1").subject_id
    with_second_key(world.key_file)
    with_both = world.node()

    assert with_both.store.schema_state().ok
    during = with_both.enrol(people.stranger(), external_id="E-2").subject_id

    for node in (with_old, with_both):
        assert found(node, "E-1") == before
        assert found(node, "E-2") == during, "wrapped by the key which every file holds"


def test_a_file_without_the_gallerys_key_is_refused(world: World) -> None:
    stranger = Store.open(world.url, keyring=Keyring(NEW, bytes(32)))
    try:
        assert stranger.schema_state().sentence == "The key file is not the one that this database was encrypted with"
    finally:
        stranger.close()


def found(node: Node, external_id: str) -> str:
    (subject,) = node.subjects.list(external_id=external_id).items
    return subject.id


def test_what_was_enrolled_before_during_and_after_a_rotation_is_found_and_opens(world: World, people: People) -> None:
    looks = people.strangers(4)
    node = world.node()
    ids = [node.enrol(looks[0], external_id="E-0").subject_id]

    add_key(world.key_file)
    KeyFileWatch(node.store, world.key_file).look()
    ids.append(node.enrol(looks[1], external_id="E-1").subject_id)
    assert rotate(node.store).subjects == 2
    ids.append(node.enrol(looks[2], external_id="E-2").subject_id)
    assert rotate(node.store).subjects == 0, "what is enrolled from then on is wrapped by the new key at once"
    assert retire(node.store) == 1
    keep_newest(world.key_file)

    KeyFileWatch(node.store, world.key_file).look()
    ids.append(node.enrol(looks[3], external_id="E-3").subject_id)
    for each in (node, world.node()):
        assert [found(each, f"E-{n}") for n in range(4)] == ids
        for subject_id, look in zip(ids, looks, strict=True):
            sample = each.subjects.get(subject_id).samples[0]
            assert each.subjects.sample_image(subject_id, sample.id, CLIENT) == b"\xff\xd8crop\xff\xd9"
            assert each.recognition.verify_subject(subject_id, probe(look)).score > 0.99


def test_the_old_key_opens_nothing_after_the_rotation(world: World, node: Node, people: People) -> None:
    subject_id = node.enrol(people.stranger(), external_id="E-1").subject_id
    old = Keyring.load(world.key_file)
    rotated(world, node)

    with_old = Store.open(world.url, keyring=old)
    try:
        assert with_old.schema_state().sentence == "The key file is not the one that this database was encrypted with"
        with with_old.read() as session:
            wrapped = session.exec(select(Subject.wrapped_key).where(Subject.id == subject_id)).one()
        assert wrapped is not None
        with pytest.raises(KeyringError):
            old.subject_key(subject_id, wrapped)
    finally:
        with_old.close()


def test_a_replica_without_the_new_key_admits_nobody_once_the_gallery_names_it(world: World, people: People) -> None:
    late = world.node()
    late.replica.catch_up()  # it knows nothing of the rotation yet
    add_key(world.key_file)
    rotate(world.node().store)

    with pytest.raises(NotReady):
        late.enrol(people.stranger(), external_id="E-1")
    KeyFileWatch(late.store, world.key_file).look()
    admitted = late.enrol(people.stranger(), external_id="E-1").subject_id
    assert found(late, "E-1") == admitted


def test_a_program_that_knows_one_key_alone_is_shut_out_when_a_rotation_begins(
    world: World, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given the new key alone it would look external ids up in an index of its own, and take one twice."""
    add_key(world.key_file)
    KeyFileWatch(node.store, world.key_file).look()
    for rotating in (False, True):
        if rotating:
            rotate(node.store)
        with monkeypatch.context() as first_release:
            first_release.setattr(schema, "APP_LEVEL", 1)
            state = node.store.schema_state()
        assert state.ok is not rotating
    assert "needs a newer program (level 2" in state.sentence
    assert node.store.schema_state().ok


def test_a_rotation_killed_between_batches_is_taken_up_again(world: World, node: Node, people: People) -> None:
    ids = [node.enrol(look).subject_id for look in people.strangers(5)]
    add_key(world.key_file)
    killed = subprocess.run(
        [sys.executable, "-m", "tests.ledger.rotating_process", world.url, str(world.key_file), "2"], check=False, timeout=60
    )
    assert killed.returncode == -9
    KeyFileWatch(node.store, world.key_file).look()
    with pytest.raises(RotationError, match="still wrapped by the old one"):
        retire(node.store)

    again = rotate(node.store)

    assert (again.began, again.subjects) == (False, len(ids) - 2)
    assert retire(node.store) == 1


def test_steps_in_the_wrong_order_are_refused(world: World, node: Node) -> None:
    with pytest.raises(RotationError, match="--prepare"):
        rotate(node.store)
    add_key(world.key_file)
    with pytest.raises(KeyringError, match="second key already"):
        add_key(world.key_file)
    KeyFileWatch(node.store, world.key_file).look()
    with pytest.raises(RotationError, match="not in use yet"):
        retire(node.store)


def test_a_backup_from_before_is_restored_with_both_keys(world: World, node: Node, people: People, tmp_path: Path) -> None:
    look = people.stranger()
    subject_id = node.enrol(look, external_id="E-1").subject_id
    back_up(node.store, tmp_path / "before.backup")
    old_line = world.key_file.read_text()
    rotated(world, node)
    world.key_file.write_text(old_line + world.key_file.read_text())
    KeyFileWatch(node.store, world.key_file).look()

    restore(node.store, tmp_path / "before.backup", compare=partial(best_comparison, world.card.metric), replace=True)

    assert found(node, "E-1") == subject_id
    assert rotate(node.store).subjects == 1
    assert found(node, "E-1") == subject_id


def test_the_key_file_stays_private_and_a_damaged_one_changes_nothing(world: World, node: Node) -> None:
    add_key(world.key_file)
    assert world.key_file.stat().st_mode & 0o777 == 0o600
    watch = KeyFileWatch(node.store, world.key_file)
    watch.look()
    both = node.store.keyring.check_values
    assert len(both) == 2

    whole = world.key_file.read_text()
    world.key_file.write_text("face-auth-key-v1:damaged")
    watch.look()
    world.key_file.write_text(whole)

    assert node.store.keyring.check_values == both
    assert node.store.schema_state().ok


def rotated(world: World, node: Node) -> None:
    add_key(world.key_file)
    KeyFileWatch(node.store, world.key_file).look()
    rotate(node.store)
    retire(node.store)
    keep_newest(world.key_file)
    KeyFileWatch(node.store, world.key_file).look()


def test_the_command_says_which_step_comes_next(fresh: dict[str, str]) -> None:
    assert command(fresh, "migrate").returncode == 0
    early = command(fresh, "rotate-keys")
    assert early.returncode == 1
    assert "--prepare" in early.stderr
    assert "every replica" in command(fresh, "rotate-keys", "--prepare").stdout
    assert "--finish" in command(fresh, "rotate-keys").stdout
    assert json.loads(command(fresh, "rotate-keys", "--finish", "--json").stdout) == {"retired": 1}
    assert len(Path(fresh["BACKEND_MASTER_KEY_FILE"]).read_text().split()) == 1
    assert command(fresh, "backup", fresh["BACKUP"]).returncode == 0


@pytest.fixture
def fresh(tmp_path: Path) -> dict[str, str]:
    """The environment of a program with a folder of its own."""
    outer = {name: value for name, value in os.environ.items() if not name.startswith("BACKEND_")}
    return outer | {
        "BACKEND_DATABASE_URL": f"sqlite:///{tmp_path / 'a.db'}",
        "BACKEND_MASTER_KEY_FILE": str(tmp_path / "a.key"),
        "BACKEND_ENGINE": "offline",
        "BACKUP": str(tmp_path / "a.backup"),
    }


def command(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "backend", *words], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@ON_SQLITE
def test_no_file_of_the_database_keeps_what_the_old_key_wrapped(world: World, node: Node, people: People) -> None:
    node.enrol(people.stranger())
    with node.store.read() as session:
        (before,) = session.exec(select(Subject.wrapped_key)).all()
    assert before is not None
    assert before in raw_files(world)

    rotated(world, node)

    assert before not in raw_files(world)
