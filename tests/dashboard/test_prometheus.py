"""Burn rates against a real Prometheus that scrapes what the backends really export; and the page in its three states."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from prometheus_client import start_http_server
from pydantic import ValidationError

from backend.metrics import Metrics, traffic_of
from dashboard import parts
from dashboard.prometheus import Prometheus, Refused, Unreachable
from dashboard.settings import Settings
from dashboard.tables import burn
from dashboard.tables.burn import Window
from tests.dashboard import samples_alerts
from tests.dashboard.conftest import Desktop, html, read, said
from tests.dashboard.stand_in import Asked, Reply

SCRAPE_S = 1


def until(true: Callable[[], object], *, within_s: float = 60.0) -> object:
    end = time.monotonic() + within_s
    while not (found := true()):
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.2)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Scraped:
    """A Prometheus, and the metrics of a backend that it scrapes."""

    url: str
    metrics: Metrics

    def serve(self, requests: int, status: int) -> None:
        for _ in range(requests):
            self.metrics.observe(
                traffic_of("/v1/verify", synthetic=False), method="POST", route="/v1/verify", status=status, seconds=0.01
            )


CLIENTS: list[Prometheus] = []


def asking(url: str) -> Prometheus:
    CLIENTS.append(Prometheus(url))
    return CLIENTS[-1]


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while CLIENTS:
        CLIENTS.pop().close()


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    if shutil.which("prometheus") is None:
        pytest.skip("no Prometheus is installed: `make system`")
    from backend.lifecycle import Lifecycle

    folder: Path = tmp_path_factory.mktemp("prometheus")
    metrics = Metrics(life=Lifecycle())
    exporter, served = start_http_server(0, addr="127.0.0.1", registry=metrics.registry)
    port = free_port()
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: {SCRAPE_S}s}}\n"
        f"scrape_configs: [{{job_name: {burn.JOB}, static_configs: [{{targets: ['127.0.0.1:{exporter.server_port}']}}]}}]\n"
    )
    command = [
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    log = (folder / "log").open("wb")
    process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        with suppress(httpx.TransportError):
            return httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200
        return False

    try:
        until(ready)
        yield Scraped(url, metrics)
    finally:
        process.terminate()
        process.wait(15)
        log.close()
        exporter.shutdown()
        exporter.server_close()
        served.join(5)


def test_the_query_reads_what_backends_export_and_errors_burn_the_budget(scraped: Scraped) -> None:
    prometheus = asking(scraped.url)
    scraped.serve(1, 200)
    scraped.serve(1, 503)
    scraped.serve(1, 404)
    until(lambda: len(prometheus.query("http_requests_total")) == 3)
    # what a counter grew by is seen from its second sample on
    scraped.serve(60, 200)
    scraped.serve(40, 503)
    scraped.serve(100, 404)

    def grown() -> dict[str, Window] | None:
        found = burn.windows(prometheus.query(burn.expression()))
        return found if found and found["5m"].requests > 150 and found["5m"].failed > 30 else None

    known = until(grown)
    assert isinstance(known, dict)
    assert set(known) == set(burn.WINDOWS)
    for window in known.values():
        assert window.ratio == pytest.approx(0.2, abs=0.03)
        assert window.burn(0.999) == pytest.approx(200, rel=0.15)
    tone, sentence = burn.sentence(known, 0.999, 30)
    assert tone == "bad"
    assert "over 1 h and 5 min" in sentence


def test_what_prometheus_refuses_is_told_in_its_own_words(scraped: Scraped) -> None:
    with pytest.raises(Refused, match="parse error"):
        asking(scraped.url).query("sum(")


def test_the_page_shows_what_the_real_one_knows(scraped: Scraped, desktop: Desktop) -> None:
    scraped.serve(5, 200)
    page = html(budget(desktop, scraped.url))
    assert "5 min" in page
    assert "Burn rate" in page


# --- without a process ------------------------------------------------------------------------------------------------


def budget(desktop: Desktop, url: str | None):  # type: ignore[no-untyped-def]
    desktop.monitor.routes = samples_alerts.whole()
    parts.install(replace(desktop.made, prometheus=asking(url) if url else None))
    app = desktop.open("supervisor", "alerts")
    app.segmented_control(key="alerts-part").set_value("Error budget").run()
    assert not app.exception
    return app


def vector(**ratios: float) -> Callable[[Asked], Reply]:
    """A stand-in's answer: 1000 requests in each window."""
    import json

    result = [
        {"metric": {"window": window.removeprefix("w"), "what": what}, "value": [0, str(value)]}
        for window, ratio in ratios.items()
        for what, value in (("requests", 1000.0), ("failed", 1000 * ratio))
    ]
    body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
    return lambda _: Reply(200, body)


