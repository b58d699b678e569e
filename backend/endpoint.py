"""The webhook's receiver, as the sender sees it: one POST of a signed message, with an end in any case."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from backend import webhook
from backend.delivery import Answer
from backend.settings import Settings
from backend.version import version

TIMEOUT_S = 10.0
"""for all of an attempt: name, connection, TLS, request and answer"""
MOST_READ = 65_536
REST_WITHIN_S = 1.0
"""bytes of an answer that are read, so that its connection can be used again; nobody looks at them"""


class EndpointError(Exception):
    """The file of certificates cannot be used; the message is a sentence for the operator."""


@dataclass(frozen=True)
class Message:
    event_id: str
    body: Mapping[str, Any]


class Endpoint:
    """`url` may carry a token in its path: it is never logged. Redirects are not followed: they would name somebody else."""

    def __init__(self, url: str, secret: str, *, ca_file: Path | None = None, timeout_s: float = TIMEOUT_S) -> None:
        """`ca_file` is trusted beside the system's roots. Raises EndpointError, and ValueError for a secret that is none."""
        self._url, self._keys, self._timeout_s = url, webhook.keys_of(secret), timeout_s
        self._trust = ssl.create_default_context()
        if ca_file is not None:
            try:
                self._trust.load_verify_locations(cafile=str(ca_file))
            except (OSError, ssl.SSLError) as error:
                raise EndpointError(f"the webhook's CA file cannot be used ({type(error).__name__})") from error

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """For several messages, one after the other; connections are closed at the end."""
        with asyncio.Runner() as runner:
            client = httpx.AsyncClient(verify=self._trust, timeout=self._timeout_s, trust_env=False, follow_redirects=False)
            try:
                yield Connection(runner, client, self._url, self._keys, self._timeout_s)
            finally:
                runner.run(client.aclose())


class Connection:
    def __init__(self, runner: asyncio.Runner, client: httpx.AsyncClient, url: str, keys: list[bytes], timeout_s: float) -> None:
        self._runner, self._client, self._url, self._keys, self._timeout_s = runner, client, url, keys, timeout_s

    def post(self, message: Message) -> Answer:
        """One attempt; what goes wrong is an answer too."""
        body = json.dumps(message.body, separators=(",", ":")).encode()
        signed = webhook.sign(self._keys, event_id=message.event_id, timestamp=int(time.time()), body=body)
        headers = {**signed, "content-type": "application/json", "user-agent": f"face-auth-system/{version()}"}
        started = time.monotonic()
        try:
            status, retry_after = self._runner.run(self._send(body, headers))
        except TimeoutError:
            return Answer(None, "timeout", time.monotonic() - started)
        except Exception as error:  # whatever it is: an attempt that is not counted would be made every second for ever
            return Answer(None, type(error).__name__, time.monotonic() - started)
        return Answer(status, None, time.monotonic() - started, retry_after)

    async def _send(self, body: bytes, headers: dict[str, str]) -> tuple[int, str | None]:
        async with (
            asyncio.timeout(self._timeout_s),
            self._client.stream("POST", self._url, content=body, headers=headers) as answer,
        ):
            status = answer.status_code, answer.headers.get("retry-after")
            read = 0
            with suppress(
                httpx.HTTPError, TimeoutError
            ):  # it has been said: the rest is read so that the connection is used again
                async with asyncio.timeout(REST_WITHIN_S):
                    async for piece in answer.aiter_raw():
                        read += len(piece)
                        if read > MOST_READ:
                            break
            return status


def endpoint_of(settings: Settings) -> Endpoint:
    """Of settings that name one. Raises EndpointError."""
    url, secret = settings.webhook_url, settings.webhook_secret
    if url is None or secret is None:
        raise EndpointError("no webhook is set: BACKEND_WEBHOOK_URL and BACKEND_WEBHOOK_SECRET")
    return Endpoint(url.get_secret_value(), secret.get_secret_value(), ca_file=settings.webhook_ca_file)
