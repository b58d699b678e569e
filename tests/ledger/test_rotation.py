"""Replacing the file key: what was sealed before is opened and found, whichever of two keys wraps."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from backend.store.database import Store
from backend.store.keyring import HEADER, Keyring, KeyringError
from tests.ledger.world import Node, People, World

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
