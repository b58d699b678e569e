"""nginx and HAProxy as rendered, started for real over three backends: what a client outside sees."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.deploy.conftest import Running, running
from tests.deploy.fleets import eventually

HEADERS = {
    "strict-transport-security": "max-age=63072000",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
BOTH = pytest.mark.parametrize("own_balancer", ["nginx", "haproxy"], indirect=True)


def has_headers(answer: httpx.Response) -> None:
    missing = {name: answer.headers.get(name) for name, value in HEADERS.items() if answer.headers.get(name) != value}
    assert not missing, (answer.status_code, missing)
    for name in HEADERS:
        assert len(answer.headers.get_list(name)) == 1


def is_problem(answer: httpx.Response, code: str) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    assert answer.json()["status"] == answer.status_code


def test_plain_http_is_redirected_with_its_method_kept(balancer: Running) -> None:
    answer = httpx.post(f"{balancer.redirect_url}/v1/verify?x=1", content=b"{}")
    assert answer.status_code == 308
    assert answer.headers["location"] == f"{balancer.url}/v1/verify?x=1"


def test_a_strangers_host_name_gets_no_answer_and_no_redirect(balancer: Running) -> None:
    with balancer.client(headers={"Host": "evil.example"}) as client, pytest.raises(httpx.RemoteProtocolError):
        client.get("/health")
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{balancer.redirect_url}/", headers={"Host": "evil.example"})


def test_security_headers_stand_on_answers_of_the_backend_and_of_the_balancer(balancer: Running) -> None:
    for path, status in (("/v1/stats", 200), ("/health", 200), ("/nothing", 404)):
        answer = balancer.get(path)
        assert answer.status_code == status
        has_headers(answer)


@pytest.mark.parametrize("path", ["/metrics", "/ready", "/live", "/", "/v1", "/v2/x", "/docs/x", "/nginx-status", "/stats"])
def test_what_is_not_the_api_is_not_reachable_from_outside(balancer: Running, path: str) -> None:
    before = sum(len(backend.calls) for backend in balancer.backends)
    answer = balancer.get(path)
    assert answer.status_code == 404
    is_problem(answer, "not_found")
    assert sum(len(backend.calls) for backend in balancer.backends) == before


def test_paths_that_climb_are_not_a_way_around(balancer: Running) -> None:
    host, port = balancer.data["balancer"]["listen"].rsplit(":", 1)
    context = ssl.create_default_context(cafile=str(balancer.ca_file))
    for path in ("/v1/../metrics", "/v1/%2e%2e/metrics", "//metrics"):
        with (
            socket.create_connection((host, int(port)), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=host) as tls,
        ):
            tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            tls.recv(4096)
    asked = [call.path for backend in balancer.backends for call in backend.calls]
    assert "/metrics" not in asked
    assert "//metrics" not in asked


def test_a_body_beyond_the_limit_is_refused_before_it_is_sent(balancer: Running) -> None:
    answer = balancer_post_declaring(balancer, 33 * 1024 * 1024)
    assert answer.startswith("HTTP/1.1 413")
    assert "body_too_large" in answer


def balancer_post_declaring(balancer: Running, length: int) -> str:
    host, port = balancer.data["balancer"]["listen"].rsplit(":", 1)
    context = ssl.create_default_context(cafile=str(balancer.ca_file))
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as tls,
    ):
        tls.sendall(f"POST /v1/subjects HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n".encode())
        received = b""
        while b"}" not in received:
            part = tls.recv(4096)
            if not part:
                break
            received += part
    return received.decode()


PHOTOGRAPH = b"x" * (14 * 1024 * 1024)


def test_a_photograph_of_the_largest_size_passes(balancer: Running) -> None:
    with balancer.client() as client:
        answer = client.post("/v1/detect", content=PHOTOGRAPH)
    assert answer.status_code == 200
    assert answer.json()["bytes"] == len(PHOTOGRAPH)


def test_nginx_never_puts_an_upload_into_a_file(tmp_path: Path) -> None:
    """Its folder for them is closed to it; with a smaller buffer, which would need one, the same upload fails."""
    with running("nginx", tmp_path / "nginx") as nginx, nginx.client() as client:
        main = (nginx.folder / "nginx.conf").read_text()
        uploads = Path(main.split('client_body_temp_path "')[1].split('"')[0])
        uploads.chmod(0)
        assert client.post("/v1/detect", content=PHOTOGRAPH).status_code == 200
        include = nginx.folder / "nginx-load-balancer.conf"
        include.write_text(include.read_text().replace("client_body_buffer_size 33m", "client_body_buffer_size 16k"))
        assert nginx.process
        nginx.process.send_signal(signal.SIGHUP)
        eventually(lambda: refused_with_folder_closed(nginx, uploads), within_s=20)
        uploads.chmod(0o700)


def refused_with_folder_closed(nginx: Running, uploads: Path) -> bool:
    uploads.chmod(0)  # a reload opens it
    with nginx.client() as client:
        return client.post("/v1/detect", content=PHOTOGRAPH[: 1024 * 1024]).status_code == 500


def test_nginx_asks_for_the_length_of_an_upload(tmp_path: Path) -> None:
    with running("nginx", tmp_path / "nginx") as nginx, nginx.client() as client:
        answer = client.post("/v1/detect", content=iter([b"{", b"}"]))
        assert answer.status_code == 411
        is_problem(answer, "length_required")


def test_tls_is_modern_only(balancer: Running) -> None:
    host, port = balancer.data["balancer"]["listen"].rsplit(":", 1)
    assert handshake(host, int(port), balancer.ca_file, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    assert handshake(host, int(port), balancer.ca_file, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"{host}:{port}", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        input=b"", capture_output=True, timeout=20, check=False,
    )  # fmt: skip
    assert b"alert protocol version" in done.stderr + done.stdout


def handshake(host: str, port: int, ca: Path, version: ssl.TLSVersion) -> str | None:
    context = ssl.create_default_context(cafile=str(ca))
    context.minimum_version = context.maximum_version = version
    with socket.create_connection((host, port), timeout=5) as plain, context.wrap_socket(plain, server_hostname=host) as tls:
        return tls.version()


def test_the_backend_learns_the_clients_address_from_the_balancer_alone(balancer: Running) -> None:
    for backend in balancer.backends:
        backend.asked.clear()
    balancer.get("/v1/stats", headers={"X-Forwarded-For": "203.0.113.9", "X-Request-ID": "mine"})
    (asked,) = [call for backend in balancer.backends for call in backend.calls]
    assert asked.headers["x-forwarded-for"] == "127.0.0.1"
    assert asked.headers["x-forwarded-proto"] == "https"
    assert asked.headers["x-request-id"] != "mine"


def test_a_request_without_idempotency_key_gets_one_and_a_clients_own_is_kept(balancer: Running) -> None:
    for backend in balancer.backends:
        backend.asked.clear()
    with balancer.client() as client:
        client.post("/v1/subjects", content=b"{}")
        client.post("/v1/subjects", content=b"{}", headers={"Idempotency-Key": "order-7"})
    keys = [call.headers["idempotency-key"] for backend in balancer.backends for call in backend.calls]
    assert "order-7" in keys
    (made,) = [key for key in keys if key != "order-7"]
    assert len(made) >= 32


def test_the_mark_of_demo_traffic_reaches_the_backend_from_this_machine(balancer: Running) -> None:
    for backend in balancer.backends:
        backend.asked.clear()
    balancer.get("/v1/stats", headers={"X-Synthetic": "1"})
    balancer.get("/v1/stats")
    marks = sorted(call.headers.get("x-synthetic", "") for backend in balancer.backends for call in backend.calls)
    assert marks == ["", "1"]


def test_requests_are_spread_and_the_json_log_says_who_served_them(balancer: Running) -> None:
    path = "/v1/spread"  # of this test alone: lines of earlier requests may still be on their way into the log
    with balancer.client() as client:
        served = Counter(client.get(path).headers["x-served-by"] for _ in range(90))
    assert set(served) == {"b1", "b2", "b3"}
    assert max(served.values()) - min(served.values()) <= 12, served  # least connections, one request at a time: near to even
    eventually(lambda: len(records(balancer, path)) >= 90, within_s=10)
    assert Counter(name_of(balancer, row["upstream"]) for row in records(balancer, path)) == served


def records(balancer: Running, path: str | None = None) -> list[dict[str, str]]:
    """The access log, every line of which is JSON; of one path where it is named."""
    log = balancer.folder / "access.log" if balancer.kind == "nginx" else balancer.log
    lines = log.read_text().splitlines() if log.exists() else []
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    return [row for row in rows if path in (None, row["path"])]


def name_of(balancer: Running, upstream: str) -> str:
    by_address = {f"127.0.0.1:{backend.port}": backend.name for backend in balancer.backends}
    return by_address.get(upstream, upstream)


def test_no_log_repeats_a_query_string_which_may_name_a_person(balancer: Running) -> None:
    balancer.get("/v1/subjects", params={"external_id": "Ada-Lovelace"})
    balancer.get("/nothing", params={"query": "Ada-Lovelace"})
    eventually(lambda: any(row["path"] == "/nothing" for row in records(balancer)), within_s=10)
    for file in balancer.folder.glob("*.log"):
        assert "Ada-Lovelace" not in file.read_text(), file


def test_the_status_page_answers_on_its_own_port(balancer: Running) -> None:
    path = "/nginx-status" if balancer.kind == "nginx" else "/stats;csv"
    answer = httpx.get(balancer.stats_url + path)
    assert answer.status_code == 200
    assert ("Active connections" if balancer.kind == "nginx" else "face_auth_backend,b2") in answer.text


def test_connections_to_the_backends_are_kept(balancer: Running) -> None:
    """30 requests in a row, at most a handful of handshakes: counted by the backends' own connections."""
    opened = {id(backend): len(backend.connections) for backend in balancer.backends}
    with balancer.client() as client:
        for _ in range(30):
            client.get("/v1/stats")
    new = sum(len(backend.connections) - opened[id(backend)] for backend in balancer.backends)
    assert new < 20, f"{new} new connections for 30 requests"  # HAProxy's checks open their own