def test_without_a_prometheus_it_is_said_plainly_and_nobody_is_asked(desktop: Desktop) -> None:
    app = budget(desktop, None)
    assert "No Prometheus is configured" in said(app)
    assert "DASHBOARD_PROMETHEUS_URL" in said(app)


def test_a_prometheus_that_does_not_answer_is_said_and_comes_back(desktop: Desktop) -> None:
    import streamlit as st

    calm = dict.fromkeys(("w5m", "w30m", "w1h", "w2h", "w6h", "w1d", "w3d"), 0.0001)
    desktop.backend.routes = {("POST", "/api/v1/query"): vector(**calm)}
    desktop.backend.stop()
    app = budget(desktop, desktop.backend.url)
    assert "Prometheus cannot be reached" in read(app.error[0].value)
    desktop.backend.start()
    app.run()
    assert not app.error
    assert "The error budget lasts" in html(app)
    desktop.backend.stop()
    st.cache_data.clear()
    app.run()
    assert "Below is the last burn rates" in read(app.warning[0].value)


def test_something_else_at_that_address_is_not_taken_for_prometheus(desktop: Desktop) -> None:
    with pytest.raises(Unreachable, match="not Prometheus's answer"):
        asking(desktop.backend.url).query("up")


ALL = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


@pytest.mark.parametrize(
    ("high", "tone", "words"),
    [
        ({"1h": 0.02, "5m": 0.02}, "bad", "20.0 times too fast (over 1 h and 5 min): act now"),
        ({"1h": 0.02}, "good", "The error budget lasts"),
        ({"6h": 0.007, "30m": 0.008}, "bad", "7.0 times too fast (over 6 h and 30 min): act now"),
        ({"1d": 0.004, "2h": 0.004}, "warn", "4.0 times too fast (over 1 d and 2 h): look at it in working hours"),
        ({"3d": 0.001001, "6h": 0.001001}, "warn", "1.0 times too fast (over 3 d and 6 h)"),
    ],
)
def test_both_windows_of_a_pair_must_exceed(high: dict[str, float], tone: str, words: str) -> None:
    known = {window: Window(1000, 1000 * high.get(window, 0.0)) for window in ALL}
    got = burn.sentence(known, 0.999, 30)
    assert got[0] == tone
    assert words in got[1]


def test_few_requests_say_nothing_and_none_say_that() -> None:
    few = dict.fromkeys(ALL, Window(10, 10))
    assert burn.sentence(few, 0.999, 30)[0] == "mute"
    assert "Too few requests" in burn.sentence(few, 0.999, 30)[1]
    assert "has counted no request" in burn.sentence({}, 0.999, 30)[1]
    assert "has counted no request" in burn.sentence(dict.fromkeys(ALL, Window(0, 0)), 0.999, 30)[1]
    assert burn.rows({"5m": Window(1000, 1)}, 0.999)[0] == ["5 min", "1,000", "1", "0.100 %", "1.00"]
    assert burn.rows({}, 0.999)[0][1:] == ["–"] * 4


@pytest.mark.parametrize("url", ["ftp://x", "prometheus:9090", "http://u:p@x", "http://x?y=1", "http://"])
def test_an_address_that_cannot_be_one_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        Settings(prometheus_url=url, _env_file=None)


def test_an_empty_address_is_none() -> None:
    assert Settings(prometheus_url="", _env_file=None).prometheus_url is None
    assert Settings(prometheus_url="https://p.example.com/prom", _env_file=None).prometheus_url == "https://p.example.com/prom"
