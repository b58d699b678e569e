"""The monitor's API over real uvicorn: who may read, what errors look like, what it says of itself."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import uvicorn
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm
from prometheus_client.parser import text_string_to_metric_families

from monitor import wire
from monitor.app import NotOnLoopback, build, refuse_open_network
from monitor.client import MonitorClient, ProblemError, Unreachable
from monitor.fleet_file import FleetFile
from monitor.settings import Settings
from monitor.store.database import Database
from tests.monitor.processes import free_port, until

SECRET = "fa_viewer_secret"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - refused, not bound
CLIENT_SECRET = "fa_client_secret"


class People:
    """A dashboard's signing key and the file of its public half."""

    def __init__(self, folder: Path, kid: str = "k1") -> None:
        self.file = folder / "signers.json"
        self._key, self._kid = Ed25519PrivateKey.generate(), kid
        self.publish()

    def publish(self) -> None:
        public = OKPAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self.file.write_text(json.dumps({"keys": [public | {"kid": self._kid, "alg": "EdDSA", "use": "sig"}]}))

    def token(self, *, headers: dict[str, Any] | None = None, **changes: Any) -> str:
        now = datetime.now(UTC)
        claims = {
            "iss": "face-auth-dashboard",
            "aud": "face-auth-monitor",
            "sub": "usr_ann",
            "name": "Ann",
            "roles": ["operator"],
        }
        claims |= {"sid": "s1", "iat": now, "exp": now + timedelta(minutes=5)} | changes
        used = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(used, self._key, "EdDSA", headers=headers or {"kid": self._kid})


@pytest.fixture
def people(tmp_path: Path) -> People:
    return People(tmp_path)


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    keys = {SECRET: ["viewer"], CLIENT_SECRET: ["client"]}
    path.write_text(
        json.dumps([{"id": s, "name": s, "sha256": hashlib.sha256(s.encode()).hexdigest(), "scopes": w} for s, w in keys.items()])
    )
    return path


