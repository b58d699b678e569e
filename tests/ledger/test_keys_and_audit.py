from __future__ import annotations

from datetime import timedelta

import pytest
from sqlmodel import select, update

from backend.errors import IdempotencyKeyReused, KeyNotFound, KeyStateConflict, SecretGone
from backend.store.answers import Idempotency
from backend.store.api_keys import Keys
from backend.store.keyring import Keyring, fresh_key
from backend.store.migration import pin
from backend.store.tables import ApiKey
from backend.store.tables import Idempotency as Repeat
from backend.wire import KeyChange, KeyRequest, Scope
from tests.ledger.world import CLIENT, MODEL, SUSI, Node, People, World, wait_until

TURNSTILE = KeyRequest(name="turnstile", scopes=[Scope.client])


@pytest.fixture
def keys(node: Node) -> Keys:
    return Keys(node.store)


def test_a_key_lets_its_holder_in_with_its_scopes(keys: Keys) -> None:
    made = keys.create(KeyRequest(name="turnstile", scopes=[Scope.client, Scope.viewer]))
    caller = keys.authenticate(made.secret)
    assert caller is not None
    assert (caller.id, caller.name, caller.kind, caller.roles) == (made.id, "turnstile", "key", {"client", "viewer"})


def test_only_the_hash_of_a_secret_is_stored(keys: Keys, node: Node) -> None:
    made = keys.create(TURNSTILE)
    with node.store.read() as session:
        assert made.secret not in str(session.exec(select(ApiKey)).one())
    assert made.secret not in str(keys.list())
    assert made.secret not in str(node.audit.list().items)


def test_a_secret_with_one_character_changed_is_refused(keys: Keys) -> None:
    secret = keys.create(TURNSTILE).secret
    last = "A" if secret[-1] != "A" else "B"
    for wrong in (secret[:-1] + last, secret + "A", secret.upper(), "", "fa_x_y", f" {secret}", "fa_" + "0" * 32 + secret[35:]):
        assert keys.authenticate(wrong) is None


def test_a_revoked_or_expired_key_is_refused_at_once(keys: Keys, node: Node) -> None:
    made = keys.create(TURNSTILE)
    keys.revoke(made.id)
    assert keys.revoke(made.id).revoked_at == keys.list()[0].revoked_at
    assert keys.authenticate(made.secret) is None
    with node.store.read() as session:
        past = node.store.now(session) - timedelta(seconds=1)
    expired = keys.create(KeyRequest(name="old", scopes=[Scope.client], expires_at=past))
    assert keys.authenticate(expired.secret) is None
    with pytest.raises(KeyNotFound):
        keys.revoke("key_none")


def test_the_last_use_of_a_key_is_noted_at_most_once_a_minute(keys: Keys) -> None:
    made = keys.create(TURNSTILE)
    assert keys.list()[0].last_used_at is None
    keys.authenticate(made.secret)
    wait_until(lambda: keys.list()[0].last_used_at is not None)
    noted = keys.list()[0].last_used_at
    for _ in range(5):
        keys.authenticate(made.secret)
    assert keys.list()[0].last_used_at == noted


def test_keys_that_are_used_while_another_use_is_noted_are_noted_too(keys: Keys, node: Node) -> None:
    made = [keys.create(TURNSTILE) for _ in range(3)]
    with node.store.write():  # so long nothing can be noted
        for key in made:
            keys.authenticate(key.secret)
    wait_until(lambda: all(key.last_used_at for key in keys.list()))


def test_making_and_revoking_a_key_is_audited(keys: Keys, node: Node) -> None:
    made = keys.create(TURNSTILE, caller=CLIENT)
    keys.revoke(made.id, caller=CLIENT)
    assert [(e.action, e.actor, e.object_id) for e in node.audit.list().items[:2]] == [
        ("key.revoke", CLIENT.id, made.id),
        ("key.create", CLIENT.id, made.id),
    ]


def test_a_key_carries_its_limit_and_another_one_from_the_next_request_on(keys: Keys, node: Node) -> None:
    made = keys.create(KeyRequest(name="turnstile", scopes=[Scope.client], rate_per_minute=30))
    caller = keys.authenticate(made.secret)
    assert caller is not None
    assert (caller.rate_per_minute, caller.synthetic) == (30, False)
    assert keys.change(made.id, KeyChange(synthetic=True), caller=CLIENT).rate_per_minute == 30
    keys.change(made.id, KeyChange(rate_per_minute=None), caller=CLIENT)
    keys.change(made.id, KeyChange(rate_per_minute=None), caller=CLIENT)
    changed = keys.authenticate(made.secret)
    assert changed is not None
    assert (changed.rate_per_minute, changed.synthetic) == (None, True)
    told = [event for event in node.audit.list().items if event.action == "key.change"]
    assert [(event.actor, event.detail["rate_per_minute"], event.detail["synthetic"]) for event in told] == [
        (CLIENT.id, None, True),
        (CLIENT.id, 30, True),
    ]
    with pytest.raises(KeyNotFound):
        keys.change("key_none", KeyChange(synthetic=True))


