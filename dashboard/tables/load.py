"""Load per backend as a table."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from dashboard import phrases
from monitor import wire

COLUMNS = ["Backend", "Requests", "Per second", "Share", "Expected", "Errors", "p50", "p95", "p99", "In flight", "Connections"]


def by_backend(shares: Mapping[str, wire.Load]) -> pd.DataFrame:
    """One row per backend, by name; values are phrases with their units."""
    rows = [_row(name, load) for name, load in sorted(shares.items())]
    return pd.DataFrame(rows, columns=COLUMNS)


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
