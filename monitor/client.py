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
from typing import Any, Self, TypeVar, overload
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

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
        return self._get(_path("backends", name), wire.Backend)

    def history(
        self, name: str, *, since: datetime | None = None, until: datetime | None = None, step_s: int | None = None
    ) -> wire.HistoryView:
        """From `since` (default: an hour before) to `until` (default: now); without `step_s` as finely as a chart shows it."""
        query = {"since": since.isoformat() if since else None, "until": until.isoformat() if until else None, "step": step_s}
        return self._get(_path("backends", name, "history"), wire.HistoryView, query)

    def figures(self, name: str, *, window_s: float = 300) -> wire.Figures:
        """Stages, routes, decisions of the last `window_s` seconds (60 to 300), resources, and who would be left without it."""
        return self._get(_path("backends", name, "figures"), wire.Figures, {"window_s": window_s})

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

    def fleet_file(self) -> wire.FleetFileView:
        """The fleet as its file says, and whether the file on disk is refused; no secret stands in it."""
        return self._get("/v1/fleet-file", wire.FleetFileView)

    # --- alerts -------------------------------------------------------------------------------------------------------

    def alerts(
        self, *, state: wire.AlertState | None = None, cursor: str | None = None, limit: int = 50
    ) -> wire.Page[wire.Alert]:
        """Newest first; without `state` those that are over too."""
        return self._get("/v1/alerts", wire.Page[wire.Alert], {"state": state, "cursor": cursor, "limit": limit})

    def alert(self, alert_id: str) -> wire.AlertDetail:
        """With its history and what was told of it."""
        return self._get(_path("alerts", alert_id), wire.AlertDetail)

    def acknowledge(self, alert_id: str) -> wire.AlertDetail:
        return self._ask("POST", _path("alerts", alert_id, "acknowledge"), wire.AlertDetail)

    def silences(self, *, cursor: str | None = None, limit: int = 50) -> wire.Page[wire.Silence]:
        return self._get("/v1/silences", wire.Page[wire.Silence], {"cursor": cursor, "limit": limit})

    def silence(self, asked: wire.NewSilence) -> wire.Silence:
        return self._ask("POST", "/v1/silences", wire.Silence, asked, answers=(201,))

    def lift_silence(self, silence_id: str) -> None:
        self._ask("DELETE", _path("silences", silence_id), None, answers=(204,))

    def maintenance(self, *, cursor: str | None = None, limit: int = 50) -> wire.Page[wire.Maintenance]:
        return self._get("/v1/maintenance", wire.Page[wire.Maintenance], {"cursor": cursor, "limit": limit})

    def maintain(self, asked: wire.NewMaintenance) -> wire.Maintenance:
        return self._ask("POST", "/v1/maintenance", wire.Maintenance, asked, answers=(201,))

    def end_maintenance(self, maintenance_id: str) -> None:
        self._ask("DELETE", _path("maintenance", maintenance_id), None, answers=(204,))

    def deliveries(self, *, route: str | None = None, cursor: str | None = None, limit: int = 50) -> wire.Page[wire.Delivery]:
        """What was told to whom, and what waits: newest first."""
        return self._get("/v1/deliveries", wire.Page[wire.Delivery], {"route": route, "cursor": cursor, "limit": limit})

    def alert_routes(self) -> wire.Page[wire.AlertRoute]:
        return self._get("/v1/alert-routes", wire.Page[wire.AlertRoute])

    def test_route(self, name: str) -> wire.RouteTest:
        """Takes as long as the receiver takes, which may be longer than this client waits."""
        return self._ask("POST", _path("alert-routes", name, "test"), wire.RouteTest)

    def audit(self, *, cursor: str | None = None, limit: int = 50) -> wire.Page[wire.Action]:
        """What operators did, newest first: for supervisors and admins."""
        return self._get("/v1/audit", wire.Page[wire.Action], {"cursor": cursor, "limit": limit})

    def diagnose(self, *, target: str | None = None, url: str | None = None, server_name: str | None = None) -> wire.Diagnosis:
        """Try a target of the fleet file (a backend's name, `balancer`) or a URL step by step. For operators; takes a while."""
        asked = wire.DiagnosisRequest(target=target, url=url, server_name=server_name)
        return self._ask("POST", "/v1/diagnoses", wire.Diagnosis, asked, timeout_s=60)

    def drain(self, name: str, *, accept_left: int | None = None) -> wire.Drained:
        """Take a backend out of service; `ProblemError` with `drain_refused` where fewer than `accept_left` would be left."""
        asked = wire.DrainRequest(accept_left=accept_left)
        return self._ask("POST", _path("backends", name, "drain"), wire.Drained, asked, timeout_s=15)

    def put_back(self, name: str) -> wire.Drained:
        """Let it serve again; `told` and `next` say whether it heard of it."""
        return self._ask("POST", _path("backends", name, "return"), wire.Drained, timeout_s=15)

    def check_distribution(self, requests: int = 100) -> wire.DistributionCheck:
        """Begin to send that many through the balancer; `distribution_check` tells how it goes. For operators."""
        asked = wire.DistributionCheckRequest(requests=requests)
        return self._ask("POST", "/v1/distribution-checks", wire.DistributionCheck, asked, answers=(201,))

    def distribution_check(self, check_id: str) -> wire.DistributionCheck:
        return self._get(_path("distribution-checks", check_id), wire.DistributionCheck)

    def distribution_checks(self) -> wire.Page[wire.DistributionCheck]:
        """The last ones since the monitor's start, newest first."""
        return self._get("/v1/distribution-checks", wire.Page[wire.DistributionCheck])

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
        return self._read(path, self._sent("GET", path, answers, params=params), model)

    @overload
    def _ask(
        self,
        method: str,
        path: str,
        model: type[Model],
        body: wire.Asked | None = None,
        *,
        answers: tuple[int, ...] = (200,),
        timeout_s: float | None = None,
    ) -> Model: ...

    @overload
    def _ask(
        self, method: str, path: str, model: None, body: wire.Asked | None = None, *, answers: tuple[int, ...] = (200,)
    ) -> None: ...

    def _ask(
        self,
        method: str,
        path: str,
        model: type[Model] | None,
        body: wire.Asked | None = None,
        *,
        answers: tuple[int, ...] = (200,),
        timeout_s: float | None = None,
    ) -> Model | None:
        """What changes something, or takes its time (`timeout_s`). It is never repeated by itself."""
        options: dict[str, Any] = {} if timeout_s is None else {"timeout": timeout_s}
        if body is not None:
            options["json"] = body.model_dump(mode="json", exclude_none=True)
        response = self._sent(method, path, answers, **options)
        return None if model is None else self._read(path, response, model)

    def _sent(self, method: str, path: str, answers: tuple[int, ...], **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, headers=self._credentials(), **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(self._url, str(error) or type(error).__name__) from error
        if response.status_code not in answers:
            raise _problem(self._url, response)
        return response

    def _read(self, path: str, response: httpx.Response, model: type[Model]) -> Model:
        try:
            return TypeAdapter(model).validate_json(response.content)
        except ValidationError as error:
            raise Unreachable(self._url, f"{path} gave something that is not the monitor's answer") from error

    def _credentials(self) -> dict[str, str]:
        token = self._token() if callable(self._token) else self._token
        return {"Authorization": f"Bearer {token}"} if token else {}


def _path(*parts: str) -> str:
    """Below `/v1`; each part stays one part whatever is in it: an id that somebody typed must not choose another path."""
    return "/v1/" + "/".join(quote(part, safe="").replace(".", "%2E") for part in parts)


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