def test_a_rotated_key_and_its_successor_are_both_good_for_a_while(keys: Keys, node: Node) -> None:
    old = keys.create(KeyRequest(name="turnstile", scopes=[Scope.client], rate_per_minute=7, synthetic=True))
    new = keys.replace(old.id, overlap=timedelta(hours=1))
    callers = [keys.authenticate(secret) for secret in (old.secret, new.secret)]
    assert [(one.name, one.roles, one.rate_per_minute, one.synthetic) for one in callers if one] == [
        ("turnstile", {"client"}, 7, True)
    ] * 2
    assert new.expires_at is None
    (ended,) = (key.expires_at for key in keys.list() if key.id == old.id)
    with node.store.read() as session:
        left = ended - node.store.now(session) if ended else None
    assert left is not None
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert [(event.action, event.object_id) for event in node.audit.list().items[:2]] == [
        ("key.replace", old.id),
        ("key.create", new.id),
    ]


def test_a_key_rotated_without_overlap_is_revoked_and_its_successor_lives_as_long_anew(keys: Keys, node: Node) -> None:
    with node.store.read() as session:
        now = node.store.now(session)
    old = keys.create(KeyRequest(name="turnstile", scopes=[Scope.client], expires_at=now + timedelta(days=90)))
    new = keys.replace(old.id, overlap=timedelta())
    assert keys.authenticate(old.secret) is None
    assert keys.authenticate(new.secret) is not None
    assert new.expires_at is not None
    assert new.expires_at - new.created_at == pytest.approx(timedelta(days=90), abs=timedelta(seconds=5))
    with pytest.raises(KeyStateConflict):
        keys.replace(old.id, overlap=timedelta(hours=1))


def test_rotating_never_lengthens_a_life(keys: Keys, node: Node) -> None:
    with node.store.read() as session:
        soon = node.store.now(session) + timedelta(minutes=5)
    old = keys.create(KeyRequest(name="turnstile", scopes=[Scope.client], expires_at=soon))
    keys.replace(old.id, overlap=timedelta(days=1))
    assert [key.expires_at for key in keys.list() if key.id == old.id] == [soon]


def test_the_same_request_makes_one_key_and_tells_its_secret_again(keys: Keys, node: Node) -> None:
    repeated = Idempotency("retry-1", "0" * 64)
    first = keys.create(TURNSTILE, caller=CLIENT, idempotency=repeated)
    assert keys.create(TURNSTILE, caller=CLIENT, idempotency=repeated) == first
    assert [key.id for key in keys.list()] == [first.id]
    assert keys.authenticate(first.secret) is not None
    assert [event.action for event in node.audit.list().items].count("key.create") == 1
    with pytest.raises(IdempotencyKeyReused):
        keys.create(TURNSTILE, caller=CLIENT, idempotency=Idempotency("retry-1", "1" * 64))
    assert keys.create(TURNSTILE, caller=SUSI, idempotency=repeated).secret != first.secret


def test_a_secret_that_is_told_again_is_in_the_trail_and_ends_with_its_day(keys: Keys, node: Node) -> None:
    """The request's own key may stand in a balancer's log: with the row that remembers the request the secret is gone."""
    repeated = Idempotency("retry-1", "0" * 64)
    first = keys.create(TURNSTILE, caller=CLIENT, idempotency=repeated)
    keys.create(TURNSTILE, caller=CLIENT, idempotency=repeated)
    told = [(event.object_id, event.actor) for event in node.audit.list().items if event.action == "key.show_again"]
    assert told == [(first.id, CLIENT.id)]
    with node.store.write() as session:
        session.exec(update(Repeat).values(id="idem_another"))
    with pytest.raises(SecretGone):
        keys.create(TURNSTILE, caller=CLIENT, idempotency=repeated)


def test_a_repeatable_secret_stands_in_no_row_and_needs_both_keys(keys: Keys, node: Node) -> None:
    made = keys.create(TURNSTILE, caller=CLIENT, idempotency=Idempotency("retry-1", "0" * 64))
    with node.store.read() as session:
        (row,) = session.exec(select(Repeat)).all()
        assert made.secret not in str(row)
        assert "retry-1" not in str(row)
    answered = node.store.keyring
    node.store.keyring = Keyring(bytes(32), fresh_key())
    with node.store.write() as session:
        node.store.gallery(session).key_check = node.store.keyring.check_value
    with pytest.raises(SecretGone, match=made.id):
        keys.create(TURNSTILE, caller=CLIENT, idempotency=Idempotency("retry-1", "0" * 64))
    node.store.keyring = answered


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
