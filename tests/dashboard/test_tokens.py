from __future__ import annotations

import json
import stat
from pathlib import Path

import jwt
import pytest

from dashboard import signing
from dashboard.__main__ import main
from dashboard.roles import Role
from dashboard.sessions import Person
from tests.dashboard.conftest import Desktop
from tests.dashboard.samples import now as the_time

PERSON = Person("ada", frozenset({Role.reviewer, Role.operator}), "sid-1", issued=0.0, seen=0.0)


def verified(token: str, jwks: dict[str, object], audience: str) -> dict[str, object]:
    """As the servers do it: the key by its kid, EdDSA alone, audience and issuer checked."""
    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(jwks).keys}
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, object] = jwt.decode(token, key, algorithms=["EdDSA"], audience=audience, issuer=signing.ISSUER)
    return claims


def test_a_token_verifies_offline_with_the_published_key_and_names_the_person(tmp_path: Path) -> None:
    signer = signing.create(tmp_path / "key.pem")
    now = the_time().timestamp()
    claims = verified(signer.mint(PERSON, signing.BACKEND, now), {"keys": [signer.jwk]}, "face-auth-backend")
    assert claims == {
        "iss": "face-auth-dashboard",
        "aud": "face-auth-backend",
        "sub": "usr_ada",
        "name": "ada",
        "roles": ["operator", "reviewer"],
        "sid": "sid-1",
        "iat": int(now),
        "exp": int(now) + 270,
    }


def test_a_token_for_one_api_is_no_good_at_the_other(tmp_path: Path) -> None:
    signer = signing.create(tmp_path / "key.pem")
    token = signer.mint(PERSON, signing.MONITOR, the_time().timestamp())
    with pytest.raises(jwt.InvalidAudienceError):
        verified(token, {"keys": [signer.jwk]}, signing.BACKEND)


def test_the_key_id_is_the_thumbprint_of_rfc_7638(tmp_path: Path) -> None:
    signer = signing.create(tmp_path / "key.pem")
    from jwt.algorithms import OKPAlgorithm

    public = json.loads(OKPAlgorithm.to_jwk(signing.Signer.load(tmp_path / "key.pem")._key.public_key()))
    assert public["x"] == signer.jwk["x"]
    import base64
    import hashlib

    canonical = f'{{"crv":"Ed25519","kty":"OKP","x":"{public["x"]}"}}'.encode()
    assert signer.jwk["kid"] == base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()


def test_the_command_makes_a_private_key_once_and_publishes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, jwks = tmp_path / "key.pem", tmp_path / "out" / "jwks.json"
    assert main(["keys", "init", "--key-file", str(key), "--jwks", str(jwks), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["kid"]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "PRIVATE" not in jwks.read_text()
    assert main(["keys", "init", "--key-file", str(key), "--jwks", str(jwks), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kid"] == first
    assert len(json.loads(jwks.read_text())["keys"]) == 1


def test_after_a_rotation_tokens_of_both_keys_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, jwks = tmp_path / "key.pem", tmp_path / "jwks.json"
    main(["keys", "init", "--key-file", str(key), "--jwks", str(jwks)])
    old = signing.Signer.load(key)
    assert main(["keys", "rotate", "--key-file", str(key), "--jwks", str(jwks)]) == 0
    new = signing.Signer.load(key)
    assert new.jwk["kid"] != old.jwk["kid"]
    published = json.loads(jwks.read_text())
    for signer in (old, new):
        assert (
            verified(signer.mint(PERSON, signing.BACKEND, the_time().timestamp()), published, signing.BACKEND)["sub"] == "usr_ada"
        )
    capsys.readouterr()


@pytest.mark.parametrize("content", [None, b"nonsense", b""])
def test_a_missing_or_foreign_key_is_said_with_what_to_do(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(signing.SigningKeyError, match="keys init" if content is None else "PEM"):
        signing.Signer.load(path)


def test_every_call_of_a_page_carries_a_fresh_token_of_its_person(desktop: Desktop) -> None:
    from tests.dashboard.queue import ReviewQueue

    desktop.backend.routes = ReviewQueue().routes()
    desktop.open("reviewer", "duplicates")
    asked = [one for one in desktop.backend.asked if one.path == "/v1/duplicates"]
    assert asked
    token = asked[0].headers["authorization"].removeprefix("Bearer ")
    assert verified(token, {"keys": [desktop.made.signer.jwk]}, signing.BACKEND)["sub"] == "usr_a-reviewer"


def test_fleet_data_is_asked_with_the_dashboards_own_key_not_as_a_person(desktop: Desktop) -> None:
    from tests.dashboard import samples

    desktop.monitor.routes = {("GET", "/v1/fleet"): lambda _: samples.fleet(samples.backend())}
    desktop.open("operator", "fleet")
    assert {one.headers["authorization"] for one in desktop.monitor.asked} == {"Bearer fa_viewer_key"}
