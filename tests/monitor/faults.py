"""Each kind of fault as a real server on loopback, and the reason code that a probe of it must give."""

from __future__ import annotations

import asyncio
import copy
import gzip
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from monitor.wire import ProbeKind
from tests.monitor import misbehaving as bad
from tests.monitor.certs import Authority, Pair

Server = AbstractAsyncContextManager[int]


def good_with(path: str, code: int, /, **changes: Any) -> bad.Answer:
    """A right server but for one answer."""
    paths = copy.deepcopy(bad.GOOD)
    body = paths[path][1]
    assert isinstance(body, dict)
    paths[path] = (code, body | changes)
    return bad.answers(paths)


def failing(check: str) -> bad.Answer:
    return good_with("/ready", 503, status="not_ready", checks={check: {"status": "fail", "detail": "it fails"}})


def everywhere(status: int) -> bad.Answer:
    return bad.sends(bad.http(status, b"", extra="Location: /live\r\n"), then_close=True)


def lied_of(by: int) -> bad.Answer:
    """A right answer whose length is given wrongly by so many bytes."""
    right = bad.http(200, json.dumps(bad.LIVE).encode())
    size = len(json.dumps(bad.LIVE))
    return bad.sends(right.replace(f"Length: {size}".encode(), f"Length: {size + by}".encode()), then_close=True)


HTML = b"<!doctype html><html><body>Streamlit</body></html>"
OTHER = {"service": "nginx"}

