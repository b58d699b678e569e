"""/health, /live and /ready of a running service, in good days and bad."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
import tomllib
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.api.pictures import group, woman
from tests.api.service import ROOT, Service, Site, problem_of, serving, wait_until

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
CHECKS = ["database", "schema", "model", "gallery", "inference", "resources", "draining"]


def test_health_has_the_guides_form(service: Service) -> None:
    answer = service.get("/health")
    document = answer.json()
    assert answer.status_code == 200
    assert list(document) == ["status", "service", "version", "timestamp"]
    assert (document["status"], document["service"], document["version"]) == ("healthy", "face-auth-system", VERSION)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", document["timestamp"])


def test_live_needs_nothing(service: Service) -> None:
    answer = service.get("/live")
    assert (answer.status_code, answer.json()["status"]) == (200, "alive")


def test_ready_names_every_check(service: Service) -> None:
    document = service.get("/ready").json()
    assert document["status"] == "ready"
    assert document["ever_ready"] is True
    assert document["reason"] is None
    assert list(document["checks"]) == CHECKS
    for check in document["checks"].values():
        assert check["status"] == "ok"
        assert check["latency_ms"] >= 0
        assert check["detail"]


def test_probes_answer_head_requests_as_balancers_send_them(service: Service) -> None:
    assert [service.request("HEAD", path).status_code for path in ("/health", "/live", "/ready")] == [200, 200, 200]


def test_every_answer_says_who_served_it_and_under_which_id(service: Service) -> None:
    answer = service.get("/live", **{"X-Request-ID": "my-id.1"})
    assert (answer.headers["x-served-by"], answer.headers["x-request-id"]) == ("b1", "my-id.1")
    assert re.fullmatch(r"[0-9a-f]{32}", service.get("/nowhere", **{"X-Request-ID": "evil id;"}).headers["x-request-id"])


def test_a_database_that_is_moved_away_is_told_everywhere_and_recovers_by_itself(fresh_site: Site) -> None:
    with serving(fresh_site) as service:
        key = fresh_site.key("viewer")
        assert service.get("/v1/stats", key).status_code == 200
        away = fresh_site.database.parent.rename(fresh_site.folder / "away")
        wait_until(lambda: service.get("/health").status_code == 503, within_s=5, what="/health being 503")
        health, ready, stats = service.get("/health"), service.get("/ready"), service.get("/v1/stats", key)
        assert health.json()["status"] == "unhealthy"
        assert (ready.status_code, ready.json()["reason"]) == (503, "database")
        assert (stats.status_code, problem_of(stats)) == (503, "database_away")
        for answer in (health, ready, stats):
            assert int(answer.headers["retry-after"]) >= 1
        assert service.get("/live").status_code == 200
        assert not fresh_site.database.exists(), "nobody made an empty database in its place"
        away.rename(fresh_site.database.parent)
        wait_until(lambda: service.get("/ready").status_code == 200, within_s=10, what="/ready being 200 again")
        assert service.get("/v1/stats", key).status_code == 200


def test_a_replica_with_another_model_is_not_ready_and_says_why(fresh_site: Site) -> None:
    with sqlite3.connect(fresh_site.database) as database:
        database.execute("UPDATE gallery SET model_id = 'another-model'")
    with serving(fresh_site, ready=False) as service:
        wait_until(lambda: _answers(service), within_s=60, what="the listener")
        document = service.get("/ready").json()
        assert (document["status"], document["reason"], document["ever_ready"]) == ("not_ready", "model", False)
        assert "another-model" in document["checks"]["model"]["detail"]
        assert service.get("/health").status_code == 200
        refused = service.request("POST", "/v1/subjects", fresh_site.key("client"), {"images": [b64encode(woman()).decode()]})
        assert refused.status_code >= 400


def test_a_hard_limit_of_disk_fails_and_says_how_much_is_left(fresh_site: Site) -> None:
    with serving(fresh_site, ready=False, BACKEND_MIN_DISK_BYTES=str(1 << 60)) as service:
        wait_until(lambda: _answers(service), within_s=60, what="the listener")
        # the gallery is filled first, and while it is not, that is the first reason
        wait_until(lambda: service.get("/ready").json()["checks"]["gallery"]["status"] == "ok", within_s=60, what="the gallery")
        document = service.get("/ready").json()
        assert document["reason"] == "resources"
        assert "MiB of disk free" in document["checks"]["resources"]["detail"]


def test_probes_stay_fast_while_every_inference_slot_and_place_in_the_queue_is_taken(fresh_site: Site) -> None:
    """Twelve clients keep one slot and two places busy; whoever finds no place is told so at once."""
    settings = {"BACKEND_INFERENCE_WORKERS": "1", "BACKEND_INFERENCE_QUEUE": "2"}
    with serving(fresh_site, **settings) as service:
        key, body = fresh_site.key("client"), {"image": b64encode(group()).decode()}
        stop, slowest, asked = threading.Event(), 0.0, 0

        def work() -> list[tuple[int, str | None]]:
            seen = []
            while not stop.is_set():
                answer = service.request("POST", "/v1/identify", key, body)
                seen.append((answer.status_code, answer.headers.get("retry-after")))
            return seen

        with ThreadPoolExecutor(12) as clients:
            working = [clients.submit(work) for _ in range(12)]
            try:
                wait_until(lambda: _metric(service, "face_auth_inference_waiting") >= 2, what="a full queue")
                until = time.monotonic() + 4
                while time.monotonic() < until:
                    for path in ("/live", "/health", "/ready"):
                        started = time.monotonic()
                        assert service.get(path).status_code == 200, path
                        slowest, asked = max(slowest, time.monotonic() - started), asked + 1
            finally:
                stop.set()
            outcomes = [outcome for client in working for outcome in client.result()]
        refused = [retry for status, retry in outcomes if status == 503]
        print(f"{asked} probes, the slowest took {slowest * 1000:.0f} ms; {len(outcomes)} searches, {len(refused)} refused")
        assert {status for status, _ in outcomes} == {200, 503}
        assert all(refused), "every refusal says when to come back"
        assert slowest < 2.0


def _metric(service: Service, name: str) -> float:
    for family in text_string_to_metric_families(service.get("/metrics").text):
        for sample in family.samples:
            if sample.name == name:
                return sample.value
    return -1.0


def _answers(service: Service) -> bool:
    try:
        return service.get("/live").status_code == 200
    except httpx.ConnectError:
        return False
