"""The form of requests and of what is refused, the metrics, and what the logs do and do not hold."""

from __future__ import annotations

import asyncio
import json
import math
import re
import socket
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Message, Scope

from backend import deadline
from backend.lifecycle import Lifecycle
from backend.metrics import Metrics
from backend.served import Served
from backend.threads import Threads
from tests.api.pictures import woman
from tests.api.service import Service, Site, problem_of, serving, wait_until

PHOTO = b64encode(woman()).decode()


def test_unknown_fields_are_refused_by_name(service: Service) -> None:
    answer = service.request("POST", "/v1/detect", service.site.key("client"), {"image": PHOTO, "colour": "red"})
    assert problem_of(answer) == "invalid_request"
    assert answer.json()["errors"] == [
        {"field": "colour", "problem": "Extra inputs are not permitted", "type": "extra_forbidden"}
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"images": "SECRETSECRET", "external_id": 17},
        {"images": ["SECRET!"], "metadata": {"SECRET": 3}},
        {"images": ["AA=="], "metadata": {"SECRET" * 20: "x"}},
        {"images": ["AA=="], "face": "SECRET"},
        {"images": [], "external_id": "SECRET" * 100},
    ],
)
def test_an_error_never_repeats_what_was_sent(service: Service, body: dict[str, Any]) -> None:
    answer = service.request("POST", "/v1/subjects", service.site.key("client"), body)
    assert answer.status_code in (400, 422)
    assert "SECRET" not in answer.text


def test_a_wrong_query_is_a_problem_that_repeats_nothing(service: Service) -> None:
    answer = service.get("/v1/subjects?limit=SECRET", service.site.key("client"))
    assert (answer.status_code, problem_of(answer)) == (422, "invalid_request")
    assert answer.json()["errors"][0]["field"] == "query.limit"
    assert "SECRET" not in answer.text


def test_what_is_no_json_and_what_is_no_json_by_name_are_refused(service: Service) -> None:
    url, headers = f"{service.url}/v1/detect", {"Authorization": f"Bearer {service.site.key('client')}"}
    broken = httpx.post(url, content=b'{"image": ', headers=headers | {"Content-Type": "application/json"})
    form = httpx.post(url, data={"image": PHOTO[:100]}, headers=headers)  # urlencoded
    assert (broken.status_code, problem_of(broken)) == (400, "invalid_json")
    assert (form.status_code, problem_of(form)) == (415, "unsupported_media_type")


def test_unknown_paths_and_methods_are_problems(service: Service) -> None:
    nowhere, wrong = service.get("/v1/nowhere"), service.request("PUT", "/v1/detect")
    assert (nowhere.status_code, problem_of(nowhere)) == (404, "not_found")
    assert (wrong.status_code, problem_of(wrong)) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


def test_a_body_that_says_it_is_too_large_is_not_read(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", httpx.URL(service.url).port or 0), 20) as connection:
        head = f"POST /v1/detect HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.site.key('client')}\r\n"
        connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {10**12}\r\n\r\n{{".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    status, _, rest = answer.partition("\r\n")
    assert status.startswith("HTTP/1.1 413")
    assert "connection: close" in rest.lower()
    assert '"code":"body_too_large"' in rest


def test_a_body_that_does_not_say_is_counted_while_it_comes(service: Service) -> None:
    sent = 0

    def endless() -> Any:
        nonlocal sent
        while sent < 200 * 1024 * 1024:
            sent += 65536
            yield b" " * 65536

    headers = {"Authorization": f"Bearer {service.site.key('client')}", "Content-Type": "application/json"}
    try:
        answer = httpx.post(f"{service.url}/v1/detect", headers=headers, content=endless())
        assert (answer.status_code, problem_of(answer)) == (413, "body_too_large")
    except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        pass  # the connection was closed while we were still sending
    assert sent < 40 * 1024 * 1024


def test_the_description_documents_bodies_answers_and_errors(service: Service) -> None:
    document = service.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    missing = {name for name in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)) if name not in schemas}
    assert not missing
    enrol = document["paths"]["/v1/subjects"]["post"]
    assert enrol["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/EnrolRequest")
    assert set(enrol["responses"]) >= {"201", "400", "401", "403", "409", "413", "415", "422", "503"}
    assert "application/problem+json" in enrol["responses"]["413"]["content"]
    assert all(
        operation.get("tags") and operation.get("summary")
        for methods in document["paths"].values()
        for operation in methods.values()
    )


# --- metrics ------------------------------------------------------------------------------------------------------


def samples(service: Service) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(service.get("/metrics").text)
        for sample in family.samples
    }


