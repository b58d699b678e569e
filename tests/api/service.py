"""The real service as a process on loopback, with what a test needs to speak to it: keys, tokens, a client, its logs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import jwt
import psutil
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from backend.client import BackendClient

ROOT = Path(__file__).parents[2]
START_S = 60.0


def wait_until(true: Callable[[], object], *, within_s: float = 20.0, what: str = "the condition") -> None:
    """Poll until `true()`; fail with a sentence at the deadline."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"{what} did not come about within {within_s:g} s"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Dashboard:
    """What signs people's tokens: an Ed25519 key and the JWKS that the backend is given."""

    jwks: Path
    kid: str = "test-1"
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    def __post_init__(self) -> None:
        self.publish()

    def publish(self) -> None:
        self.jwks.write_text(json.dumps({"keys": [jwk(self.key, self.kid)]}))

    def token(self, *roles: str, name: str = "ada", **changes: object) -> str:
        now = int(time.time())
        claims: dict[str, object] = {
            "iss": "face-auth-dashboard",
            "aud": "face-auth-backend",
            "sub": f"usr_{name}",
            "name": name,
            "roles": list(roles),
            "sid": f"ses_{name}",
            "iat": now,
            "exp": now + 300,
        }
        claims = {claim: value for claim, value in {**claims, **changes}.items() if value is not None}
        return jwt.encode(claims, self.key, algorithm="EdDSA", headers={"kid": self.kid})


def jwk(key: Ed25519PrivateKey, kid: str) -> dict[str, str]:
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    x = urlsafe_b64encode(public).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "alg": "EdDSA", "use": "sig"}


@dataclass
class Site:
    """One database with its key file, signers and keys: what the replicas of a test share."""

    folder: Path
    dashboard: Dashboard
    engine: str = "offline"
    settings: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def database(self) -> Path:
        return self.folder / "data" / "face-auth.db"

    def environment(self, **more: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("BACKEND_")}
        return {
            **inherited,
            "BACKEND_DATABASE_URL": f"sqlite:///{self.database}",
            "BACKEND_MASTER_KEY_FILE": str(self.folder / "master.key"),
            "BACKEND_SIGNERS_FILE": str(self.dashboard.jwks),
            "BACKEND_ENGINE": self.engine,
            "BACKEND_MIN_DISK_BYTES": "0",
            "BACKEND_MIN_MEMORY_BYTES": "0",
            **self.settings,
            **more,
        }

    def command(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "backend", *words],
            cwd=ROOT,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def key(self, *scopes: str) -> str:
        """An API key of these scopes; made once."""
        name = "+".join(scopes)
        if name not in self.keys:
            flags = [word for scope in scopes for word in ("--scope", scope)]
            made = self.command("keys", "create", "--name", name, *flags, "--json")
            assert made.returncode == 0, made.stderr
            self.keys[name] = json.loads(made.stdout)["secret"]
        return self.keys[name]


def make_site(folder: Path, **settings: str) -> Site:
    (folder / "data").mkdir(parents=True)
    engine = settings.pop("BACKEND_ENGINE", "offline")
    site = Site(folder, Dashboard(folder / "signers.json"), engine=engine, settings=settings)
    migrated = site.command("migrate")
    assert migrated.returncode == 0, migrated.stderr
    return site


def _http() -> httpx.Client:
    """Keeps no connection, so that each request meets the service anew."""
    return httpx.Client(timeout=60, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


@dataclass
class Service:
    """One running replica."""

    site: Site
    process: subprocess.Popen[bytes]
    url: str
    logs: Path
    ca: Path | None = None
    http: httpx.Client = field(default_factory=_http)
    clients: list[BackendClient] = field(default_factory=list)

    def client(self, token: str | None = None) -> BackendClient:
        """Closed with the service, if not before."""
        self.clients.append(BackendClient([self.url], token=token, ca_file=self.ca, timeout=60))
        return self.clients[-1]

    def close(self) -> None:
        for client in (self.http, *self.clients):
            client.close()

    def get(self, path: str, token: str | None = None, **headers: str) -> httpx.Response:
        return self.request("GET", path, token, **headers)

    def request(self, method: str, path: str, token: str | None = None, json: object = None, **headers: str) -> httpx.Response:
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return self.http.request(method, self.url + path, json=json, headers=headers)

    def log(self, name: str) -> str:
        path = self.logs / name
        return path.read_text("utf-8") if path.exists() else ""

    def memory(self) -> int:
        """Resident bytes of the service and the processes that it works with."""
        service = psutil.Process(self.process.pid)
        return sum(process.memory_info().rss for process in (service, *service.children()))

    def terminate(self, sent: int = signal.SIGTERM) -> None:
        self.process.send_signal(sent)

    def exit_code(self, within_s: float = 30.0) -> int:
        return self.process.wait(within_s)


@contextmanager
def serving(site: Site, *flags: str, name: str = "b1", ready: bool = True, **settings: str) -> Iterator[Service]:
    """A replica over `site`; ended, by force if need be, when the block ends."""
    port = free_port()
    logs = site.folder / "logs" / name
    scheme = "https" if "BACKEND_TLS_CERT_FILE" in settings else "http"
    settings = {"BACKEND_INSTANCE": name, "BACKEND_LOG_DIR": str(logs), "BACKEND_DRAIN_S": "0", **settings}
    output = site.folder / f"{name}.out"
    with output.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend", "serve", "--port", str(port), *flags],
            cwd=ROOT,
            env=site.environment(**settings),
            stdout=sink,
            stderr=sink,
        )
    service = Service(site, process, f"{scheme}://127.0.0.1:{port}", logs, ca=None)
    try:
        if ready:
            wait_until(lambda: _is_ready(service, output), within_s=START_S, what=f"{name} being ready")
        yield service
    finally:
        service.close()
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def _is_ready(service: Service, output: Path) -> bool:
    assert service.process.poll() is None, f"it ended by itself: {output.read_text()}"
    try:
        return service.get("/ready").status_code == 200
    except httpx.TransportError:
        return False


def problem_of(answer: httpx.Response) -> str:
    """The code of a problem document; fails where the answer is something else."""
    assert answer.headers["content-type"].startswith("application/problem+json"), answer.text[:200]
    document = answer.json()
    assert document["status"] == answer.status_code
    assert document["type"] == f"urn:face-auth:problem:{document['code']}"
    assert document["instance"] == answer.headers["x-request-id"]
    return str(document["code"])


def shown(rows: Sequence[Sequence[object]]) -> None:
    """A table, for those who run with `-s` or read a failure."""
    for row in rows:
        print("  ".join(str(cell) for cell in row))
