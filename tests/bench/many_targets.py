"""Many small backends in one process, each on a port of its own, answering as little as a probe needs.

`python -m tests.bench.many_targets PLAIN TLS CERT KEY` prints the ports, plain ones first, as one JSON list, and serves.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys

NOW = "2026-01-01T00:00:00Z"
ANSWERS = {
    "/live": {"status": "alive", "timestamp": NOW},
    "/health": {"status": "healthy", "service": "face-auth-system", "version": "0.1.0", "timestamp": NOW},
    "/ready": {
        "status": "ready",
        "version": "0.1.0",
        "timestamp": NOW,
        "ever_ready": True,
        "checks": {
            name: {"status": "ok", "latency_ms": 0.2, "detail": "as it should be"}
            for name in ("database", "schema", "model", "gallery", "inference", "resources", "draining")
        },
    },
}
METRICS = b'http_requests_total{method="GET",route="/v1/detect",status="200"} 1\n'


def _http(body: bytes, kind: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (kind, len(body), body)


RAW = {path.encode(): _http(json.dumps(body).encode(), b"application/json") for path, body in ANSWERS.items()}
RAW[b"/metrics"] = _http(METRICS, b"text/plain")


class Target(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._asked = b""

    def data_received(self, data: bytes) -> None:
        self._asked += data
        while b"\r\n\r\n" in self._asked:
            head, self._asked = self._asked.split(b"\r\n\r\n", 1)
            assert isinstance(self._transport, asyncio.WriteTransport)
            self._transport.write(RAW[head.split(b" ", 2)[1]])


async def serve(plain: int, tls: int, context: ssl.SSLContext) -> None:
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Target, "127.0.0.1", 0, ssl=context if n >= plain else None) for n in range(plain + tls)]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    await asyncio.Event().wait()


def main() -> None:
    plain, tls, cert, key = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    asyncio.run(serve(int(plain), int(tls), context))


if __name__ == "__main__":
    main()
