"""Load per backend as a table, and what is worth a look first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from dashboard import phrases
from monitor import wire

COLUMNS = ["Backend", "Requests", "Per second", "Share", "Expected", "Errors", "p50", "p95", "p99", "In flight", "Connections"]


def by_backend(shares: Mapping[str, wire.Load]) -> pd.DataFrame:
    """One row per backend, by name; values are phrases with their units."""
    rows = [_row(name, shares[name]) for name in in_order(shares)]
    return pd.DataFrame(rows, columns=COLUMNS)


def headline(view: wire.LoadView) -> str:
    """The whole in a sentence: who stands out, before how even it is."""
    if not view.findings:
        return view.fairness.sentence
    whose = in_order({one.backend or "the whole fleet" for one in view.findings})
    verb = "stands" if len(whose) == 1 else "stand"
    return f"{', '.join(whose)} {verb} out: see below. {view.fairness.sentence}"


def in_order(names: Iterable[str]) -> list[str]:
    """`b2` before `b10`."""
    return sorted(names, key=lambda name: [(not part.isdigit(), part.zfill(12)) for part in re.findall(r"\d+|\D+", name)])


def over_series(points: Sequence[wire.LoadPoint], present: Mapping[str, wire.Load], *, window_s: float) -> dict[str, wire.Load]:
    """Shares counted from the history, for windows that the monitor's memory does not reach; expected is what is expected now.

    The percentiles of steps cannot be put together, so there are none.
    """
    requests: dict[str, int] = dict.fromkeys(present, 0)
    errors = dict(requests)
    for point in points:
        requests[point.backend] = requests.get(point.backend, 0) + point.requests
        errors[point.backend] = errors.get(point.backend, 0) + point.errors
    total = sum(requests.values())
    return {name: _counted(requests[name], errors[name], total, present.get(name), window_s) for name in requests}


def _counted(requests: int, errors: int, total: int, present: wire.Load | None, window_s: float) -> wire.Load:
    return wire.Load(
        window_s=window_s,
        requests=requests,
        rate=requests / window_s,
        share=requests / total if total else None,
        expected_share=present.expected_share if present else None,
        errors=errors,
        error_ratio=errors / requests if requests else None,
        p50_ms=None,
        p95_ms=None,
        p99_ms=None,
        connections=present.connections if present else None,
        in_flight=None,
        reason=None if total else "no traffic",
        at=present.at if present else None,
    )


def _row(name: str, load: wire.Load) -> list[str]:
    share = phrases.percent(load.share, 1) if load.share is not None else load.reason or phrases.NOTHING
    return [
        name,
        f"{load.requests:,}",
        phrases.number(load.rate, 2),
        share,
        phrases.percent(load.expected_share, 1),
        f"{load.errors:,} ({phrases.percent(load.error_ratio, 1)})" if load.errors else "0",
        phrases.milliseconds(load.p50_ms),
        phrases.milliseconds(load.p95_ms),
        phrases.milliseconds(load.p99_ms),
        phrases.number(load.in_flight, 2),
        phrases.number(load.connections),
    ]
