"""Let's Encrypt as it will be: certbot against pebble, through the rendered nginx and HAProxy, while requests are sent."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from deploy.layout import ROOT
from deploy.local.balancers import installed
from deploy.local.certificates import LocalCa
from tests.deploy.conftest import Running, running
from tests.deploy.fleets import eventually, free_port

NAME = "face-auth.internal"
HOOK = ROOT / "deploy" / "certificates" / "face-auth-deploy-hook.sh"
NEEDED = ("certbot", "pebble", "pebble-challtestsrv")
pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Authority:
    directory: str
    bundle: Path
    """of the authority's own web server"""


@contextmanager
def authority(where: Path, *, http_port: int) -> Iterator[Authority]:
    """pebble, which asks `http_port` of this machine for every name."""
    where.mkdir()
    ca = LocalCa(where)
    certificate, key = ca.leaf("pebble", ["localhost"])
    listen, manage, dns, dns_manage = (free_port() for _ in range(4))
    config = where / "pebble.json"
    config.write_text(
        json.dumps(
            {
                "pebble": {
                    "listenAddress": f"127.0.0.1:{listen}", "managementListenAddress": f"127.0.0.1:{manage}",
                    "certificate": str(certificate), "privateKey": str(key), "httpPort": http_port, "tlsPort": free_port(),
                    "ocspResponderURL": "",
                }
            }
        )
    )  # fmt: skip
    names = ["pebble-challtestsrv", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01", f"127.0.0.1:{dns}"]
    off = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-management", f"127.0.0.1:{dns_manage}"]
    environment = os.environ | {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    with (where / "log").open("wb") as log:
        resolver = subprocess.Popen([*names, *off], stdout=log, stderr=log)
        server = subprocess.Popen(
            ["pebble", "-config", str(config), "-dnsserver", f"127.0.0.1:{dns}"], stdout=log, stderr=log, env=environment
        )  # fmt: skip
    try:
        url = f"https://localhost:{listen}/dir"
        context = ssl.create_default_context(cafile=str(ca.file))
        eventually(lambda: _answers(url, context), within_s=20)
        yield Authority(url, ca.file)
    finally:
        for process in (server, resolver):
            process.terminate()
            process.wait(10)


def _answers(url: str, context: ssl.SSLContext) -> bool:
    try:
        return httpx.get(url, verify=context).status_code == 200
    except httpx.TransportError:
        return False


def certbot(where: Path, authority: Authority, acme: str, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    host, _, port = acme.rpartition(":")
    folders = [word for name in ("config", "work", "logs") for word in (f"--{name}-dir", str(where / name))]
    challenge = ["--standalone", "--http-01-address", host, "--http-01-port", port]
    about = ["--server", authority.directory, "--non-interactive", "--agree-tos", "--register-unsafely-without-email"]
    return subprocess.run(
        ["certbot", *command, *folders, *challenge, *about], capture_output=True,
        env=os.environ | {"REQUESTS_CA_BUNDLE": str(authority.bundle)} | environment, text=True, check=False, timeout=120,
    )  # fmt: skip


def served(balancer: Running) -> x509.Certificate:
    host, _, port = balancer.data["balancer"]["listen"].rpartition(":")
    return x509.load_pem_x509_certificate(ssl.get_server_certificate((host, int(port)), timeout=5).encode())


@dataclass
class Requests:
    """One after the other on new connections, until stopped; whoever sends them trusts any certificate, for it changes."""

    url: str
    good: int = 0
    bad: int = 0

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Requests:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(20)

    def _run(self) -> None:
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        until = time.monotonic() + 120
        while not self._stop.is_set() and time.monotonic() < until:
            try:
                with httpx.Client(verify=trusting, timeout=10) as http:
                    fine = http.get(f"{self.url}/v1/stats").status_code == 200
            except httpx.TransportError:
                fine = False
            self.good, self.bad = self.good + fine, self.bad + (not fine)
            self._stop.wait(0.05)


@pytest.mark.parametrize("kind", ["nginx", "haproxy"])
def test_a_certificate_is_issued_renewed_and_served_and_no_request_is_lost(kind: str, tmp_path: Path) -> None:
    for program in (*NEEDED, kind):
        if installed(program) is None:
            pytest.skip(f"{program} is not installed: `make system`")
    acme, redirect = f"127.0.0.1:{free_port()}", free_port()
    with (
        running(kind, tmp_path / kind, acme=acme, redirect_listen=f"127.0.0.1:{redirect}", server_name=NAME) as balancer,
        authority(tmp_path / "authority", http_port=redirect) as issuer,
        Requests(balancer.url) as requests,
    ):
        hook = _hook(balancer, tmp_path)
        issued = certbot(tmp_path, issuer, acme, "certonly", "-d", NAME, "--deploy-hook", str(HOOK), **hook)
        assert issued.returncode == 0, issued.stdout + issued.stderr
        first = eventually(lambda: _by_pebble(served(balancer)), within_s=20)
        renewed = certbot(tmp_path, issuer, acme, "renew", "--force-renewal", "--no-random-sleep-on-renew", **hook)
        assert renewed.returncode == 0, renewed.stdout + renewed.stderr
        eventually(lambda: _by_pebble(served(balancer)) not in (None, first), within_s=20)
        _other_paths_still_lead_to_https(redirect)
    assert requests.good > 10
    assert requests.bad == 0
    _keys_are_closed(Path(hook["FACE_AUTH_CERT_DIR"]))


def _hook(balancer: Running, where: Path) -> dict[str, str]:
    """The files' usual names, and a reload by signal: there is no systemd here."""
    folder = where / "certs"
    folder.mkdir()
    data = balancer.data["balancer"]
    names = {"cert_file": "cert.pem", "key_file": "key.pem"} if balancer.kind == "nginx" else {"cert_file": "face_auth.pem"}
    for field, name in names.items():
        shutil.copy(data[field], folder / name)
        Path(data[field]).unlink()
        Path(data[field]).symlink_to(folder / name)
    assert balancer.process is not None
    signal = "HUP" if balancer.kind == "nginx" else "USR2"
    program = installed(balancer.kind)
    check = (
        f"{program} -t -q -c {balancer.folder}/nginx.conf -p {balancer.folder} -e stderr"
        if balancer.kind == "nginx"
        else f"{program} -c -q -f {balancer.folder}/haproxy-load-balancer.cfg"
    )
    return {
        "FACE_AUTH_BALANCER": balancer.kind, "FACE_AUTH_CERT_DIR": str(folder), "FACE_AUTH_CHECK": check,
        "FACE_AUTH_RELOAD": f"kill -{signal} {balancer.process.pid}",
    }  # fmt: skip


def _by_pebble(certificate: x509.Certificate) -> int | None:
    """Its serial number where pebble issued it."""
    return certificate.serial_number if "Pebble" in certificate.issuer.rfc4514_string() else None


def _other_paths_still_lead_to_https(port: int) -> None:
    answer = httpx.get(f"http://127.0.0.1:{port}/v1/stats", headers={"Host": NAME})
    assert answer.status_code == 308
    assert answer.headers["location"].startswith("https://")


def _keys_are_closed(folder: Path) -> None:
    files = [file for file in folder.iterdir() if b"PRIVATE KEY" in file.read_bytes()]
    assert files
    assert all(stat.S_IMODE(file.stat().st_mode) & 0o077 == 0 for file in files), files
    assert not list(folder.glob("*.old"))


def test_a_certificate_that_the_balancer_refuses_leaves_the_old_one_in_place(tmp_path: Path) -> None:
    lineage, folder = tmp_path / "lineage", tmp_path / "certs"
    lineage.mkdir()
    folder.mkdir()
    (lineage / "fullchain.pem").write_text("new chain")
    (lineage / "privkey.pem").write_text("new key")
    (folder / "face_auth.pem").write_text("old")
    told = {"RENEWED_LINEAGE": str(lineage), "FACE_AUTH_BALANCER": "haproxy", "FACE_AUTH_CERT_DIR": str(folder)}
    reloaded = tmp_path / "reloaded"
    refused = subprocess.run(
        ["sh", str(HOOK)], env=os.environ | told | {"FACE_AUTH_CHECK": "false", "FACE_AUTH_RELOAD": f"touch {reloaded}"},
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "the old one stays" in refused.stderr
    assert (folder / "face_auth.pem").read_text() == "old"
    assert not reloaded.exists()
    not_reloaded = subprocess.run(
        ["sh", str(HOOK)], env=os.environ | told | {"FACE_AUTH_CHECK": "true", "FACE_AUTH_RELOAD": "false"},
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert not_reloaded.returncode == 1
    assert "cannot be reloaded" in not_reloaded.stderr
    assert [(file.name, file.read_text()) for file in folder.iterdir()] == [("face_auth.pem", "old")], "no key lies beside it"
    taken = subprocess.run(
        ["sh", str(HOOK)], env=os.environ | told | {"FACE_AUTH_CHECK": "true", "FACE_AUTH_RELOAD": f"touch {reloaded}"},
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert taken.returncode == 0, taken.stderr
    assert (folder / "face_auth.pem").read_text() == "new chainnew key"
    assert stat.S_IMODE((folder / "face_auth.pem").stat().st_mode) == 0o600
    assert reloaded.exists()