@BOTH
def test_a_dead_backend_costs_no_request(own_balancer: Running) -> None:
    own_balancer.backends[0].stop()
    with own_balancer.client() as client:
        answers = [client.post("/v1/verify", content=b"{}") for _ in range(30)]
    assert Counter(answer.status_code for answer in answers) == {200: 30}
    assert {answer.headers["x-served-by"] for answer in answers} == {"b2", "b3"}


def test_a_frozen_backend_costs_its_request_the_read_timeout_and_another_answers_with_the_same_key(tmp_path: Path) -> None:
    """With nginx, which has no checks of its own; HAProxy's would have taken it out meanwhile."""
    with running("nginx", tmp_path / "nginx", strategy="round_robin") as nginx, nginx.client() as client:
        frozen = nginx.backends[0]
        frozen.going.clear()
        try:
            answers = [client.post("/v1/verify", content=b"{}", timeout=40) for _ in range(3)]
        finally:
            frozen.going.set()
        assert [answer.status_code for answer in answers] == [200] * 3
        (hit,) = frozen.calls
        again = [call for backend in nginx.backends[1:] for call in backend.calls]
        assert hit.headers["idempotency-key"] in {call.headers["idempotency-key"] for call in again}
        assert 14 < max(answer.elapsed.total_seconds() for answer in answers) < 30


