"""The balancer: statistics of real nginx and HAProxy where they are installed, its own address, its processes."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitor.balancer.place import balancer_target
from monitor.balancer.stats import HaproxyCsv, NginxStatus, NotStats
from monitor.balancer.watch import BalancerWatch
from monitor.fleet import Balancer, Fleet
from monitor.probe.connection import TrustStore
from monitor.verdict import Rule
from monitor.wire import State
from tests.monitor import misbehaving as bad
from tests.monitor.processes import free_port, until

RULE = Rule(rise=2, fall=3)


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is not installed: `make system` installs it")
        pytest.skip(f"{name} is not installed: `make system` installs it")
    return found


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: _accepts(port) or process.poll() is not None, within_s=15, what=f"{command[0]} listens")
        assert process.poll() is None, f"{command[0]} ended"
        yield
    finally:
        process.terminate()
        process.wait(15)


def _accepts(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/", timeout=1, trust_env=False)
    except httpx.HTTPError:
        return False
    return True


def nginx(folder: Path, *, listen: int, stats: int, backend: int) -> list[str]:
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"""{user} daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
        events {{ worker_connections 64; }}
        http {{ access_log off; {temporary}
          server {{ listen 127.0.0.1:{listen}; location / {{ proxy_pass http://127.0.0.1:{backend}; }} }}
          server {{ listen 127.0.0.1:{stats}; location /nginx-status {{ stub_status; }} }} }}"""
    )
    return [program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]


def haproxy(folder: Path, *, listen: int, stats: int, backend: int) -> list[str]:
    (folder / "haproxy.cfg").write_text(
        f"""defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend api
    bind 127.0.0.1:{listen}
    default_backend face_auth_backend
frontend stats
    bind 127.0.0.1:{stats}
    http-request use-service prometheus-exporter if {{ path /metrics }}
    stats enable
    stats uri /stats
backend face_auth_backend
    option httpchk GET /health
    server b1 127.0.0.1:{backend} check inter 200ms fall 1 rise 1
    server b2 127.0.0.1:1 check inter 200ms fall 1 rise 1
"""
    )
    return [program("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]


@pytest.mark.parametrize("kind", ["nginx", "haproxy"])
def test_a_real_balancer_is_seen_as_its_clients_and_its_statistics_see_it(kind: str, tmp_path: Path) -> None:
    listen, stats = free_port(), free_port()

    async def run() -> tuple[BalancerWatch, BalancerWatch]:
        async with bad.serving(bad.answers(bad.GOOD)) as backend:
            make = nginx if kind == "nginx" else haproxy
            command = make(tmp_path, listen=listen, stats=stats, backend=backend)
            with await asyncio.to_thread(_entered, command, stats) as _:
                watch = BalancerWatch(balancer)
                for _ in range(40):
                    await watch.look(fleet, TrustStore(), rule=RULE)
                    if kind == "nginx" or watch.opinion("b2", "") == "down":
                        break
                    await asyncio.sleep(0.1)
                working = BalancerWatch(balancer, watch.standing, watch.stats, watch.stats_reason, watch.usage, watch.at)
            for _ in range(RULE.fall):
                await watch.look(fleet, TrustStore(), rule=RULE)
            return working, watch

    balancer = Balancer.model_validate(
        {
            "kind": kind,
            "url": f"http://127.0.0.1:{listen}",
            "listen": f"127.0.0.1:{listen}",
            "stats_address": f"127.0.0.1:{stats}",
        }
    )
    fleet = _fleet(balancer)
    working, gone = asyncio.run(run())
    view = working.view(RULE)
    print(view)
    assert working.stats_reason is None
    assert (view.state, view.reason) == (State.up, None)
    assert view.connections is not None
    assert view.memory_bytes is not None
    assert view.memory_bytes > 500_000
    assert view.cpu_percent is not None
    opinions = (working.opinion("b1", ""), working.opinion("b2", ""))
    assert opinions == (("up", "down") if kind == "haproxy" else (None, None))
    ended = gone.view(RULE)
    assert (ended.state, ended.reason, ended.connections, ended.memory_bytes) == (State.down, "NET.REFUSED", None, None)


def _entered(command: list[str], port: int) -> Any:
    """The context manager, already entered in a thread, so that the loop goes on serving the backend."""
    manager = running(command, port)
    manager.__enter__()

    @contextmanager
    def leaving() -> Iterator[None]:
        try:
            yield
        finally:
            manager.__exit__(None, None, None)

    return leaving()


def _fleet(balancer: Balancer) -> Fleet:
    backend = {"name": "b1", "url": "http://127.0.0.1:1", "address": "127.0.0.1:1", "server_name": "b1"}
    probes = {"deadline_s": 3}
    return Fleet.model_validate({"backends": [backend], "balancer": balancer, "probes": probes})


def test_haproxys_own_word_on_its_process_and_on_each_server_is_shown(tmp_path: Path) -> None:
    listen, stats = free_port(), free_port()
    given = {"kind": "haproxy", "listen": f"127.0.0.1:{listen}", "stats_address": f"127.0.0.1:{stats}"}
    fleet = _fleet(Balancer.model_validate(given | {"url": f"http://127.0.0.1:{listen}"}))

    async def run() -> BalancerWatch:
        async with bad.serving(bad.answers(bad.GOOD)) as backend:
            command = haproxy(tmp_path, listen=listen, stats=stats, backend=backend)
            with await asyncio.to_thread(_entered, command, stats) as _:
                watch = BalancerWatch(fleet.balancer)
                for _ in range(4):
                    await watch.look(fleet, TrustStore(), rule=RULE)
                return watch

    watch = asyncio.run(run())
    view = watch.view(RULE)
    (server,) = view.servers
    assert (server.name, server.source) == ("b1", "haproxy_csv")
    assert server.requests is not None
    assert server.requests >= 1, "our own /health came through it"
    assert server.errors == 0
    assert watch.info is not None, "its exporter gives `show info`"
    assert watch.info.cpu_percent is not None
    assert 0 <= watch.info.cpu_percent <= 100
    assert watch.info.pool_bytes


def test_what_a_real_nginx_logged_is_shown_per_server_with_what_was_asked_twice(tmp_path: Path) -> None:
    listen, stats, dead = free_port(), free_port(), free_port()
    log = tmp_path / "access.log"
    given = {"kind": "nginx", "listen": f"127.0.0.1:{listen}", "stats_address": f"127.0.0.1:{stats}", "access_log": log}
    balancer = Balancer.model_validate(given | {"url": f"http://127.0.0.1:{listen}"})

    async def run() -> BalancerWatch:
        async with bad.serving(bad.answers(bad.GOOD)) as backend:
            addresses = {"b1": f"127.0.0.1:{backend}", "b2": f"127.0.0.1:{dead}"}
            rows = [{"name": n, "url": f"http://{a}", "address": a, "server_name": n} for n, a in addresses.items()]
            fleet = Fleet.model_validate({"backends": rows, "balancer": balancer, "probes": {"deadline_s": 3}})
            command = nginx(tmp_path, listen=listen, stats=stats, backend=backend)
            text = (tmp_path / "nginx.conf").read_text()
            servers = "".join(f"server {address} max_fails=0;" for address in addresses.values())
            form = (folder_of_templates() / "nginx-load-balancer.conf.j2").read_text()
            form = form[form.index("log_format") : form.index(";", form.index("log_format")) + 1]
            form = form.replace("$face_auth_synthetic", "")
            text = text.replace(
                "http { access_log off;", f"http {{ {form} access_log {log} face_auth; upstream u {{ {servers} }}"
            )
            (tmp_path / "nginx.conf").write_text(text.replace(f"proxy_pass http://127.0.0.1:{backend}", "proxy_pass http://u"))
            with await asyncio.to_thread(_entered, command, stats) as _:
                watch = BalancerWatch(balancer)
                await watch.look(fleet, TrustStore(), rule=RULE)
                async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listen}", trust_env=False) as client:
                    answers = [(await client.get("/v1/verify")).status_code for _ in range(10)]
                assert set(answers) == {404}, "the live one's answer, every time: this server has no such route"
                for _ in range(60):
                    await asyncio.sleep(0.1)
                    await watch.look(fleet, TrustStore(), rule=RULE)
                    if sum(server.requests or 0 for server in watch.servers) >= 15:
                        break
                return watch

    watch = asyncio.run(run())
    watch.close()
    view = watch.view(RULE)
    b1, b2 = view.servers
    assert view.traffic_reason is None
    assert (b1.source, b1.requests, b1.errors) == ("nginx_log", 10, 0)
    assert b2.requests == b2.errors == b2.failed_attempts == 5
    assert b1.p95_ms is not None


def folder_of_templates() -> Path:
    return Path(__file__).parents[2] / "deploy" / "render" / "templates"


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_error_is_the_balancers_own(status: int) -> None:
    async def run() -> BalancerWatch:
        async with bad.serving(bad.sends(bad.http(status, b"<html>"), then_close=True)) as port:
            balancer = Balancer.model_validate(
                {"kind": "nginx", "url": f"http://127.0.0.1:{port}", "listen": f"127.0.0.1:{port}"}
            )
            watch = BalancerWatch(balancer)
            for _ in range(RULE.fall):
                await watch.look(_fleet(balancer), TrustStore(), rule=RULE)
            return watch

    view = asyncio.run(run()).view(RULE)
    assert (view.state, view.reason) == (State.down, "LB.NO_BACKEND")


@pytest.mark.parametrize(
    ("listen", "url", "address", "tls"),
    [
        ("127.0.0.1:8443", "https://127.0.0.1:8443", "127.0.0.1:8443", True),
        ("0.0.0.0:443", "https://api.example", "api.example:443", True),
        ("0.0.0.0:80", None, "127.0.0.1:80", False),
        ("[::]:443", "https://[fd00::1]", "[fd00::1]:443", True),
    ],
)
def test_it_is_asked_where_it_listens(listen: str, url: str | None, address: str, tls: bool) -> None:
    target = balancer_target(Balancer.model_validate({"kind": "haproxy", "listen": listen, "url": url}))
    assert target is not None
    assert (target.address, target.tls) == (address, tls)
    assert balancer_target(Balancer()) is None


def test_what_is_not_statistics_is_refused() -> None:
    with pytest.raises(NotStats):
        NginxStatus().read("<html>")
    with pytest.raises(NotStats):
        HaproxyCsv().read("<html>")


@pytest.mark.parametrize(
    ("status", "opinion"),
    [("UP 1/3", "up"), ("DOWN", "down"), ("MAINT (via b/c)", "maint"), ("no check", "up"), ("NOLB", "drain")],
)
def test_haproxys_words_are_read(status: str, opinion: str) -> None:
    servers = f"b,b1,2,{status},127.0.0.1:8001\n"
    text = "# pxname,svname,scur,status,addr\napi,FRONTEND,7,OPEN,\nface_auth_stats,FRONTEND,1,OPEN,\n" + servers
    found = HaproxyCsv().read(text)
    assert found.opinions == {"b1": opinion, "127.0.0.1:8001": opinion}
    assert found.connections == 7
