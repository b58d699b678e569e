"""The faults of `make alerts-test`, put into a running fleet for real, and taken out again."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import io
import random
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psutil
import trustme
from cryptography import x509
from PIL import Image

from deploy.local.certificates import LocalCa
from deploy.local.fleet_file import BACKENDS_NAME
from tests.system.alert_watch import Watching, goes_on, stopped
from tests.system.running_fleet import Fleet, accepts, eventually

NEW = "b4"
AT_ONCE = 40
"""Callers of one backend: more than its pool and queue take, so the rest is answered 503 at once."""
PAUSE_S = 0.2
CALM_EVERY_S = 0.2


@contextmanager
def short_certificate(fleet: Fleet, backend: str) -> Iterator[None]:
    """The fleet's own CA issued it 60 days ago for 65: a twelfth of its lifetime is left."""
    folder = fleet.run_dir / "certs"
    files = [folder / f"{backend}-cert.pem", folder / f"{backend}-key.pem"]
    kept = [file.read_bytes() for file in files]
    ca = trustme.CA.from_pem((folder / "ca.pem").read_bytes(), (folder / "ca-private.pem").read_bytes())
    now = dt.datetime.now(dt.UTC)
    old = ca.issue_cert(*_names(kept[0]), not_before=now - dt.timedelta(days=60), not_after=now + dt.timedelta(days=5))
    try:
        old.private_key_pem.write_to_path(str(files[1]))
        files[0].write_bytes(b"".join(blob.bytes() for blob in old.cert_chain_pems))
        yield
    finally:
        files[1].write_bytes(kept[1])
        files[0].write_bytes(kept[0])


def _names(chain: bytes) -> list[str]:
    leaf = x509.load_pem_x509_certificate(chain)
    found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]


@contextmanager
def stopped_monitor(fleet: Fleet) -> Iterator[None]:
    """SIGSTOP: it accepts connections and answers nothing, which is how a hung one looks."""
    port = int(fleet.access["monitor"].rsplit(":", 1)[1])
    (pid,) = {one.pid for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN and one.laddr.port == port}
    stopped(pid)
    try:
        yield
    finally:
        goes_on(pid)


@contextmanager
def other_thresholds(watch: Watching) -> Iterator[None]:
    """A fourth backend joins that was started with a review threshold of its own."""
    fleet = watch.fleet
    port = 8004 + fleet.offset
    cert, key = LocalCa(fleet.run_dir / "certs").leaf(NEW, [f"{NEW}.face-auth.internal", BACKENDS_NAME])
    settings = psutil.Process(fleet.pid_of("b1")).environ() | {
        "BACKEND_PORT": str(port), "BACKEND_INSTANCE": NEW, "BACKEND_REVIEW_THRESHOLD": "0.42",
        "BACKEND_TLS_CERT_FILE": str(cert), "BACKEND_TLS_KEY_FILE": str(key),
        "BACKEND_LOG_DIR": str(fleet.run_dir / "logs" / NEW),
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "backend", "serve"], cwd=fleet.run_dir, env=settings,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    row = {
        "name": NEW, "url": f"https://127.0.0.1:{port}", "address": f"127.0.0.1:{port}",
        "server_name": f"{NEW}.face-auth.internal", "ca_file": "certs/ca.pem",
    }  # fmt: skip
    try:
        eventually(lambda: accepts(port), within_s=200)
        watch.change_fleet(lambda data: data["backends"].append(row))
        yield
    finally:
        watch.change_fleet(lambda data: data.update(backends=[one for one in data["backends"] if one["name"] != NEW]))
        process.terminate()
        process.wait(30)


@contextmanager
def calm_traffic(fleet: Fleet) -> Iterator[None]:
    """A few requests a second at every backend, so that ratios have something to be ratios of."""
    over = threading.Event()
    worker = threading.Thread(target=_ask_calmly, args=(fleet, over), daemon=True)
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join(15)


def _ask_calmly(fleet: Fleet, over: threading.Event) -> None:
    access = fleet.access
    headers = {"Authorization": f"Bearer {access['keys']['client']}"}
    with httpx.Client(verify=ssl.create_default_context(cafile=access["ca"]), headers=headers, timeout=3) as client:
        urls = list(access["backends"].values())
        while not over.wait(CALM_EVERY_S):
            url = random.choice(urls)
            try:
                client.get(f"{url}/v1/subjects?limit=1")
            except httpx.TransportError:
                continue


def burst(fleet: Fleet, backend: str, *, seconds: float) -> tuple[dict[int, int], float]:
    """More photographs than one backend takes, for a while: how many got which status, and when the last 5xx was."""
    return asyncio.run(_burst(fleet, backend, seconds))


async def _burst(fleet: Fleet, backend: str, seconds: float) -> tuple[dict[int, int], float]:
    access = fleet.access
    body = {"image": base64.b64encode(_noise()).decode()}
    headers = {"Authorization": f"Bearer {access['keys']['client']}"}
    context = ssl.create_default_context(cafile=access["ca"])
    answered: dict[int, int] = {}
    refused_at = [time.monotonic()]
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(verify=context, headers=headers, timeout=40, limits=limits) as client:

        async def caller() -> None:
            until = asyncio.get_running_loop().time() + seconds
            while asyncio.get_running_loop().time() < until:
                answer = await client.post(f"{access['backends'][backend]}/v1/detect", json=body)
                answered[answer.status_code] = answered.get(answer.status_code, 0) + 1
                if answer.is_server_error:
                    refused_at.append(time.monotonic())
                await asyncio.sleep(PAUSE_S)

        await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return answered, refused_at[-1]


def _noise() -> bytes:
    """A picture without anybody in it."""
    image = Image.effect_noise((640, 480), 60).convert("RGB")
    out = io.BytesIO()
    image.save(out, "JPEG", quality=60)
    return out.getvalue()
