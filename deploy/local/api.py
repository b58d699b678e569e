"""The few calls of the fleet's APIs that starting it needs, over verified TLS."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from deploy.sentence import Sentence

POLL_S = 0.2
RETRY_FOR_S = 60
SYNTHETIC = {"X-Synthetic": "1"}
"""Marks demo traffic: it counts in no share, no decision mix and no rate limit."""


class Api:
    """One key's view of the fleet: through the balancer, or with fail-over through every backend."""

    def __init__(self, urls: Sequence[str], *, ca_file: Path, key: str) -> None:
        self.urls = list(urls)
        self._client = httpx.Client(
            verify=ssl.create_default_context(cafile=str(ca_file)),
            headers={"Authorization": f"Bearer {key}", **SYNTHETIC},
            timeout=httpx.Timeout(40, connect=3),
        )

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, **query: str | int) -> Any:
        return self._json(self._send("GET", path, params=query))

    def post(self, path: str, body: Mapping[str, Any], *, idempotency_key: str | None = None) -> httpx.Response:
        """Any answer that is not "no backend can answer now"; that one is waited out, with the same key."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._send("POST", path, json=body, headers=headers)

    def post_json(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._json(self.post(path, body))

    def _send(self, method: str, path: str, **what: Any) -> httpx.Response:
        until = time.monotonic() + RETRY_FOR_S
        while True:
            for url in self.urls:
                answer = self._try(method, url + path, **what)
                if answer is not None:
                    return answer
            if time.monotonic() > until:
                raise Sentence(f"no backend answered {method} {path} within {RETRY_FOR_S} s")
            time.sleep(POLL_S)

    def _try(self, method: str, url: str, **what: Any) -> httpx.Response | None:
        try:
            answer = self._client.request(method, url, **what)
        except httpx.TransportError:
            return None
        return None if answer.status_code in (502, 503, 504) else answer

    @staticmethod
    def _json(answer: httpx.Response) -> Any:
        if answer.is_error:
            problem = answer.json() if "json" in answer.headers.get("content-type", "") else {}
            raise Sentence(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {problem.get('detail', '')}")
        return answer.json()


def answers(client: httpx.Client, url: str) -> bool:
    """Whether the URL answers 200 now."""
    try:
        return client.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def until(happens: Callable[[], bool], *, deadline: float, stopping: Callable[[], bool]) -> bool:
    """Poll until it is true; False after the deadline (monotonic) or when we are told to stop."""
    while not stopping():
        if happens():
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return False
