"""One backend as the commands of this package ask it: directly, over verified TLS, at its address and by its name."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from deploy.sentence import Sentence
from monitor.fleet import Backend

DEADLINE_S = 5.0
IN_FLIGHT = "http_requests_in_flight"


@dataclass(frozen=True)
class Replica:
    spec: Backend
    http: httpx.Client
    key: str

    @property
    def name(self) -> str:
        return self.spec.name

    def ready(self) -> bool:
        """Whether it would be sent requests by a balancer that asks; one that cannot be reached is not ready."""
        answer = self._try("GET", "/ready")
        return answer is not None and answer.status_code == 200

    def drain(self) -> bool:
        """Ask it to say that it is not ready; False where it cannot be reached. Raises `Sentence` where it refuses."""
        return self._tell("/v1/fleet/self/drain")

    def put_back(self) -> bool:
        """Ask it to be ready again; False where it cannot be reached. Raises `Sentence` where it refuses."""
        return self._tell("/v1/fleet/self/return")

    def started_at(self) -> str | None:
        """When its process started; None where it does not say. Raises `Sentence` where the key is refused."""
        answer = self._try("GET", "/v1/fleet/self", authorised=True)
        if answer is None or answer.status_code in (502, 503):
            return None
        return str(self._taken(answer).json()["started_at"])

    def in_flight(self) -> float | None:
        """Requests that it is answering now; None where it does not say."""
        answer = self._try("GET", "/metrics")
        if answer is None or answer.status_code != 200:
            return None
        values = (line.split()[1] for line in answer.text.splitlines() if line.startswith(f"{IN_FLIGHT} "))
        return next(map(float, values), None)

    def _tell(self, path: str) -> bool:
        answer = self._try("POST", path, authorised=True)
        if answer is None:
            return False
        self._taken(answer)
        return True

    def _taken(self, answer: httpx.Response) -> httpx.Response:
        if answer.is_success:
            return answer
        if answer.status_code in (401, 403):
            raise Sentence(f"{self.name} refuses the key ({answer.status_code}): it must be an operator's (`drain.key`, --key)")
        told: dict[str, Any] = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        raise Sentence(f"{self.name} answers {answer.status_code} to {answer.request.url.path}: {told.get('detail', '')}")

    def _try(self, method: str, path: str, *, authorised: bool = False) -> httpx.Response | None:
        headers = {"Host": self.spec.server_name} | ({"Authorization": f"Bearer {self.key}"} if authorised else {})
        scheme = "https" if self.spec.tls else "http"
        try:
            return self.http.request(
                method, f"{scheme}://{self.spec.address}{path}", headers=headers,
                extensions={"sni_hostname": self.spec.server_name},
            )  # fmt: skip
        except httpx.TransportError:
            return None


@contextmanager
def replicas(backends: list[Backend], *, key: str) -> Iterator[dict[str, Replica]]:
    """All of them by name, each with connections of its own, in the fleet file's order."""
    made = {
        one.name: Replica(one, httpx.Client(verify=_trust(one), timeout=DEADLINE_S, trust_env=False), key) for one in backends
    }
    try:
        yield made
    finally:
        for replica in made.values():
            replica.http.close()


def _trust(backend: Backend) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if backend.ca_file is not None:
        try:
            context.load_verify_locations(cafile=backend.ca_file)
        except OSError as error:
            raise Sentence(f"backends.{backend.name}.ca_file: {backend.ca_file}: {error.strerror or error}") from None
    return context