def total(service: Service, name: str, **labels: str) -> float:
    return sum(value for (found, its), value in samples(service).items() if found == name and set(labels.items()) <= set(its))


def test_the_work_for_a_request_knows_in_its_thread_how_long_it_has(lane: Threads) -> None:
    life = Lifecycle()
    api = FastAPI()

    @api.get("/left")
    async def left() -> float:
        return await lane.ledger(deadline.left_s)

    async def ask() -> float:
        app = Served(api, instance="b1", life=life, metrics=Metrics(life=life), deadline_s=7.0)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://b1") as client:
            return float((await client.get("/left")).json())

    assert 6.0 < asyncio.run(ask()) <= 7.0
    assert deadline.left_s() == math.inf


def test_the_deadline_is_for_an_answer_that_stands_still_not_for_one_that_is_long() -> None:
    life, pieces = Lifecycle(), 6
    api = FastAPI()

    @api.get("/long")
    async def long(pause_s: float) -> StreamingResponse:
        async def content() -> AsyncIterator[bytes]:
            for _ in range(pieces):
                await asyncio.sleep(pause_s)
                yield b"x"

        return StreamingResponse(content())

    async def sent(pause_s: float) -> list[Message]:
        app = Served(api, instance="b1", life=life, metrics=Metrics(life=life), deadline_s=0.5)
        scope: Scope = {"type": "http", "method": "GET", "path": "/long", "query_string": f"pause_s={pause_s}".encode()}
        messages: list[Message] = []
        asked = False

        async def receive() -> Message:
            nonlocal asked
            if asked:
                await asyncio.Event().wait()
            asked = True
            return {"type": "http.request", "body": b""}

        async def send(message: Message) -> None:
            messages.append(message)

        await app({**scope, "headers": [], "http_version": "1.1"}, receive, send)
        return messages

    _, *whole = asyncio.run(sent(0.15))
    assert b"".join(message["body"] for message in whole) == b"x" * pieces, "longer than the deadline as a whole"
    assert not whole[-1]["more_body"]
    (begun,) = asyncio.run(sent(5.0))
    assert begun["status"] == 200, "and then it is cut off, without an end that would make it whole"


def test_no_lookup_waits_behind_enrolments_that_wait_for_others(lane: Threads) -> None:
    held = threading.Event()

    async def ask() -> list[str]:
        waiting = [asyncio.create_task(lane.enrolment(held.wait)) for _ in range(64)]
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(5):
                return [await lane.lookup(lambda: "a key"), await lane.ledger(lambda: "a search")]
        finally:
            held.set()
            await asyncio.gather(*waiting)

    assert asyncio.run(ask()) == ["a key", "a search"]


@pytest.fixture
def lane() -> Iterator[Threads]:
    threads = Threads()
    yield threads
    threads.close(5.0)


def test_client_requests_probes_and_demo_traffic_are_counted_apart(fresh_site: Site) -> None:
    with serving(fresh_site) as service:
        key, body = fresh_site.key("client"), {"image": PHOTO, "reference_image": PHOTO}
        for _ in range(3):
            assert service.request("POST", "/v1/verify", key, body).status_code == 200
        service.request("POST", "/v1/verify", key, body, **{"X-Synthetic": "1"})
        service.get("/v1/subjects/sub_secret", key)
        service.get("/health")
        assert total(service, "http_requests_total") == 4
        assert total(service, "http_requests_total", method="POST", route="/v1/verify", status="200") == 3
        assert total(service, "http_requests_total", method="GET", route="/v1/subjects/{subject_id}", status="404") == 1
        assert total(service, "http_request_duration_seconds_count", route="/v1/verify") == 3
        assert total(service, "synthetic_requests_total", route="/v1/verify", status="200") == 1
        assert total(service, "health_requests_total", route="/health", status="200") == 1
        assert total(service, "face_auth_decisions_total", operation="verify", decision="match") == 3


