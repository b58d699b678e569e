from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from backend.errors import Forbidden, PersonNeeded, Unauthenticated
from backend.identity import Identity, Signers, person
from backend.permissions import PERMISSIONS, PERSONS_ONLY, Action, require
from backend.store.caller import Caller
from backend.wire import Scope
from tests.api.service import Dashboard, jwk


@pytest.fixture
def dashboard(tmp_path: Path) -> Dashboard:
    return Dashboard(tmp_path / "signers.json")


@pytest.fixture
def signers(dashboard: Dashboard) -> Signers:
    return Signers(dashboard.jwks)


def test_a_token_names_its_person(dashboard: Dashboard, signers: Signers) -> None:
    caller = person(dashboard.token("reviewer", "admin"), signers)
    assert caller == Caller("usr_ada", "ada", "person", frozenset({"reviewer", "admin"}), sid="ses_ada", kid="test-1")


def test_scopes_of_keys_are_not_roles_of_people(dashboard: Dashboard, signers: Signers) -> None:
    assert person(dashboard.token("client", "viewer", "king", "operator"), signers).roles == {"operator"}


WRONG: dict[str, Callable[[Dashboard], str]] = {
    "expired": lambda d: d.token("admin", exp=int(time.time()) - 31),
    "for the monitor": lambda d: d.token("admin", aud="face-auth-monitor"),
    "of another issuer": lambda d: d.token("admin", iss="somebody"),
    "without audience": lambda d: d.token("admin", aud=None),
    "without issuer": lambda d: d.token("admin", iss=None),
    "without expiry": lambda d: d.token("admin", exp=None),
    "without its time of issue": lambda d: d.token("admin", iat=None),
    "good for longer than five minutes": lambda d: d.token("admin", exp=int(time.time()) + 301),
    "issued in the future": lambda d: d.token("admin", iat=int(time.time()) + 40, exp=int(time.time()) + 300),
    "not to be used yet": lambda d: d.token("admin", nbf=int(time.time()) + 40),
    "nested too deeply": lambda d: jwt.utils.base64url_encode(b"[" * 9000).decode() + ".e30.x",
    "without subject": lambda d: d.token("admin", sub=None),
    "without session": lambda d: d.token("admin", sid=None),
    "with an empty subject": lambda d: d.token("admin", sub=""),
    "with roles that are no list": lambda d: d.token(roles="admin"),
    "of another key under the same kid": lambda d: Dashboard(d.jwks.with_name("other.json")).token("admin"),
    "unsigned": lambda d: jwt.encode({"sub": "usr_ada"}, None, algorithm="none", headers={"kid": d.kid}),
    "signed with the public key as a shared secret": lambda d: jwt.encode(
        {
            "sub": "usr_ada",
            "aud": "face-auth-backend",
            "iss": "face-auth-dashboard",
            "sid": "s",
            "iat": int(time.time()),
            "exp": int(time.time()) + 300,
            "roles": [],
        },
        d.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw),
        algorithm="HS256",
        headers={"kid": d.kid},
    ),
    "not a token": lambda _: "hello",
    "two dots": lambda _: "a.b.c",
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_wrong_token_is_refused(kind: str, dashboard: Dashboard, signers: Signers) -> None:
    with pytest.raises(Unauthenticated):
        person(WRONG[kind](dashboard), signers)


def test_roles_that_are_no_words_are_left_out(dashboard: Dashboard, signers: Signers) -> None:
    assert person(dashboard.token(roles=[["admin"], 7, None, "operator"]), signers).roles == {"operator"}


def test_clocks_may_differ_by_half_a_minute(dashboard: Dashboard, signers: Signers) -> None:
    now = int(time.time())
    assert person(dashboard.token("admin", iat=now + 20, nbf=now + 20, exp=now + 320), signers).id == "usr_ada"
    assert person(dashboard.token("admin", exp=int(time.time()) - 25), signers).id == "usr_ada"


