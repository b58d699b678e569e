"""A small client of Prometheus: instant queries, as values. Asked only where an operator named one.

PrometheusError
├── Refused         it answered, and said no
└── Unreachable     no answer, or none that is Prometheus's
"""

from __future__ import annotations

import math
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

LONGEST_S = 10.0


class PrometheusError(Exception):
    """Root of what the client raises."""


class Refused(PrometheusError):
    """`detail` is Prometheus's own."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"Prometheus answers {status}: {detail}")
        self.status = status
        self.detail = detail


class Unreachable(PrometheusError):
    """`url` is where it was asked."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"Prometheus at {url} does not answer: {reason}")
        self.url = url


@dataclass(frozen=True)
class Sample:
    """One series of an instant vector."""

    labels: Mapping[str, str]
    value: float


class _Series(BaseModel):
    model_config = ConfigDict(extra="ignore")

    metric: dict[str, str]
    value: tuple[float, str]


class _Vector(BaseModel):
    model_config = ConfigDict(extra="ignore")

    result: list[_Series]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore")

    status: str
    data: _Vector | None = None
    error: str = ""


class Prometheus:
    """One connection pool; safe to share between threads."""

    def __init__(self, url: str, *, ca_file: Path | None = None, timeout_s: float = LONGEST_S) -> None:
        self._url = url.rstrip("/")
        trust = ssl.create_default_context()
        if ca_file is not None:
            trust.load_verify_locations(cafile=ca_file)
        self._http = httpx.Client(timeout=timeout_s, verify=trust, trust_env=False, follow_redirects=False)

    def query(self, expression: str) -> list[Sample]:
        """The series of an instant vector, those without a number left out. Raises `Refused` or `Unreachable`."""
        try:
            response = self._http.post(f"{self._url}/api/v1/query", data={"query": expression})
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(self._url, str(error) or type(error).__name__) from error
        try:
            answer = _Answer.model_validate_json(response.content)
        except ValidationError as error:
            raise Unreachable(self._url, f"status {response.status_code}, and not Prometheus's answer") from error
        if answer.status != "success" or answer.data is None:
            raise Refused(response.status_code, answer.error or "no vector came")
        found = [Sample(one.metric, float(one.value[1])) for one in answer.data.result]
        return [one for one in found if not math.isnan(one.value)]

    def close(self) -> None:
        self._http.close()
