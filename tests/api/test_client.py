"""The client against small real servers that answer, fail and hang up as they are told."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from backend import wire
from backend.client import BackendClient, ProblemError, Unreachable
from tests.api.service import free_port

STATS = {"subjects": 1, "samples": 1, "cases": {}, "oldest_open_case_at": None, "decisions": 0, "of_a_later_release": True}
ENROLMENT = {
    "subject_id": "sub_1",
    "state": "active",
    "sample_ids": ["smp_1"],
    "duplicates": [],
    "seq": 1,
    "review_threshold": 0.5,
    "model_id": "m",
}
HANG_UP = 0


class Server:
    """Answers every request with the same status and document; notes what it was asked."""

    def __init__(self, status: int, document: object = None, *, kind: str = "application/json") -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                outer.asked.append((self.command, self.path, dict(self.headers) | {"body": body.decode()}))
                if status == HANG_UP:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                content = b"" if document is None else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("X-Served-By", "b7")
                self.send_header("Retry-After", "3")
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02})


@contextmanager
def listening(*servers: Server) -> Iterator[list[str]]:
    for server in servers:
        server.thread.start()
    try:
        yield [server.url for server in servers]
    finally:
        for server in servers:
            server.http.shutdown()
            server.http.server_close()
            server.thread.join()


def problem(status: int, code: str) -> Server:
    document = {"type": f"urn:face-auth:problem:{code}", "title": "t", "status": status, "detail": "d", "code": code}
    return Server(status, document, kind="application/problem+json")


def test_a_backend_that_cannot_be_reached_is_passed_over_and_the_next_one_is_remembered() -> None:
    good = Server(200, STATS)
    with listening(good) as urls, BackendClient([f"http://127.0.0.1:{free_port()}", *urls]) as client:
        assert client.stats().subjects == 1
        assert client._first == 1
        assert client.stats().subjects == 1
    assert len(good.asked) == 2


@pytest.mark.parametrize("failing", [502, 503, 504, HANG_UP])
def test_a_read_goes_to_the_next_backend(failing: int) -> None:
    bad, good = Server(failing), Server(200, STATS)
    with listening(bad, good) as urls, BackendClient(urls) as client:
        assert client.stats().subjects == 1
    assert (len(bad.asked), len(good.asked)) == (1, 1)


@pytest.mark.parametrize("failing", [502, 503, HANG_UP])
def test_an_enrolment_goes_to_the_next_backend_with_the_same_idempotency_key(failing: int) -> None:
    bad, good = Server(failing), Server(201, ENROLMENT)
    with listening(bad, good) as urls, BackendClient(urls) as client:
        assert client.enrol([b"photo"]).subject_id == "sub_1"
    (first,), (second,) = bad.asked, good.asked
    assert first[2]["Idempotency-Key"] == second[2]["Idempotency-Key"]
    assert first[2]["body"] == second[2]["body"]


@pytest.mark.parametrize("failing", [503, HANG_UP])
def test_what_may_have_arrived_and_would_be_done_twice_is_not_sent_again(failing: int) -> None:
    bad, good = Server(failing), Server(200, STATS)
    with listening(bad, good) as urls, BackendClient(urls) as client, pytest.raises((ProblemError, Unreachable)):
        client.takeover("case_x")
    assert not good.asked


@pytest.mark.parametrize("failing", [503, HANG_UP])
def test_a_claim_of_the_next_case_is_sent_again_with_its_key(failing: int) -> None:
    bad, good = Server(failing), problem(404, "nothing_to_review")
    with listening(bad, good) as urls, BackendClient(urls) as client, pytest.raises(ProblemError):
        client.next_case()
    (first,), (second,) = bad.asked, good.asked
    assert first[2]["Idempotency-Key"] == second[2]["Idempotency-Key"]


def test_a_claim_that_cannot_have_arrived_goes_to_the_next_backend() -> None:
    good = problem(404, "nothing_to_review")
    with (
        listening(good) as urls,
        BackendClient([f"http://127.0.0.1:{free_port()}", *urls]) as client,
        pytest.raises(ProblemError) as raised,
    ):
        client.next_case()
    assert raised.value.code == "nothing_to_review"


def test_where_nobody_answers_each_url_has_its_cause() -> None:
    urls = [f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"]
    with BackendClient(urls) as client, pytest.raises(Unreachable) as raised:
        client.stats()
    assert raised.value.causes == dict.fromkeys(urls, "ConnectError")


def test_a_problem_document_is_raised_with_its_fields() -> None:
    with listening(problem(409, "lease_held")) as urls, BackendClient(urls) as client, pytest.raises(ProblemError) as raised:
        client.claim("case_1")
    error = raised.value
    assert (error.status, error.code, error.detail, error.served_by, error.retry_after_s) == (409, "lease_held", "d", "b7", 3.0)


def test_a_balancers_own_error_page_is_a_problem_too() -> None:
    page = Server(413, "too big", kind="text/html")
    with listening(page) as urls, BackendClient(urls) as client, pytest.raises(ProblemError) as raised:
        client.detect(b"x")
    assert (raised.value.status, raised.value.code) == (413, "http_413")


def test_an_answer_that_is_not_the_backends_is_nobodys() -> None:
    """A portal in between, or another program on that port: 200, and nothing of ours."""
    stranger = Server(200, {"hello": "world"})
    with listening(stranger) as urls, BackendClient(urls) as client, pytest.raises(Unreachable) as raised:
        client.stats()
    assert raised.value.causes == {urls[0]: "gave something that is not the backend's answer"}


def test_a_rejected_enrolment_is_an_answer_and_a_conflict_is_an_error() -> None:
    with listening(Server(409, ENROLMENT | {"state": "rejected"})) as urls, BackendClient(urls) as client:
        assert client.enrol([b"photo"]).state is wire.SubjectState.rejected
    with listening(problem(409, "external_id_taken")) as urls, BackendClient(urls) as client, pytest.raises(ProblemError):
        client.enrol([b"photo"], external_id="A")


def test_readiness_is_told_even_when_it_is_503() -> None:
    ready = {"status": "not_ready", "instance": "b1", "version": "1", "timestamp": "t", "ever_ready": False, "checks": {}}
    with listening(Server(503, ready)) as urls, BackendClient(urls) as client:
        assert client.ready().status == "not_ready"


def test_each_request_carries_a_fresh_token_and_its_mark() -> None:
    server = Server(200, STATS)
    tokens = iter(["one", "two"])
    with listening(server) as urls, BackendClient(urls, token=lambda: next(tokens), synthetic=True) as client:
        client.stats()
        client.stats()
    assert [headers["Authorization"] for _, _, headers in server.asked] == ["Bearer one", "Bearer two"]
    assert {headers["X-Synthetic"] for _, _, headers in server.asked} == {"1"}


def test_a_version_becomes_an_if_match_header() -> None:
    server = Server(204)
    with listening(server) as urls, BackendClient(urls) as client:
        client.erase_subject("sub_1", version=3)
        client.erase_subject("sub_1")
    assert [headers.get("If-Match") for _, _, headers in server.asked] == ['"3"', None]


def test_an_id_chooses_no_other_path_whatever_is_in_it() -> None:
    server = Server(204)
    with listening(server) as urls, BackendClient(urls) as client:
        for typed in ("../keys", "..", "sub_1?limit=1", "sub_1#x", "sub 1"):
            client.erase_subject(typed)
    below = [path.removeprefix("/v1/subjects/") for _, path, _ in server.asked]
    assert below == ["%2E%2E%2Fkeys", "%2E%2E", "sub_1%3Flimit%3D1", "sub_1%23x", "sub%201"]


def test_a_certificate_of_an_unknown_authority_is_refused_and_a_named_one_is_trusted(tmp_path: Path) -> None:
    authority, server = trustme.CA(), Server(200, STATS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    with listening(server) as (url,):
        url = url.replace("http:", "https:")
        with BackendClient([url]) as stranger, pytest.raises(Unreachable):
            stranger.stats()
        with BackendClient([url], ca_file=ca) as client:
            assert client.stats().subjects == 1


def test_a_client_without_urls_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        BackendClient([])
