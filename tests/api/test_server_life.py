"""How the process starts, drains and ends, and how its certificate is replaced while it runs."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import threading
import time
from base64 import b64encode
from pathlib import Path

import httpx
import trustme
from cryptography import x509

from backend.client import BackendClient, ProblemError
from backend.parts import LEAVE_GALLERY_S, LEAVE_THREADS_S
from tests.api.pictures import woman
from tests.api.service import Service, Site, make_site, problem_of, serving, wait_until
from tests.postgres import PostgresServer


def test_on_sigterm_it_leaves_the_balancer_first_and_goes_on_serving_before_it_ends(fresh_site: Site) -> None:
    with serving(fresh_site, BACKEND_DRAIN_S="3") as service, httpx.Client(base_url=service.url) as client:
        key = {"Authorization": f"Bearer {fresh_site.key('viewer')}"}
        assert client.get("/v1/stats", headers=key).headers.get("connection") != "close"
        sent = time.monotonic()
        service.terminate()
        wait_until(lambda: client.get("/ready").status_code == 503, within_s=2, what="/ready being 503")
        ready, served = client.get("/ready"), client.get("/v1/stats", headers=key)
        assert ready.json()["reason"] == "draining"
        assert served.status_code == 200
        assert served.headers["connection"] == "close"
        assert client.get("/health").status_code == 200
        assert service.exit_code() == 0
        assert time.monotonic() - sent >= 2.5


def test_a_request_in_flight_is_finished(fresh_site: Site) -> None:
    with serving(fresh_site, BACKEND_DRAIN_S="0", BACKEND_INFERENCE_WORKERS="1") as service:
        key, body = fresh_site.key("client"), {"images": [b64encode(woman()).decode()] * 8}
        answers: list[httpx.Response] = []
        sender = threading.Thread(target=lambda: answers.append(service.request("POST", "/v1/subjects", key, body)))
        sender.start()
        wait_until(lambda: "face_auth_inference_busy 1.0" in service.get("/metrics").text, what="inference")
        service.terminate()
        sender.join(60)
        assert [answer.status_code for answer in answers] == [201]
        assert service.exit_code() == 0


def test_a_second_signal_ends_at_once_with_a_status_that_says_so(fresh_site: Site) -> None:
    with serving(fresh_site, BACKEND_DRAIN_S="60") as service:
        service.terminate()
        wait_until(lambda: service.get("/ready").status_code == 503, within_s=2, what="/ready being 503")
        service.terminate(signal.SIGINT)
        assert service.exit_code(within_s=8) == 1


def test_what_exceeds_the_graceful_timeout_is_cut_off(fresh_site: Site) -> None:
    settings = {"BACKEND_DRAIN_S": "0", "BACKEND_GRACEFUL_TIMEOUT_S": "1", "BACKEND_INFERENCE_WORKERS": "1"}
    with serving(fresh_site, **settings) as service, _connected(service.url) as never_ending:
        head = f"POST /v1/detect HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {fresh_site.key('client')}\r\n"
        never_ending.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{".encode())
        wait_until(lambda: "http_requests_in_flight 1.0" in service.get("/metrics").text, what="the request")
        service.terminate()
        assert service.exit_code(within_s=10) == 1


def test_it_ends_in_time_though_the_database_server_is_frozen(tmp_path: Path, postgres: PostgresServer) -> None:
    """The thread that follows the gallery hangs in a driver that waits for an answer."""
    site = make_site(tmp_path / "site", BACKEND_DATABASE_URL=postgres.new_database())
    with serving(site, BACKEND_DRAIN_S="1", BACKEND_GRACEFUL_TIMEOUT_S="1") as service, postgres.frozen():
        wait_until(lambda: service.get("/health").status_code == 503, within_s=10, what="/health being 503")
        sent = time.monotonic()
        service.terminate()
        assert service.exit_code(within_s=30) == 0
        assert time.monotonic() - sent <= 1 + 1 + LEAVE_THREADS_S + LEAVE_GALLERY_S + 1


def test_an_operator_drains_a_replica_which_goes_on_serving(fresh_site: Site) -> None:
    with serving(fresh_site) as service:
        with service.client(fresh_site.key("operator")) as client:
            assert client.self().draining is False
            assert client.drain().draining is True
            assert client.ready().reason == "draining"
            assert client.subjects().total == 0
        service.terminate()
        assert service.exit_code() == 0


def test_a_drained_replica_is_put_back_without_a_restart_and_as_often_as_it_is_asked(fresh_site: Site) -> None:
    with serving(fresh_site) as service:
        with service.client(fresh_site.key("operator")) as client:
            assert client.put_back().draining is False, "one that was never drained stays as it is"
            client.drain()
            assert service.get("/live").headers["connection"] == "close"
            for _ in range(2):
                assert client.put_back().draining is False
            wait_until(lambda: client.ready().status == "ready", within_s=3, what="/ready being 200 again")
            assert service.get("/live").headers.get("connection") != "close"
            assert client.drain().draining is True, "and it can be drained again"
        with service.client(fresh_site.key("admin")) as client:
            told = [event.action for event in client.audit(action="fleet.return").items]
        assert told == ["fleet.return"] * 3


def test_nobody_puts_back_a_replica_that_ends_and_a_drained_one_ends_as_any_other(fresh_site: Site) -> None:
    with serving(fresh_site, BACKEND_DRAIN_S="3") as service:
        with service.client(fresh_site.key("operator")) as client:
            client.drain()
            service.terminate()
            wait_until(lambda: _refusal(client) == (409, "stopping"), within_s=2.5, what="the return being refused")
            assert client.ready().reason == "draining"
            assert client.self().draining is True
        assert service.exit_code() == 0


def _refusal(client: BackendClient) -> tuple[int, str] | None:
    try:
        client.put_back()
    except ProblemError as error:
        return error.status, error.code
    client.drain()  # the signal has not come yet
    return None


def test_the_memory_that_is_planned_and_allowed_for_the_gallery_is_told_at_the_start_and_when_asked(fresh_site: Site) -> None:
    each, allowed = 128 * 4 + 16, 1_000_000
    limit = {"BACKEND_GALLERY_MEMORY_BYTES": str(allowed)}
    with serving(fresh_site, name="b1", **limit) as service:
        body = {"images": [b64encode(woman()).decode()]}
        assert service.request("POST", "/v1/subjects", fresh_site.key("client"), body).status_code == 201
        assert "templates=0" in _planned(service)
    with serving(fresh_site, name="b2", **limit) as service:
        planned = {"templates": 1, "bytes_per_template": each, "needed_bytes": each, "while_built_anew_bytes": 2 * each}
        planned |= {"limit_bytes": allowed, "most_templates": allowed // each}
        assert _planned(service).endswith(" ".join(f"{name}={value}" for name, value in planned.items()))
        told = service.client(fresh_site.key("viewer")).self()
        assert (told.gallery_memory_bytes, told.gallery_memory_limit_bytes) == (each, allowed)


def _planned(service: Service) -> str:
    (line,) = [line for line in service.log("app.log").splitlines() if "memory planned for the gallery" in line]
    return line


def test_without_keys_and_signers_only_loopback_is_listened_on(fresh_site: Site) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1"):  # noqa: S104 - that is what is refused
        refused = fresh_site.command("serve", "--host", host, "--port", "8000", BACKEND_SIGNERS_FILE="")
        assert refused.returncode == 3
        assert refused.stderr.startswith(f"refusing to listen on {host}: there is neither an API key nor a signers file")


def test_a_key_that_is_revoked_or_has_expired_opens_no_other_address(fresh_site: Site) -> None:
    for flags in ((), ("--expires-days", "0.0000001")):
        made = fresh_site.command("keys", "create", "--name", "over", "--scope", "client", *flags, "--json")
        if not flags:
            assert fresh_site.command("keys", "revoke", json.loads(made.stdout)["id"]).returncode == 0
    refused = fresh_site.command("serve", "--host", "0.0.0.0", "--port", "8000", BACKEND_SIGNERS_FILE="")  # noqa: S104
    assert refused.returncode == 3
    assert refused.stderr.startswith("refusing to listen on 0.0.0.0")


def test_with_a_key_every_address_may_be_listened_on(fresh_site: Site) -> None:
    fresh_site.key("client")
    with serving(fresh_site, "--host", "0.0.0.0", BACKEND_SIGNERS_FILE="") as service:  # noqa: S104
        assert service.get("/ready").status_code == 200


def test_a_port_that_is_taken_and_a_certificate_that_is_none_are_one_sentence_each(fresh_site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = fresh_site.command("serve", "--port", port, BACKEND_LOG_DIR=str(fresh_site.folder / "logs"))
    assert (refused.returncode, refused.stderr) == (3, f"127.0.0.1:{port} cannot be listened on: Address already in use\n")
    nonsense = fresh_site.folder / "nonsense.pem"
    nonsense.write_text("nonsense")
    settings = {"BACKEND_TLS_CERT_FILE": str(nonsense), "BACKEND_TLS_KEY_FILE": str(nonsense)}
    refused = fresh_site.command("serve", **settings, BACKEND_LOG_DIR=str(fresh_site.folder / "logs"))
    assert (refused.returncode, refused.stderr) == (3, "the TLS certificate or key cannot be used (SSLError)\n")


def test_a_missing_key_file_is_one_sentence(fresh_site: Site) -> None:
    refused = fresh_site.command("serve", BACKEND_MASTER_KEY_FILE=str(fresh_site.folder / "nowhere.key"))
    assert refused.returncode == 3
    assert len(refused.stderr.splitlines()) == 1
    assert "migrate" in refused.stderr


def test_an_unknown_setting_is_refused(fresh_site: Site) -> None:
    refused = fresh_site.command("serve", BACKEND_PROT="8000")
    assert (refused.returncode, refused.stderr) == (2, "BACKEND_PROT is not a setting: see .env.example for the names\n")


def _write(leaf: trustme.LeafCert, cert: Path, key: Path) -> None:
    cert.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    key.write_bytes(leaf.private_key_pem.bytes())


def _served_serial(url: str, ca: Path) -> int:
    parts = httpx.URL(url)
    context = ssl.create_default_context(cafile=str(ca))
    with (
        socket.create_connection((parts.host, parts.port or 0), 10) as raw,
        context.wrap_socket(raw, server_hostname=parts.host) as tls,
    ):
        return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"").serial_number


def test_a_renewed_certificate_is_served_without_a_restart_and_half_a_renewal_changes_nothing(fresh_site: Site) -> None:
    authority = trustme.CA()
    cert, key, ca = (fresh_site.folder / name for name in ("cert.pem", "key.pem", "ca.pem"))
    authority.cert_pem.write_to_path(str(ca))
    first, second = authority.issue_cert("127.0.0.1"), authority.issue_cert("127.0.0.1")
    _write(first, cert, key)
    settings = {"BACKEND_TLS_CERT_FILE": str(cert), "BACKEND_TLS_KEY_FILE": str(key)}
    with serving(fresh_site, ready=False, **settings) as service:
        service.ca = ca

        def serial() -> int:
            return _served_serial(service.url, ca)

        wait_until(lambda: _accepts(service.url), within_s=60, what="the listener")
        old = serial()
        cert.write_bytes(b"".join(pem.bytes() for pem in second.cert_chain_pems))
        wait_until(lambda: "the old one stays in force" in service.log("app.log"), what="half a renewal being noticed")
        assert serial() == old, "a certificate whose key is not there yet is not served"
        _write(second, cert, key)
        wait_until(lambda: serial() != old, within_s=10, what="the new certificate")
        with service.client() as client:
            assert client.live().status == "alive"


def _connected(url: str) -> socket.socket:
    parts = httpx.URL(url)
    return socket.create_connection((parts.host, parts.port or 0), 5)


def _accepts(url: str) -> bool:
    try:
        with _connected(url):
            return True
    except OSError:
        return False


def test_a_balancers_word_on_the_clients_address_is_believed_from_trusted_proxies_only(fresh_site: Site) -> None:
    for trusted, expected in (("127.0.0.1", "client=203.0.113.9"), ("192.0.2.1", "client=127.0.0.1")):
        with serving(fresh_site, name=f"trusts-{trusted}", BACKEND_TRUSTED_PROXIES=trusted) as service:
            answer = service.get("/v1/nowhere", **{"X-Forwarded-For": "203.0.113.9"})
            assert problem_of(answer) == "not_found"
            wait_until(lambda: "route=unmatched" in service.log("access.log"), what="the line of the log")
            line = next(line for line in service.log("access.log").splitlines() if "route=unmatched" in line)
            assert expected in line
