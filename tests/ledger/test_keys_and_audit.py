from __future__ import annotations

from datetime import timedelta

import pytest
from sqlmodel import select

from backend.errors import KeyNotFound
from backend.store.api_keys import Keys
from backend.store.keyring import Keyring
from backend.store.migration import pin
from backend.store.tables import ApiKey
from backend.wire import Scope
from tests.ledger.world import CLIENT, MODEL, Node, People, World, wait_until


@pytest.fixture
def keys(node: Node) -> Keys:
    return Keys(node.store)


def test_a_key_lets_its_holder_in_with_its_scopes(keys: Keys) -> None:
    made = keys.create("turnstile", [Scope.client, Scope.viewer])
    caller = keys.authenticate(made.secret)
    assert caller is not None
    assert (caller.id, caller.name, caller.kind, caller.roles) == (made.id, "turnstile", "key", {"client", "viewer"})


def test_only_the_hash_of_a_secret_is_stored(keys: Keys, node: Node) -> None:
    made = keys.create("turnstile", [Scope.client])
    with node.store.read() as session:
        assert made.secret not in str(session.exec(select(ApiKey)).one())
    assert made.secret not in str(keys.list())
    assert made.secret not in str(node.audit.list().items)


def test_a_secret_with_one_character_changed_is_refused(keys: Keys) -> None:
    secret = keys.create("turnstile", [Scope.client]).secret
    last = "A" if secret[-1] != "A" else "B"
    for wrong in (secret[:-1] + last, secret + "A", secret.upper(), "", "fa_x_y", f" {secret}", "fa_" + "0" * 32 + secret[35:]):
        assert keys.authenticate(wrong) is None


def test_a_revoked_or_expired_key_is_refused_at_once(keys: Keys, node: Node) -> None:
    made = keys.create("turnstile", [Scope.client])
    keys.revoke(made.id)
    assert keys.revoke(made.id).revoked_at == keys.list()[0].revoked_at
    assert keys.authenticate(made.secret) is None
    with node.store.read() as session:
        past = node.store.now(session) - timedelta(seconds=1)
    expired = keys.create("old", [Scope.client], past)
    assert keys.authenticate(expired.secret) is None
    with pytest.raises(KeyNotFound):
        keys.revoke("key_none")


def test_the_last_use_of_a_key_is_noted_at_most_once_a_minute(keys: Keys) -> None:
    made = keys.create("turnstile", [Scope.client])
    assert keys.list()[0].last_used_at is None
    keys.authenticate(made.secret)
    wait_until(lambda: keys.list()[0].last_used_at is not None)
    noted = keys.list()[0].last_used_at
    for _ in range(5):
        keys.authenticate(made.secret)
    assert keys.list()[0].last_used_at == noted


def test_making_and_revoking_a_key_is_audited(keys: Keys, node: Node) -> None:
    made = keys.create("turnstile", [Scope.client], caller=CLIENT)
    keys.revoke(made.id, caller=CLIENT)
    assert [(e.action, e.actor, e.object_id) for e in node.audit.list().items[:2]] == [
        ("key.revoke", CLIENT.id, made.id),
        ("key.create", CLIENT.id, made.id),
    ]


def test_to_what_a_gallery_is_pinned_is_its_first_event_and_repeating_it_is_none(world: World, node: Node) -> None:
    keyring = Keyring.load(world.key_file)
    assert not pin(world.url, keyring=keyring, model_id=MODEL)
    (event,) = node.audit.list().items
    assert (event.action, event.actor, event.object_id) == ("gallery.pin", "system", "main")
    assert event.detail == {"model": MODEL, "key": keyring.check_value}


def test_the_audit_trail_pages_newest_first(node: Node, people: People) -> None:
    for _ in range(4):
        node.enrol(people.stranger())
    first = node.audit.list(limit=3)
    second = node.audit.list(limit=3, cursor=first.next)
    assert [event.seq for event in (*first.items, *second.items)] == [5, 4, 3, 2, 1]
    assert (first.total, second.next) == (5, None)


def test_no_name_external_id_or_metadata_stands_in_the_audit_trail(node: Node, people: People) -> None:
    node.enrol(people.stranger(), external_id="E-secret", metadata={"name": "Mary"})
    event = node.audit.list().items[0]
    assert "secret" not in str(event)
    assert "Mary" not in str(event)
    assert event.action == "subject.enrol"
