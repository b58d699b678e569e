"""Recording rules: what alerts, boards and people ask for, counted once. Names are level:metric:operation. Pure."""

from __future__ import annotations

from typing import Any

from deploy.render.prometheus_pace import Pace
from deploy.render.prometheus_scrape import BACKENDS

MINUTE, HOUR, DAY = 60, 3600, 86_400
# Every window of the burn rates, and its name in the recorded series.
WINDOWS = {"5m": 5 * MINUTE, "30m": 30 * MINUTE, "1h": HOUR, "2h": 2 * HOUR, "6h": 6 * HOUR, "1d": DAY, "3d": 3 * DAY}
PER_BACKEND = "job, name, region, zone"
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def groups(pace: Pace) -> list[dict[str, Any]]:
    return [
        {"name": "face-auth-requests", "rules": [*_requests(pace), *_latency(pace)]},
        {"name": "face-auth-error-budget", "rules": [rule for window in WINDOWS for rule in _budget(window, pace)]},
    ]


def _requests(pace: Pace) -> list[dict[str, str]]:
    five = pace.of(WINDOWS["5m"])
    return [
        _rule("name:http_requests:rate5m", _rate(PER_BACKEND, "", five)),
        _rule(
            "name:http_requests:share_rate5m",
            "name:http_requests:rate5m / on (job) group_left () (sum by (job) (name:http_requests:rate5m) > 0)",
        ),
        _rule("name:http_request_errors:ratio_rate5m", _ratio(PER_BACKEND, "5..", five)),
        _rule("name:http_request_client_errors:ratio_rate5m", _ratio(PER_BACKEND, "4..", five)),
    ]


def _latency(pace: Pace) -> list[dict[str, str]]:
    """`le` must survive the sum, or there is nothing left to read a quantile off."""
    five = pace.of(WINDOWS["5m"])
    return [
        _rule(
            f"{level}:http_request_duration_seconds:{name}_5m",
            f"histogram_quantile({quantile}, sum by (le, {labels}) "
            f'(rate(http_request_duration_seconds_bucket{{job="{BACKENDS}"}}[{five}])))',
        )
        for level, labels in (("name", PER_BACKEND), ("job", "job"))
        for name, quantile in QUANTILES.items()
    ]


def _budget(window: str, pace: Pace) -> list[dict[str, str]]:
    length = pace.of(WINDOWS[window])
    return [
        _rule(f"job:http_requests:rate{window}", _rate("job", "", length)),
        _rule(f"job:http_request_errors:ratio_rate{window}", _ratio("job", "5..", length)),
    ]


def _rate(labels: str, status: str, window: str) -> str:
    matching = f', status=~"{status}"' if status else ""
    return f'sum by ({labels}) (rate(http_requests_total{{job="{BACKENDS}"{matching}}}[{window}]))'


def _ratio(labels: str, status: str, window: str) -> str:
    """A share of all requests. No error at all is 0 and not nothing; no request at all is nothing and not 0/0."""
    whole = _rate(labels, "", window)
    return f"(\n  {_rate(labels, status, window)}\n  or\n  0 * {whole}\n)\n/\n({whole} > 0)\n"


def _rule(name: str, expression: str) -> dict[str, str]:
    return {"record": name, "expr": expression}