@contextmanager
def serving(folder: Path, *, alerts: dict[str, Any] | None = None, **settings: Any) -> Iterator[str]:
    """The monitor over a fleet whose one backend does not exist, behind real uvicorn in a thread. `alerts`: that section."""
    backend = {"name": "b1", "url": "http://127.0.0.1:1", "address": "127.0.0.1:1", "server_name": "b1"}
    (folder / "fleet.yaml").write_text(
        yaml.safe_dump({"backends": [backend], "probes": {"interval_s": 1, "fast_interval_s": 0.5}, "alerts": alerts or {}})
    )
    database = Database.open(f"sqlite:///{folder}/monitor.db")
    app = build(Settings(_env_file=None, tick_s=0.1, **settings), FleetFile(folder / "fleet.yaml"), database)
    server = uvicorn.Server(uvicorn.Config(app, port=free_port(), log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started, within_s=20, what="uvicorn serves")
        yield f"http://127.0.0.1:{server.config.port}"
    finally:
        server.should_exit = True
        thread.join(30)
        database.close()


def test_who_may_read_and_who_may_not(tmp_path: Path, people: People, keys_file: Path) -> None:
    now = datetime.now(UTC)
    stranger = People(tmp_path / "..", "k1")
    stranger.file.unlink()
    people.publish()
    wanted: dict[str, tuple[str | None, int]] = {
        "a key with a reading scope": (SECRET, 200),
        "a person": (people.token(), 200),
        "an admin": (people.token(roles=["admin"]), 200),
        "a person whose clock is a little late": (people.token(exp=now - timedelta(seconds=10)), 200),
        "nobody": (None, 401),
        "a wrong key": (SECRET + "x", 401),
        "a key for clients only": (CLIENT_SECRET, 403),
        "a person without a role": (people.token(roles=[]), 403),
        "a token for the backend": (people.token(aud="face-auth-backend"), 401),
        "a token of another issuer": (people.token(iss="x"), 401),
        "an expired token": (people.token(exp=now - timedelta(minutes=2)), 401),
        "a token that never expires": (people.token(exp=None), 401),
        "a token that lives longer than a dashboard gives": (people.token(exp=now + timedelta(minutes=6)), 401),
        "a token of a clock that is far ahead": (
            people.token(iat=now + timedelta(minutes=1), exp=now + timedelta(minutes=2)),
            401,
        ),
        "a token of a clock that is a little ahead": (people.token(iat=now + timedelta(seconds=20)), 200),
        "a token without a session": (people.token(sid=None), 401),
        "a token of nobody": (people.token(sub=""), 401),
        "a person with a word that is for keys": (people.token(roles=["viewer"]), 403),
        "a person with roles that are no words": (people.token(roles=[["admin"], 7]), 403),
        "a header nested too deeply": (f"{base64url(b'[' * 9000)}.e30.x", 401),
        "a token signed by a stranger": (stranger.token(), 401),
        "a token with an unknown key id": (people.token(headers={"kid": "k9"}), 401),
        "an unsigned token": (jwt.encode({"sub": "x", "aud": "face-auth-monitor"}, "", "none", headers={"kid": "k1"}), 401),
        "a token signed with the public key as a secret": (_confused(people), 401),
    }
    with serving(tmp_path, signers_file=people.file, keys_file=keys_file) as url:
        for who, (secret, status) in wanted.items():
            headers = {"Authorization": f"Bearer {secret}"} if secret else {}
            answer = httpx.get(f"{url}/v1/fleet", headers=headers)
            assert answer.status_code == status, who
            if status != 200:
                assert answer.headers["content-type"] == "application/problem+json"
        twice = [("Authorization", f"Bearer {SECRET}"), ("Authorization", f"Bearer {people.token()}")]
        assert httpx.get(f"{url}/v1/fleet", headers=twice).status_code == 400
        for path in ("/live", "/health", "/ready", "/metrics"):
            assert httpx.get(url + path).status_code == 200, "open to balancers and scrapers"
        for path in (
            "/v1/load",
            "/v1/certificates",
            "/v1/events",
            "/v1/backends/b1",
            "/v1/load/series",
            "/v1/backends/b1/history",
            "/v1/backends/b1/figures",
        ):
            assert httpx.get(url + path).status_code == 401, path


def base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _confused(people: People) -> str:
    """HS256 with the public key as its secret: the classic confusion of algorithms."""
    public = json.loads(people.file.read_text())["keys"][0]["x"]
    now = datetime.now(UTC)
    claims = {"iss": "face-auth-dashboard", "aud": "face-auth-monitor", "sub": "x", "iat": now, "exp": now + timedelta(minutes=1)}
    return jwt.encode(claims | {"roles": ["admin"]}, public.ljust(64, "x"), "HS256", headers={"kid": "k1"})


def test_keys_and_signers_are_read_again_when_they_change(tmp_path: Path, people: People, keys_file: Path) -> None:
    with (
        serving(tmp_path, signers_file=people.file, keys_file=keys_file) as url,
        MonitorClient(url, token=SECRET) as key,
        MonitorClient(url, token=people.token) as person,
    ):
        assert key.fleet().total == person.fleet().total == 1
        keys_file.write_text("[]")
        people.file.write_text('{"keys": []}')
        os.utime(people.file, (9, 9))
        for client in (key, person):
            with pytest.raises(ProblemError) as refused:
                client.fleet()
            assert (refused.value.status, refused.value.code) == (401, "unauthenticated")
        keys_file.write_text("{ broken")
        with pytest.raises(ProblemError):
            key.fleet()
        people.publish()
        assert person.fleet().total == 1


def test_the_client_reads_every_route(tmp_path: Path) -> None:
    with serving(tmp_path) as url, MonitorClient(url) as client:
        down = until(lambda: client.backend("b1").state is wire.State.down, within_s=15, what="b1 is DOWN")
        assert down
        view = client.fleet()
        assert view.sentence == "None of 1 backends are up: b1 is DOWN (NET.REFUSED)."
        assert view.balancer is None
        assert (view.interval_s, view.fall, view.rise) == (1, 3, 2)
        assert client.load(window_s=120).window_s == 120
        assert client.load_series().items == []
        assert client.certificates().items == []
        assert client.fleet_file().backends[0].address == "127.0.0.1:1"
        figures = client.figures("b1")
        assert (figures.window_s, figures.at, figures.without_it.sentence) == (300, None, "None of 1 would be left.")
        events = until(lambda: client.events(backend="b1").items, within_s=5, what="the event is stored")
        assert (events[0].new, events[0].reason) == (wire.State.down, "NET.REFUSED")
        points = until(lambda: client.history("b1", step_s=10).items, within_s=5, what="samples are stored")
        assert points[0].up_ratio == 0
        assert (client.live().status, client.health().status, client.ready().status) == ("alive", "healthy", "ready")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/backends/nobody", 404, "backend_not_found"),
        ("/v1/backends/nobody/history", 404, "backend_not_found"),
        ("/v1/backends/nobody/figures", 404, "backend_not_found"),
        ("/v1/backends/b1/figures?window_s=301", 422, "invalid_request"),
        ("/v1/backends/b1/history?since=2026-01-01T00:00:00", 400, "bad_request"),
        ("/v1/backends/b1/history?since=2020-01-01T00:00:00Z&step=60", 400, "bad_request"),
        ("/v1/backends/b1/history?step=1", 422, "invalid_request"),
        ("/v1/load?window_s=0", 422, "invalid_request"),
        ("/v1/events?cursor=abc", 400, "bad_cursor"),
        ("/v1/events?limit=9999", 422, "invalid_request"),
        ("/v1/nothing", 404, "not_found"),
    ],
)
def test_an_error_is_a_problem_document(served: str, path: str, status: int, code: str) -> None:
    answer = httpx.get(served + path)
    problem = wire.Problem.model_validate_json(answer.content)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem.status, problem.code) == (status, status, code)
    assert problem.type == f"urn:face-auth:problem:{code}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("monitor")) as url:
        yield url