# name: (server without TLS, the probe whose reason counts, the code)
PLAIN: dict[str, tuple[Callable[[], Server], ProbeKind, str]] = {
    "nobody listens": (bad.nobody, ProbeKind.live, "NET.REFUSED"),
    "queue full, kernel does not answer": (bad.full_queue, ProbeKind.live, "NET.TIMEOUT.CONNECT"),
    "never accepts (stopped), plain": (bad.never_accepts, ProbeKind.live, "NET.TIMEOUT.ANSWER"),
    "hangs before the answer": (lambda: bad.serving(bad.hangs_before_the_answer), ProbeKind.live, "NET.TIMEOUT.ANSWER"),
    "trickles": (lambda: bad.serving(bad.trickles), ProbeKind.live, "NET.TIMEOUT.BODY"),
    "resets": (lambda: bad.serving(bad.resets), ProbeKind.live, "NET.RESET"),
    "closes without an answer": (lambda: bad.serving(bad.sends(b"", then_close=True)), ProbeKind.live, "NET.CLOSED"),
    "half an answer": (
        lambda: bad.serving(bad.sends(bad.http(200, b"{}").replace(b"Length: 2", b"Length: 99"), then_close=True)),
        ProbeKind.live,
        "NET.CLOSED",
    ),
    "endless body": (lambda: bad.serving(bad.sends_without_end), ProbeKind.live, "APP.BODY"),
    "endless headers": (lambda: bad.serving(bad.sends_headers_without_end), ProbeKind.live, "APP.PROTOCOL"),
    "length too short": (lambda: bad.serving(lied_of(-20)), ProbeKind.live, "APP.BODY"),
    "length below zero": (
        lambda: bad.serving(bad.sends(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}", then_close=True)),
        ProbeKind.live,
        "APP.PROTOCOL",
    ),
    "two lengths": (
        lambda: bad.serving(bad.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", then_close=True)),
        ProbeKind.live,
        "APP.PROTOCOL",
    ),
    "closes within a chunk": (
        lambda: bad.serving(bad.sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n99\r\n{}", then_close=True)),
        ProbeKind.live,
        "NET.CLOSED",
    ),
    "a chunk of no size": (
        lambda: bad.serving(bad.sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}", then_close=True)),
        ProbeKind.live,
        "APP.PROTOCOL",
    ),
    "hangs within the body": (
        lambda: bad.serving(bad.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", then_close=False)),
        ProbeKind.live,
        "NET.TIMEOUT.BODY",
    ),
    "hangs within the headers": (
        lambda: bad.serving(bad.sends(b"HTTP/1.1 200 OK\r\nContent-Le", then_close=False)),
        ProbeKind.live,
        "NET.TIMEOUT.ANSWER",
    ),
    "trickles its headers": (lambda: bad.serving(bad.trickles_headers), ProbeKind.live, "NET.TIMEOUT.ANSWER"),
    "says Continue without end": (lambda: bad.serving(bad.continues_without_end), ProbeKind.live, "NET.TIMEOUT.ANSWER"),
    "nested without end": (
        lambda: bad.serving(bad.sends(bad.http(200, b"[" * 60_000), then_close=True)),
        ProbeKind.live,
        "APP.BODY",
    ),
    "not UTF-8": (
        lambda: bad.serving(bad.sends(bad.http(200, b'{"status":"\xff\xfe"}'), then_close=True)),
        ProbeKind.live,
        "APP.BODY",
    ),
    "compressed unasked": (
        lambda: bad.serving(
            bad.sends(bad.http(200, gzip.compress(b" " * 50_000_000), extra="Content-Encoding: gzip\r\n"), then_close=True)
        ),
        ProbeKind.live,
        "APP.BODY",
    ),
    "not HTTP": (lambda: bad.serving(bad.sends(b"SSH-2.0-x\r\n\r\n", then_close=True)), ProbeKind.live, "APP.PROTOCOL"),
    "HTML shell with 200": (
        lambda: bad.serving(bad.sends(bad.http(200, HTML, "text/html"), then_close=True)),
        ProbeKind.live,
        "APP.BODY",
    ),
    "JSON of something else": (lambda: bad.serving(good_with("/live", 200, status="ok")), ProbeKind.live, "APP.BODY"),
    "another service": (lambda: bad.serving(good_with("/health", 200, **OTHER)), ProbeKind.health, "APP.BODY"),
    "redirect loop": (lambda: bad.serving(everywhere(302)), ProbeKind.live, "APP.STATUS.302"),
    "404": (lambda: bad.serving(bad.answers({})), ProbeKind.live, "APP.STATUS.404"),
    "/live 500": (lambda: bad.serving(good_with("/live", 500)), ProbeKind.live, "APP.STATUS.500"),
    "/health 503": (
        lambda: bad.serving(good_with("/health", 503, status="unhealthy")),
        ProbeKind.health,
        "DEP.DATABASE",
    ),
    "/health 200 but unhealthy": (
        lambda: bad.serving(good_with("/health", 200, status="unhealthy")),
        ProbeKind.health,
        "DEP.DATABASE",
    ),
    "/ready database": (lambda: bad.serving(failing("database")), ProbeKind.ready, "DEP.DATABASE"),
    "/ready schema": (lambda: bad.serving(failing("schema")), ProbeKind.ready, "DEP.SCHEMA"),
    "/ready model": (lambda: bad.serving(failing("model")), ProbeKind.ready, "APP.MODEL"),
    "/ready gallery": (lambda: bad.serving(failing("gallery")), ProbeKind.ready, "APP.GALLERY"),
    "/ready inference": (lambda: bad.serving(failing("inference")), ProbeKind.ready, "APP.INFERENCE_STUCK"),
    "/ready resources": (lambda: bad.serving(failing("resources")), ProbeKind.ready, "APP.RESOURCES"),
    "/ready draining": (lambda: bad.serving(failing("draining")), ProbeKind.ready, "APP.DRAINING"),
    "/ready a check of a later release": (lambda: bad.serving(failing("quota")), ProbeKind.ready, "APP.CHECK.QUOTA"),
    "/ready 503 of a proxy": (
        lambda: bad.serving(good_with("/ready", 503, status="overloaded")),
        ProbeKind.ready,
        "APP.STATUS.503",
    ),
}

# name: (which certificate, what the server does once the handshake is done, the code)
TLS: dict[str, tuple[Callable[[Authority], Pair], bad.Answer, str]] = {
    "expired": (Authority.expired, bad.answers(bad.GOOD), "TLS.EXPIRED"),
    "not yet valid": (Authority.not_yet_valid, bad.answers(bad.GOOD), "TLS.NOT_YET_VALID"),
    "another name": (lambda a: a.issue("b2.face-auth.internal"), bad.answers(bad.GOOD), "TLS.NAME_MISMATCH"),
    "self-signed": (Authority.self_signed, bad.answers(bad.GOOD), "TLS.SELF_SIGNED"),
    "issuer unknown": (Authority.of_a_stranger, bad.answers(bad.GOOD), "TLS.UNKNOWN_ISSUER"),
    "intermediate missing": (
        lambda a: a.below_intermediate(complete=False),
        bad.answers(bad.GOOD),
        "TLS.UNKNOWN_ISSUER",
    ),
    "hangs before the answer, TLS": (Authority.issue, bad.hangs_before_the_answer, "NET.TIMEOUT.ANSWER"),
}


async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Plain HTTP behind a port where TLS is expected."""
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()
    await asyncio.Event().wait()


async def resets_the_handshake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    bad.reset(writer)


# name: (server that speaks no TLS though the probe does, the code)
NO_TLS: dict[str, tuple[Callable[[], Server], str]] = {
    "never accepts (stopped), TLS": (bad.never_accepts, "NET.TIMEOUT.TLS"),
    "hangs in the handshake": (lambda: bad.serving(bad.hangs_before_anything), "NET.TIMEOUT.TLS"),
    "plain HTTP behind a TLS port": (lambda: bad.serving(greets), "TLS.HANDSHAKE"),
    "resets the handshake": (lambda: bad.serving(resets_the_handshake), "NET.RESET"),
}