def test_each_stage_of_a_clients_request_is_timed_and_of_demo_traffic_none(fresh_site: Site) -> None:
    def runs() -> dict[str, float]:
        stages = ("decode", "detect", "embed", "search", "commit")
        return {stage: total(service, "face_auth_stage_duration_seconds_count", stage=stage) for stage in stages}

    with serving(fresh_site) as service:
        key, photograph = fresh_site.key("client"), {"image": PHOTO}
        marked = {"image": PHOTO, "reference_image": PHOTO}
        assert service.request("POST", "/v1/verify", key, marked, **{"X-Synthetic": "1"}).status_code == 200
        assert set(runs().values()) == {0}
        assert service.request("POST", "/v1/detect", key, photograph).status_code == 200
        assert runs() == {"decode": 1, "detect": 1, "embed": 0, "search": 0, "commit": 0}
        assert service.request("POST", "/v1/identify", key, photograph).status_code == 200
        assert runs() == {"decode": 2, "detect": 2, "embed": 1, "search": 1, "commit": 0}
        assert service.request("POST", "/v1/subjects", key, {"images": [PHOTO]}).status_code == 201
        enrolled = runs()
        assert (enrolled["embed"], enrolled["search"]) == (2, 2)
        assert enrolled["commit"] >= 2, "one transaction admits, one decides"
        assert total(service, "face_auth_stage_duration_seconds_sum", stage="detect") > 0


def test_the_names_that_the_monitor_reads_are_there(service: Service) -> None:
    names = {name for name, _ in samples(service)}
    assert names >= {
        "http_connections",
        "http_requests_in_flight",
        "face_auth_info",
        "face_auth_gallery_templates",
        "face_auth_gallery_seq",
        "face_auth_gallery_lag_seconds",
        "face_auth_threshold",
        "face_auth_inference_slots",
        "face_auth_inference_busy",
        "face_auth_inference_waiting",
        "process_start_time_seconds",
        "process_resident_memory_bytes",
    }
    (info,) = [dict(labels) for name, labels in samples(service) if name == "face_auth_info"]
    with service.client(service.site.key("viewer")) as client:
        replica = client.self()
    assert info == {
        "engine": replica.engine,
        "instance": "b1",
        "model_id": replica.model_id,
        "version": replica.version,
    }
    kinds = {dict(labels)["kind"]: value for (name, labels), value in samples(service).items() if name == "face_auth_threshold"}
    assert kinds == {
        "verification": replica.verification_threshold,
        "review": replica.review_threshold,
        "certain": replica.certain_threshold,
    }


def test_open_connections_are_counted(service: Service) -> None:
    with httpx.Client() as one, httpx.Client() as two:
        one.get(f"{service.url}/live")
        two.get(f"{service.url}/live")
        assert total(service, "http_connections") >= 3


# --- logs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["plain", "json"])
def test_the_logs_have_a_line_per_request_and_nothing_of_anybody(fresh_site: Site, form: str) -> None:
    with serving(fresh_site, BACKEND_LOG_FORMAT=form) as service:
        key = fresh_site.key("client")
        body = {"images": [PHOTO], "external_id": "EXTERNAL-4711", "metadata": {"surname": "Collins"}}
        enrolled = service.request("POST", "/v1/subjects", key, body, **{"X-Request-ID": "traced-1"})
        assert enrolled.status_code == 201
        service.request("POST", "/v1/subjects", key, body | {"images": ["!!" + PHOTO[:400]]})
        service.request("POST", "/v1/subjects", key, body)
        service.get("/v1/subjects?external_id=EXTERNAL-4711&query=Collins", key)
        service.get("/v1/subjects", fresh_site.dashboard.token("operator", name="grace"))
        service.get("/v1/nowhere/EXTERNAL-4711")
        wait_until(lambda: service.log("access.log").count("/v1/subjects") >= 5, what="the lines")
    access, app = service.log("access.log"), service.log("app.log")
    line = next(line for line in access.splitlines() if "traced-1" in line)
    assert "Request completed" in line
    if form == "json":
        fields = json.loads(line)
        assert (fields["method"], fields["route"], fields["status"], fields["traffic"]) == ("POST", "/v1/subjects", 201, "client")
        assert fields["caller"].startswith("key_")
    else:
        assert "method=POST route=/v1/subjects status=201" in line
    everything = access + app + (fresh_site.folder / "b1.out").read_text()
    for private in (
        "EXTERNAL-4711",
        "Collins",
        "surname",
        "grace",
        key,
        PHOTO[:40],
        PHOTO[400:440],
        enrolled.json()["subject_id"],
    ):
        assert private not in everything
    assert "serving" in app
    assert "stopped" in app


def test_log_rotation_is_noticed(fresh_site: Site) -> None:
    with serving(fresh_site) as service:
        log = service.logs / "access.log"
        wait_until(log.exists, what="access.log")
        log.rename(log.with_suffix(".1"))
        service.get("/live")
        wait_until(lambda: "Request completed" in service.log("access.log"), what="a line in the new file")