@BOTH
def test_with_every_backend_dead_the_answer_is_a_problem_document_with_all_headers(own_balancer: Running) -> None:
    for backend in own_balancer.backends:
        backend.stop()
    answer = own_balancer.get("/v1/stats")
    assert answer.status_code in (502, 503)
    assert answer.json()["code"] in ("bad_gateway", "not_ready")
    assert answer.headers["retry-after"] == "2"
    has_headers(answer)


@BOTH
def test_a_backend_with_a_strangers_certificate_gets_no_request(own_balancer: Running, tmp_path: Path) -> None:
    from deploy.local.certificates import LocalCa

    stranger = tmp_path / "stranger"
    stranger.mkdir()
    victim = own_balancer.backends[1]
    victim.stop()
    victim.certificate, victim.key = LocalCa(stranger).leaf("b2", ["b2.face-auth.internal", "backend.face-auth.internal"])
    victim.start()
    victim.asked.clear()
    with own_balancer.client() as client:
        answers = [client.get("/v1/stats") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert victim.asked == []


def test_haproxy_sends_nothing_to_a_backend_that_is_not_ready(tmp_path: Path) -> None:
    probes = {"interval_s": 0.3, "fast_interval_s": 0.2, "down_interval_s": 0.3, "deadline_s": 1, "fall": 2, "rise": 1}
    with running("haproxy", tmp_path / "balancer", probes=probes) as balancer:
        draining = balancer.backends[2]
        draining.ready = False
        eventually(lambda: ",DOWN," in csv_of(balancer, "b3"), within_s=10)
        draining.asked.clear()
        with balancer.client() as client:
            for _ in range(20):
                assert client.get("/v1/stats").status_code == 200
        assert draining.calls == []


def csv(balancer: Running) -> str:
    return httpx.get(f"{balancer.stats_url}/stats;csv").text


def csv_of(balancer: Running, server: str) -> str:
    return next(line for line in csv(balancer).splitlines() if line.startswith(f"face_auth_backend,{server},"))


@pytest.fixture(params=["nginx", "haproxy"])
def strict(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    with running(request.param, tmp_path / "balancer", rate_per_client=5) as found:
        yield found


def test_a_client_beyond_its_rate_gets_429_and_recovers_and_demo_traffic_is_not_counted(strict: Running) -> None:
    with strict.client() as client:
        marked = [client.get("/v1/stats", headers={"X-Synthetic": "1"}).status_code for _ in range(60)]
        assert set(marked) == {200}
        answers = [client.get("/v1/stats") for _ in range(60)]
        assert answers[0].status_code == 200
        (refused, *_) = [answer for answer in answers if answer.status_code != 200]
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        is_problem(refused, "too_many_requests")
        has_headers(refused)
        assert client.get("/health").status_code == 200, "checks are not counted"
        eventually(lambda: client.get("/v1/stats").status_code == 200, within_s=30, every_s=0.5)
