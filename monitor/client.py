"""A typed, synchronous client of the monitor's HTTP API: httpx and `monitor.wire`, nothing else of ours.

MonitorClientError
├── ProblemError        the monitor answered, and said no (RFC 9457)
└── Unreachable         no answer, or none that can be read

with MonitorClient("http://127.0.0.1:8600", token=lambda: mint("face-auth-monitor")) as monitor:
    print(monitor.fleet().sentence)
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from monitor import wire

Model = TypeVar("Model")
Token = str | Callable[[], str] | None


class MonitorClientError(Exception):
    """Root of what the client raises."""


class ProblemError(MonitorClientError):
    """The monitor's answer is an error; `problem` is its document."""

    def __init__(self, problem: wire.Problem, *, retry_after_s: float | None = None) -> None:
        super().__init__(f"{problem.status} {problem.code}: {problem.detail}")
        self.problem = problem
        self.status = problem.status
        self.code = problem.code
        self.detail = problem.detail
        self.retry_after_s = retry_after_s


class Unreachable(MonitorClientError):
    """No answer came, or one that is not the monitor's; `url` is where it was asked."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"the monitor at {url} does not answer: {reason}")
        self.url = url
        self.reason = reason


class MonitorClient:
    """One connection pool; safe to share between threads. Every method raises `ProblemError` or `Unreachable`."""

    def __init__(self, url: str, *, token: Token = None, ca_file: Path | None = None, timeout_s: float = 5.0) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._http = httpx.Client(
            base_url=self._url, timeout=timeout_s, verify=_trust(ca_file), trust_env=False, follow_redirects=False
        )

    def fleet(self) -> wire.FleetView:
        """Every backend with its state, the worst first within the page; the whole in one sentence."""
        return self._get("/v1/fleet", wire.FleetView)

    def backend(self, name: str) -> wire.Backend:
        return self._get(f"/v1/backends/{name}", wire.Backend)

    def history(self, name: str, *, since: datetime | None = None, step_s: int | None = None) -> wire.Page[wire.HistoryPoint]:
        """Buckets of `step_s` seconds from `since` (default: the last hour) to now, oldest first."""
        query = {"since": since.isoformat() if since else None, "step": step_s}
        return self._get(f"/v1/backends/{name}/history", wire.Page[wire.HistoryPoint], query)

    def load(self, *, window_s: float = 60) -> wire.LoadView:
        return self._get("/v1/load", wire.LoadView, {"window_s": window_s})

    def load_series(self, *, window_s: float = 900) -> wire.Page[wire.LoadPoint]:
        """Requests per backend and step over the window, oldest first."""
        return self._get("/v1/load/series", wire.Page[wire.LoadPoint], {"window_s": window_s})

    def certificates(self) -> wire.Page[wire.Certificate]:
        """Every certificate watched, the most pressing first."""
        return self._get("/v1/certificates", wire.Page[wire.Certificate])

    def events(self, *, backend: str | None = None, cursor: str | None = None, limit: int = 50) -> wire.Page[wire.Event]:
        """Changes of state, newest first."""
        return self._get("/v1/events", wire.Page[wire.Event], {"backend": backend, "cursor": cursor, "limit": limit})

    def diagnose(self, *, target: str | None = None, url: str | None = None, server_name: str | None = None) -> wire.Diagnosis:
        """Try a target of the fleet file (a backend's name, `balancer`) or a URL step by step. For operators; takes a while."""
        asked = wire.DiagnosisRequest(target=target, url=url, server_name=server_name)
        return self._post("/v1/diagnoses", asked, wire.Diagnosis, timeout_s=60)

    def drain(self, name: str, *, accept_left: int | None = None) -> wire.Drained:
        """Take a backend out of service; `ProblemError` with `drain_refused` where fewer than `accept_left` would be left."""
        return self._post(f"/v1/backends/{name}/drain", wire.DrainRequest(accept_left=accept_left), wire.Drained, timeout_s=15)

    def put_back(self, name: str) -> wire.Drained:
        return self._post(f"/v1/backends/{name}/return", None, wire.Drained, timeout_s=15)

    def synthetic(self) -> wire.Page[wire.SyntheticResult]:
        return self._get("/v1/synthetic", wire.Page[wire.SyntheticResult])

    def live(self) -> wire.Live:
        return self._get("/live", wire.Live)

    def health(self) -> wire.Health:
        return self._get("/health", wire.Health)

    def ready(self) -> wire.Ready:
        """What the monitor says of itself; a monitor that is not ready says so in the value, not by an exception."""
        return self._get("/ready", wire.Ready, answers=(200, 503))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _get(
        self,
        path: str,
        model: type[Model],
        query: Mapping[str, object] | None = None,
        *,
        answers: tuple[int, ...] = (200,),
    ) -> Model:
        params = {name: str(value) for name, value in (query or {}).items() if value is not None}
        try:
            response = self._http.get(path, params=params, headers=self._credentials())
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(self._url, str(error) or type(error).__name__) from error
        if response.status_code not in answers:
            raise _problem(self._url, response)
        try:
            return TypeAdapter(model).validate_json(response.content)
        except ValidationError as error:
            raise Unreachable(self._url, f"{path} gave something that is not the monitor's answer") from error

    def _post(self, path: str, asked: BaseModel | None, model: type[Model], *, timeout_s: float) -> Model:
        body = None if asked is None else asked.model_dump(mode="json", exclude_none=True)
        try:
            response = self._http.post(path, json=body, headers=self._credentials(), timeout=timeout_s)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(self._url, str(error) or type(error).__name__) from error
        if response.status_code != 200:
            raise _problem(self._url, response)
        try:
            return TypeAdapter(model).validate_json(response.content)
        except ValidationError as error:
            raise Unreachable(self._url, f"{path} gave something that is not the monitor's answer") from error

    def _credentials(self) -> dict[str, str]:
        token = self._token() if callable(self._token) else self._token
        return {"Authorization": f"Bearer {token}"} if token else {}


def _problem(url: str, response: httpx.Response) -> MonitorClientError:
    try:
        problem = wire.Problem.model_validate_json(response.content)
    except ValidationError:
        return Unreachable(url, f"status {response.status_code} without a problem document")
    wait = response.headers.get("Retry-After", "")
    return ProblemError(problem, retry_after_s=float(wait) if wait.isdigit() else None)


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    """The system's roots, and `ca_file` beside them."""
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context