def test_keys_rotate_by_changing_the_file(dashboard: Dashboard, signers: Signers) -> None:
    old = dashboard.token("operator")
    assert person(old, signers)
    former, dashboard.kid, dashboard.key = jwk(dashboard.key, dashboard.kid), "test-2", Ed25519PrivateKey.generate()
    dashboard.jwks.write_text(json.dumps({"keys": [former, jwk(dashboard.key, dashboard.kid)]}))
    assert person(old, signers), "the old key stands beside the new one"
    assert person(dashboard.token("operator"), signers).kid == "test-2"
    dashboard.publish()
    with pytest.raises(Unauthenticated):
        person(old, signers)


def test_a_damaged_signers_file_leaves_the_last_good_keys(dashboard: Dashboard, signers: Signers) -> None:
    token = dashboard.token("operator")
    assert person(token, signers)
    dashboard.jwks.write_text('{"keys": [')
    assert person(token, signers)


def test_a_signers_file_that_is_taken_away_lets_nobody_in(dashboard: Dashboard, signers: Signers) -> None:
    token = dashboard.token("operator")
    assert person(token, signers)
    dashboard.jwks.unlink()
    with pytest.raises(Unauthenticated):
        person(token, signers)


def test_other_kinds_of_key_and_private_keys_are_left_out(tmp_path: Path) -> None:
    dashboard = Dashboard(tmp_path / "signers.json")
    private = {**jwk(dashboard.key, "private"), "d": "AAAA"}
    other = Ed448PrivateKey.generate().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    foreign = {"kty": "OKP", "crv": "Ed448", "x": jwt.utils.base64url_encode(other).decode(), "kid": "ed448"}
    good = jwk(dashboard.key, "good")
    dashboard.jwks.write_text(json.dumps({"keys": [private, foreign, {"kty": "oct", "k": "AAAA", "kid": "oct"}, good]}))
    signers = Signers(dashboard.jwks)
    assert [kid for kid in ("private", "ed448", "oct", "good") if signers.key(kid)] == ["good"]


def test_a_key_is_looked_up_and_a_token_is_not(dashboard: Dashboard, signers: Signers) -> None:
    asked: list[str] = []

    async def key_holder(secret: str) -> Caller | None:
        asked.append(secret)
        return Caller("key_1", "robot", "key", frozenset({"client"})) if secret == "fa_1_good" else None

    identity = Identity(signers=signers, key_holder=key_holder)
    assert anyio.run(identity.caller, "fa_1_good").id == "key_1"
    assert anyio.run(identity.caller, dashboard.token("operator")).kind == "person"
    for nobody in ("fa_1_bad", "", None):
        with pytest.raises(Unauthenticated):
            anyio.run(identity.caller, nobody)
    assert asked == ["fa_1_good", "fa_1_bad"]


ALLOWED = {
    "enrol": "client operator admin",
    "recognise": "client operator reviewer supervisor admin",
    "read_subjects": "client operator reviewer supervisor admin",
    "change_subject": "client operator admin",
    "erase_subject": "client supervisor admin",
    "export_subject": "supervisor admin",
    "see_image": "reviewer supervisor admin",
    "read_cases": "reviewer supervisor admin",
    "work_cases": "reviewer supervisor admin",
    "take_over": "supervisor admin",
    "read_review_numbers": "supervisor admin",
    "watch": "viewer operator reviewer supervisor admin",
    "drain": "operator admin",
    "manage_keys": "admin",
    "read_audit": "supervisor admin",
    "scan": "operator supervisor admin",
    "read_scans": "operator reviewer supervisor admin",
    "simulate": "operator supervisor admin",
}


def test_the_table_of_permissions_is_the_one_that_was_agreed() -> None:
    assert {action: set(words.split()) for action, words in ALLOWED.items()} == {
        str(action): {str(scope) for scope in scopes} for action, scopes in PERMISSIONS.items()
    }
    assert set(PERMISSIONS) == set(Action)


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("scope", Scope)
def test_each_word_allows_what_the_table_says_to_people_and_keys(action: Action, scope: Scope) -> None:
    for kind in ("person", "key"):
        caller = Caller("x", "x", kind, frozenset({str(scope)}))  # type: ignore[arg-type]
        if kind == "key" and action in PERSONS_ONLY:
            with pytest.raises(PersonNeeded):
                require(caller, action)
        elif str(scope) in ALLOWED[action].split():
            require(caller, action)
        else:
            with pytest.raises(Forbidden):
                require(caller, action)