def test_its_own_metrics_are_prometheus_text(served: str) -> None:
    def values() -> dict[str, float]:
        families = text_string_to_metric_families(httpx.get(f"{served}/metrics").text)
        return {
            f"{s.name}{s.labels.get('state', '')}{s.labels.get('kind', '')}": s.value
            for f in families
            for s in f.samples
            if s.name.startswith("face_auth_monitor")
        }

    until(lambda: values().get("face_auth_monitor_backend_stateDOWN") == 1, within_s=15, what="b1 shows DOWN in the metrics")
    found = values()
    assert found["face_auth_monitor_backend_up"] == 0
    assert found["face_auth_monitor_duty_failures_total"] == 0
    assert found["face_auth_monitor_lateness_seconds"] >= 0
    assert found["face_auth_monitor_fleet_file_ok"] == 1
    kinds = [wire.FindingKind.errors, wire.FindingKind.sinkhole, wire.FindingKind.unfair_share, wire.FindingKind.fleet_errors]
    assert [found[f"face_auth_monitor_load_findings{kind}"] for kind in kinds] == [0, 0, 0, 0]


def test_when_its_database_goes_the_present_state_is_still_served_and_health_says_so(tmp_path: Path) -> None:
    with serving(tmp_path) as url, MonitorClient(url) as client:
        until(lambda: client.backend("b1").state is wire.State.down, within_s=15, what="b1 is DOWN")
        until(lambda: client.events().total == 1, within_s=5, what="the event is stored")
        (tmp_path / "monitor.db").rename(tmp_path / "away.db")
        until(lambda: httpx.get(f"{url}/health").status_code == 503, within_s=15, what="/health says that its database is away")
        assert client.ready().checks["store"].status == "fail"
        assert client.fleet().items[0].state is wire.State.down
        with pytest.raises(ProblemError) as refused:
            client.events()
        assert (refused.value.code, refused.value.retry_after_s) == ("store_away", 2)
        (tmp_path / "away.db").rename(tmp_path / "monitor.db")
        until(lambda: client.ready().status == "ready", within_s=15, what="it recovers by itself")
        assert client.events().total == 1


def test_the_client_says_unreachable_where_no_monitor_answers() -> None:
    with MonitorClient(f"http://127.0.0.1:{free_port()}") as client, pytest.raises(Unreachable):
        client.fleet()


@pytest.mark.parametrize(
    ("host", "allowed"), [("127.0.0.1", True), ("localhost", True), ("::1", True), (EVERYWHERE, False), ("10.0.0.5", False)]
)
def test_without_keys_and_signers_only_loopback_is_served(host: str, allowed: bool, tmp_path: Path) -> None:
    def refused(**settings: Any) -> bool:
        try:
            refuse_open_network(Settings(_env_file=None, host=host, **settings))
        except NotOnLoopback:
            return True
        return False

    assert refused() is not allowed
    assert not refused(keys_file=tmp_path / "keys.json")
